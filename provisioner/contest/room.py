"""A contest room over SSH: the station is in the room, and changes every seat at once.

In a school a machine does all of this by itself (`agent/contest.py`); this is for the room of a
final, where the organiser's station hangs on the same switch: states by hand, and between two
rounds every seat made fresh. What a seat came to is looked at in a task of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from provisioner.contest.folder import Contest
from provisioner.contest.layer import IMAGE
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.fleet.inventory import ADMINISTRATOR, as_data
from provisioner.model.contest import ContestPlace
from provisioner.model.release import Manifest, ReleaseKind
from provisioner.model.school import SeatedMachine
from provisioner.stages.ansible import (
    HostRecap,
    Play,
    known_hosts_text,
    run_play,
    shared_connections,
)
from provisioner.workshop.contest_places import place_of
from provisioner.workshop.field_orders import machines_of
from provisioner.workshop.station import Station

PLAYBOOK, RESET = "contest.yml", "contest-reset.yml"
ROOM_S = 1800.0


@dataclass(frozen=True)
class RoomSeat:
    """A machine of the room, and how it is reached."""

    machine: SeatedMachine
    host_keys: tuple[str, ...]
    place: ContestPlace


@dataclass(frozen=True)
class SeatOutcome:
    """What came of one seat; `problem` is empty when it was done and looked at."""

    asset_tag: str
    seat: str
    changed: int
    problem: str


@dataclass(frozen=True)
class RoomOutcome:
    seats: tuple[SeatOutcome, ...]
    seconds: float

    @property
    def well(self) -> bool:
        return all(not seat.problem for seat in self.seats)


def seats_of(station: Station, session: Session, school: str, *,
             pupils_only: bool = False) -> list[RoomSeat]:  # fmt: skip
    """The machines of a school that can be reached. Raises NotFoundError when it has none."""
    found = []
    for row in machines_of(session, school):
        place = place_of(station, session, row)
        if place is None or not row.ssh_host_keys or not row.address or not row.asset_tag:
            continue
        if pupils_only and place.seat.teacher:
            continue
        machine = SeatedMachine.model_validate(
            {"asset_tag": row.asset_tag, "seat": row.seat, "address": row.address}
        )
        found.append(RoomSeat(machine, tuple(row.ssh_host_keys), place))
    if not found:
        raise NotFoundError(f"No machine of “{school}” can be reached from here.")
    return found


def newest_layer(station: Station, contest: str) -> Manifest:
    """Raises NotFoundError when none was published."""
    found = [manifest for manifest in station.catalog.list()
             if manifest.name == contest and manifest.kind is ReleaseKind.LAYER]  # fmt: skip
    if not found:
        raise NotFoundError(f"No layer of “{contest}” was published.",
                            f"Run “provisioner contest publish {contest}”.")  # fmt: skip
    return max(found, key=lambda manifest: manifest.number)


def bring_room(station: Station, contest: Contest, seats: Sequence[RoomSeat], state: str,
               folder: Path) -> RoomOutcome:  # fmt: skip
    """Bring every seat into a state of the contest."""
    manifest = newest_layer(station, contest.name)
    shared = {
        "contest_state": state,
        "contest_layer": str(station.catalog.folder(manifest.id) / IMAGE),
        "contest_layer_sha256": manifest.file(IMAGE).sha256,
        "contest_allowed_hosts": list(contest.settings.allowed_hosts),
    }
    return _run(station, PLAYBOOK, seats, shared, folder)


def reset_room(station: Station, seats: Sequence[RoomSeat], folder: Path) -> RoomOutcome:
    """Make every seat fresh between two rounds; what lay in the homes is put aside."""
    return _run(station, RESET, seats, {}, folder)


def _run(station: Station, playbook: str, seats: Sequence[RoomSeat], shared: Mapping[str, Any],
         folder: Path) -> RoomOutcome:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(
        "".join(known_hosts_text(seat.machine, seat.host_keys) for seat in seats)
    )
    hosts = {seat.machine.asset_tag: _host(seat) for seat in seats}
    play = Play(station.settings.playbooks_dir / playbook,
                {"all": {"hosts": hosts, "vars": as_data(shared)}})  # fmt: skip
    began = time.monotonic()
    with shared_connections(station.ssh_key_path, known_hosts) as access:
        recap = run_play(play, folder / "run", access=access, timeout_s=ROOM_S)
    outcomes = (_outcome(seat, recap.hosts.get(seat.machine.asset_tag)) for seat in seats)
    return RoomOutcome(tuple(outcomes), time.monotonic() - began)


def _host(seat: RoomSeat) -> dict[str, Any]:
    pupil = seat.place.pupil
    mine = {
        "contest_seat": seat.place.seat.model_dump(mode="json"),
        "contest_pupil": pupil,
        "contest_pupil_home": f"/home/{pupil}",
    }
    return {
        "ansible_host": as_data(str(seat.machine.address)),
        "ansible_port": seat.machine.port,
        "ansible_user": ADMINISTRATOR,
        **as_data(mine),
    }


def _outcome(seat: RoomSeat, recap: HostRecap | None) -> SeatOutcome:
    problem = ""
    if recap is None:
        problem = "nothing was heard of it"
    elif recap.failed or recap.unreachable or not recap.ok:
        problem = recap.message or recap.failed_task or "it cannot be reached"
    changed = recap.changed if recap else 0
    return SeatOutcome(seat.machine.asset_tag, seat.place.seat.seat, changed, problem[:200])


def check_enrolled(contest: Contest, school: str) -> None:
    if school not in contest.settings.schools:
        raise WrongStateError(f"“{school}” is not enrolled in {contest.name}.",
                              "Add it to “schools” in contest.yml.")  # fmt: skip
