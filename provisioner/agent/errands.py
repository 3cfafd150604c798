"""Errands of an installed machine: configure itself anew, empty the homes, send its log.

Each ends with what was found afterwards, not with what was called.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from provisioner.agent import installed, site_apply, site_keep
from provisioner.agent.carry_over import erase_homes
from provisioner.agent.journey import Journey
from provisioner.agent.quiet import Patience
from provisioner.agent.surroundings import Home
from provisioner.errors import ProofMissingError
from provisioner.model.errand import (
    MAX_LOG,
    ErrandEvidence,
    ErrandWork,
    LogsEvidence,
    LogsWork,
    ReconfigureEvidence,
    ReconfigureWork,
    ResetHomesEvidence,
    ResetHomesWork,
)
from provisioner.run import run
from provisioner.swarm.fetch import SocketOption, Waiting

STEPS = {
    "reconfigure": (("site", 1.0), ("configure", 20.0)),
    "reset-homes": (("quiet", 1.0), ("homes", 1.0)),
    "logs": (("log", 1.0),),
}
LOG_S = 120.0


def errand(
    work: ErrandWork,
    url: str,
    home: Home,
    journey: Journey,
    waiting: Waiting,
    options: Sequence[SocketOption] = (),
    state: Path = installed.STATE,
) -> ErrandEvidence:
    """Do what is asked, with what the station at `url` has for this machine."""
    match work:
        case ReconfigureWork():
            journey.enter("site")
            site_keep.fetch(url, state, home, waiting, options)
            journey.enter("configure")
            return reconfigure(work, home, state)
        case ResetHomesWork():
            journey.enter("quiet")
            Patience(installed.CLASSROOM).until_quiet(work.when)
            journey.enter("homes")
            return reset_homes(state)
        case LogsWork():
            journey.enter("log")
            return logs(work)


def reconfigure(work: ReconfigureWork, home: Home, state: Path) -> ReconfigureEvidence:
    """Raises ProofMissingError when nothing is kept here that could be applied."""
    revision = site_apply.apply_site(home, state, work.configuration)
    if not revision:
        raise ProofMissingError(
            "The station has no configuration for this machine.",
            "Does it belong to a school, and was it configured once?",
        )
    return ReconfigureEvidence(configuration=revision)


def reset_homes(state: Path) -> ResetHomesEvidence:
    """Empty every home."""
    removed = erase_homes(state)
    homes = [path for path in (state / "home").iterdir() if path.is_dir() and not path.is_symlink()]
    left = sum(len(names) for home in homes for _, _, names in os.walk(home))
    return ResetHomesEvidence(removed=removed, left=left)


def logs(work: LogsWork) -> LogsEvidence:
    """The last lines of the journal of this start."""
    words = ["journalctl", "--boot", "--no-pager", "--output=short-iso", f"--lines={work.lines}"]
    said = run(words, timeout_s=LOG_S).stdout
    text = "".join(sign if sign.isprintable() or sign == "\n" else " " for sign in said)
    return LogsEvidence(text=text[-MAX_LOG:])
