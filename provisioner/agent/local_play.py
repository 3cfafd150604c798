"""Running a playbook on this very machine, with a local connection and nobody's help.

Debian's ansible-core has no way to tell its figures but its recap; that, and not the exit code
alone, says whether the work was done. Everything that Ansible writes for itself lies in `work`.
"""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

from provisioner.agent.text import clean
from provisioner.errors import ProofMissingError
from provisioner.run import run

log = logging.getLogger(__name__)

RUN_S = 3600.0
TAIL = 1500  # characters of what Ansible said last, for this machine's own journal
_RECAP = re.compile(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)
_FAILED = re.compile(
    r"^(?:TASK|RUNNING HANDLER) \[(.*?)\] \*+\n"
    r"(?:(?!TASK \[|RUNNING HANDLER \[).*\n)*?(?:fatal|failed): ",
    re.M,
)


def play_here(playbook: Path, inventory: Path, work: Path, what: str) -> int:
    """Play; how many tasks changed something. Raises ProofMissingError unless all of it is met.

    `what` says in the error what could not be applied, as “The school's configuration”.
    """
    if shutil.which("ansible-playbook") is None:
        raise ProofMissingError("This system has no Ansible, so it cannot change itself.",
                                "Build the release with the package ansible-core.")  # fmt: skip
    home = work / "ansible"
    environment = {
        "ANSIBLE_CONFIG": str(playbook.parent / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_HOME": str(home), "LC_ALL": "C.UTF-8",
        "ANSIBLE_LOCAL_TEMP": str(home / "local"), "ANSIBLE_REMOTE_TEMP": str(home / "remote"),
        "HOME": "/root", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    words = ["ansible-playbook", "--inventory", str(inventory), str(playbook)]
    done = run(words, timeout_s=RUN_S, check=False, env=environment)
    shutil.rmtree(home, ignore_errors=True)
    changed = changed_of(done.stdout)
    if done.code != 0 or changed is None:
        log.error("Ansible: %s", done.stdout[-TAIL:])
        why = why_not(done.stdout) or f"{clean(done.stderr[-300:])}."
        raise ProofMissingError(f"{what} could not be applied on this machine: {why}",
                                "Look at the log of its agent.")  # fmt: skip
    return changed


def changed_of(said: str) -> int | None:
    """How many tasks changed something; None when not exactly one machine met all of them."""
    found = _RECAP.findall(said)
    if len(found) != 1:
        return None
    ok, changed, unreachable, failed = map(int, found[0])
    return None if failed or unreachable or not ok else changed


def why_not(said: str) -> str:
    """The first task that failed; nothing when none did. What it said may hold a secret."""
    found = _FAILED.search(said)
    return f"“{clean(found[1])}” failed." if found else ""
