"""Configuring this machine by itself, from what it keeps of its school's folder (`site_keep.py`).

The playbook runs twice: that the second run finds nothing to change is the proof that the first
one took effect, as on the station (`stages/configure.py`).
"""

from __future__ import annotations

from pathlib import Path

from provisioner.agent import site_keep
from provisioner.agent.local_play import play_here
from provisioner.agent.surroundings import Home
from provisioner.errors import ProofMissingError
from provisioner.model.site_bundle import OPENED

PLAYBOOK, INVENTORY = "playbooks/site.yml", "inventory"


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
    with site_keep.opened(bundle, home, into) as site:
        _play(site)
        if changed := _play(site):
            raise ProofMissingError(
                f"A second run of the configuration still changed {changed} tasks."
            )
    return bundle.revision


def _play(site: Path) -> int:
    return play_here(site / PLAYBOOK, site / INVENTORY, site, "The school's configuration")
