"""What each machine keeps of its school's configuration, made when somebody asks for it.

A bundle is made anew when the school's folder, its vault, the playbooks, the seat or the machine's
key has changed; until then it is the same file:

    STATE/sites/TAG.dsse.json       a machine's bundle as it was sent
    STATE/sites/TAG.revision        what it was made from
    STATE/sites/SCHOOL.number       the number of the newest revision of a school
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from provisioner.agent.memory import write_whole
from provisioner.errors import NotFoundError
from provisioner.fleet.school import find_school, load_school
from provisioner.fleet.site_files import site_files
from provisioner.fleet.vault import open_vault, read_secrets, vault_of
from provisioner.lifecycle import Milestone
from provisioner.model.school import School, SeatedMachine
from provisioner.model.site_bundle import FOLDER, file_name, pack_site
from provisioner.stages.configure import revision
from provisioner.store.tables import MachineRow
from provisioner.workshop.facts import station_facts
from provisioner.workshop.path import machine_by_tag
from provisioner.workshop.station import Station

_making = threading.Lock()  # the secrets of a school are opened by one at a time


@dataclass(frozen=True)
class Whose:
    """A machine that may have a bundle, with what it is made from."""

    school: School
    machine: SeatedMachine
    key: str


def has_site(machine: MachineRow) -> bool:
    """Whether a machine was configured for a school at all: before that there is nothing to keep,
    and no secret is made because somebody asks."""
    there = machine.batch and machine.asset_tag and machine.seat and machine.installed_key
    rank = Milestone(machine.milestone).rank
    return bool(there) and Milestone.CONFIGURED.rank <= rank < Milestone.RETIRED.rank


def revision_for(station: Station, machine: MachineRow) -> str:
    """What the machine is to be configured with now; empty for one that has no school yet.

    Raises ConfigError when the school's folder is not in order.
    """
    if not has_site(machine):
        return ""
    return _revision(station, _whose(station, machine))


def bundle_for(station: Station, session: Session, asset_tag: str) -> Path:
    """The file with a machine's bundle. Raises NotFoundError for one that has none."""
    machine = machine_by_tag(session, asset_tag)
    if machine is None or not has_site(machine):
        raise NotFoundError("No configuration is kept for a machine of that name.")
    whose = _whose(station, machine)
    folder = station.settings.state_dir / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    made, mark = folder / file_name(asset_tag), folder / f"{asset_tag}.revision"
    with _making:
        wanted = _revision(station, whose)
        digest = hashlib.sha256(f"{whose!r} {wanted} {station.url}".encode()).hexdigest()
        if not made.is_file() or not mark.is_file() or mark.read_text().strip() != digest:
            write_whole(made, _make(station, whose, wanted, folder))
            write_whole(mark, f"{digest}\n")
    return made


def _make(station: Station, whose: Whose, wanted: str, folder: Path) -> str:
    settings = station.settings
    secrets = read_secrets(open_vault(whose.school, settings.state_dir))
    files = site_files(
        whose.school, whose.machine, settings.playbooks_dir, secrets, station_facts(station)
    )
    bundle = pack_site(
        files, school=whose.school.id, machine=whose.machine.asset_tag,
        number=_number(folder / f"{whose.school.id}.number", wanted), revision=wanted,
        machine_key=whose.key,
    )  # fmt: skip
    return station.key.seal(bundle)


def _revision(station: Station, whose: Whose) -> str:
    """As the workshop counts it, and never before the vault has all that the station can make."""
    school, settings = whose.school, station.settings
    find = open_vault if school.settings.teacher_desk.control else vault_of
    return revision(school, find(school, settings.state_dir), settings.playbooks_dir)


def _number(file: Path, revision: str) -> int:
    """Rises with each revision; also past a state folder that was put back from yesterday."""
    try:
        kept = json.loads(file.read_text())
    except (OSError, ValueError):
        kept = {"number": 0, "revision": ""}
    if kept["revision"] != revision:
        kept = {"number": max(int(kept["number"]) + 1, int(time.time())), "revision": revision}
        write_whole(file, json.dumps(kept))
    return int(kept["number"])


def _whose(station: Station, machine: MachineRow) -> Whose:
    assert machine.batch is not None and machine.installed_key is not None
    school = load_school(find_school(station.settings.inventories_dir, machine.batch.school))
    seated = SeatedMachine.model_validate(
        {"asset_tag": machine.asset_tag, "seat": machine.seat, "address": "127.0.0.1"}
    )
    return Whose(school, seated, machine.installed_key)
