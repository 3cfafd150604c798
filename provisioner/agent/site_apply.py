"""Configuring this machine by itself, from what it keeps of its school's folder (`site_keep.py`).

The playbook runs twice: that the second run finds nothing to change is the proof that the first
one took effect, as on the station (`stages/configure.py`).
"""

from __future__ import annotations

import logging
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent import site_keep
from provisioner.agent.surroundings import Home
from provisioner.agent.text import clean
from provisioner.errors import ProofMissingError
from provisioner.model.site_bundle import OPENED
from provisioner.run import run

log = logging.getLogger(__name__)

PLAYBOOK, INVENTORY, SETTINGS = "playbooks/site.yml", "inventory", "playbooks/ansible.cfg"
RUN_S = 3600.0
TAIL = 1500  # characters of what Ansible said last
# The last lines of ansible-playbook: what it counted for each machine
_RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
_TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(.*?)\] \*+$|^(fatal|failed): \[(.*)$", re.M)


@dataclass(frozen=True)
class Counts:
    """What Ansible counted on this machine in one run."""

    ok: int
    changed: int
    bad: int


def apply_site(home: Home, state: Path, wanted: str, into: Path = Path(OPENED)) -> str:
    """Configure; returns the revision that now holds, or nothing where none is kept here.

    Raises ProofMissingError when `wanted` is another one, or the runs do not prove themselves.
    """
    bundle = site_keep.kept(state, home)
    if wanted and (bundle is None or bundle.revision != wanted):
        raise ProofMissingError(
            "This machine does not have the school's configuration that it is to be renewed with.",
            "Bring it by the line or on the school's stick, and renew again.",
        )
    if bundle is None:
        return ""
    if shutil.which("ansible-playbook") is None:
        raise ProofMissingError(
            "The new system has no Ansible, so it cannot configure itself.",
            "Build the release with the package ansible-core.",
        )
    with site_keep.opened(bundle, home, into) as site:
        _play(site)
        if changed := _play(site).changed:
            raise ProofMissingError(
                f"A second run of the configuration still changed {changed} tasks."
            )
    return bundle.revision


def _play(site: Path) -> Counts:
    """One run. Raises ProofMissingError unless Ansible says that all of it is met."""
    environment = {
        "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(site / "home"), "LC_ALL": "C.UTF-8",
        "ANSIBLE_CONFIG": str(site / SETTINGS), "HOME": "/root",
        "ANSIBLE_STDOUT_CALLBACK": "default",
        "ANSIBLE_LOCAL_TEMP": str(site / "home/tmp"),
        "ANSIBLE_REMOTE_TEMP": str(site / "home/remote"),
    }  # fmt: skip
    words = ["ansible-playbook", "--inventory", str(site / INVENTORY), str(site / PLAYBOOK)]
    done = run(words, timeout_s=RUN_S, check=False, env=environment)
    counts = counted(done.stdout)
    if done.code != 0 or counts is None or counts.bad or not counts.ok:
        failed = failed_task(done.stdout)
        log.error("Ansible: %s", done.stdout[-TAIL:])
        raise ProofMissingError(
            "The school's configuration could not be applied on this machine"
            + (f": “{clean(failed)}” failed." if failed else f": {clean(done.stderr[-300:])}."),
            "Look at the log of its agent.",
        )
    return counts


def counted(said: str) -> Counts | None:
    """The recap of the one machine; None when there is none, or another's."""
    found = _RECAP.findall(said)
    if len(found) != 1:
        return None
    ok, changed, unreachable, failed = (int(number) for number in found[0][1:])
    return Counts(ok, changed, unreachable + failed)


def failed_task(said: str) -> str:
    """The name of the first task that failed."""
    task = ""
    for name, fault, _ in _TASK.findall(said):
        if fault:
            return str(task)
        task = name
    return ""
