"""Configuring this machine by itself, from what the station left on its state partition.

`STATE/agent/site/` holds playbooks and an inventory of this machine alone, with a local
connection. The playbook runs twice: that the second run finds nothing to change is the proof that
the first one took effect, as on the station (`stages/configure.py`).
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

from provisioner.errors import CommandError, ProofMissingError
from provisioner.run import run

SITE = "agent/site"
PLAYBOOK, INVENTORY, REVISION = "playbooks/site.yml", "inventory", "revision"
RUN_S = 3600.0
_REVISION = re.compile(r"^[0-9a-f]{64}$")


def apply_site(state: Path, wanted: str) -> str:
    """Configure; returns the revision that now holds, or nothing where none was left here.

    Raises ProofMissingError when `wanted` is another one, or the runs do not prove themselves.
    """
    site = state / SITE
    revision = _revision(site)
    if wanted and revision != wanted:
        raise ProofMissingError(
            "This machine does not have the school's configuration that it is to be renewed with.",
            "Bring it by the line or on the school's stick, and renew again.",
        )
    if not revision:
        return ""
    if shutil.which("ansible-playbook") is None:
        raise ProofMissingError(
            "The new system has no Ansible, so it cannot configure itself.",
            "Build the release with the package ansible-core.",
        )
    _must_be_met(_play(site))
    second = _play(site)
    _must_be_met(second)
    if changed := sum(int(host.get("changed", 0)) for host in second.values()):
        raise ProofMissingError(f"A second run of the configuration still changed {changed} tasks.")
    return revision


def _revision(site: Path) -> str:
    try:
        text = (site / REVISION).read_text().strip()
    except OSError:
        return ""
    return text if _REVISION.match(text) else ""


def _play(site: Path) -> dict[str, dict[str, Any]]:
    """What Ansible counted for each host; there is one."""
    environment = {
        "ANSIBLE_STDOUT_CALLBACK": "json", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(site / "playbooks/ansible.cfg"), "HOME": "/root",
    }  # fmt: skip
    where = ["--inventory", str(site / INVENTORY), str(site / PLAYBOOK)]
    words = ["ansible-playbook", "--connection", "local", *where]
    done = run(words, timeout_s=RUN_S, check=False, env=environment)
    try:
        found = json.loads(done.stdout)["stats"]
    except (ValueError, KeyError, TypeError) as error:
        raise CommandError(
            f"Ansible said nothing that can be read: {done.stderr[-500:]}"
        ) from error
    return dict(found)


def _must_be_met(stats: dict[str, dict[str, Any]]) -> None:
    bad = [
        name for name, host in stats.items()
        if host.get("failures") or host.get("unreachable") or not host.get("ok")
    ]  # fmt: skip
    if bad or not stats:
        raise ProofMissingError(
            "The school's configuration could not be applied on this machine.",
            "Look at the log of its agent.",
        )
