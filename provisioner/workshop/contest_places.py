"""What the station tells a machine of its place in a contest: its seat, and who keeps entries.

The teacher's machine of a school is the one at the first teacher's seat that has a key of its own;
what pupils' machines hand in is believed to be there when that key says so.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.errors import ProvisionerError
from provisioner.fleet.school import find_school, load_school
from provisioner.model.contest import ContestPlace, SeatFile
from provisioner.model.rollout import Wanted
from provisioner.model.school import School, SeatRole
from provisioner.store.tables import BatchRow, MachineRow
from provisioner.workshop.station import Station

KIND = "contest:"


def with_places(
    station: Station, session: Session, machine_id: int, wanted: list[Wanted]
) -> tuple[Wanted, ...]:
    """The same with the machine's place in each contest; without one where it has no seat."""
    if not any(one.track.startswith(KIND) for one in wanted):
        return tuple(wanted)
    place = place_of(station, session, session.get_one(MachineRow, machine_id))
    return tuple(
        one.model_copy(update={"place": place}) if one.track.startswith(KIND) else one
        for one in wanted
    )


def place_of(station: Station, session: Session, machine: MachineRow) -> ContestPlace | None:
    """None for a machine without a seat, or of a school whose folder has a mistake."""
    if machine.batch is None or machine.seat is None:
        return None
    try:
        folder = find_school(station.settings.inventories_dir, machine.batch.school)
        changed = max(path.stat().st_mtime_ns for path in folder.glob("*.yml"))
        school = _school(folder, changed)
        seat = school.seat(machine.seat)
    except (ProvisionerError, OSError):
        return None
    teacher = _teachers_key(session, school)
    return ContestPlace(
        seat=SeatFile(school=school.id, seat=seat.name, teacher=seat.role is SeatRole.TEACHER,
                      teacher_key=teacher),
        pupil=school.settings.accounts.pupil.login,
    )  # fmt: skip


@lru_cache(maxsize=256)
def _school(folder: Path, _changed: int) -> School:
    return load_school(folder)


def _teachers_key(session: Session, school: School) -> str | None:
    """Of the first teacher's machine that was imaged; no address, which the room tells."""
    numbers = [
        number for number, seat in enumerate(school.seats, 1) if seat.role is SeatRole.TEACHER
    ]
    query = (
        select(MachineRow.installed_key)
        .join(BatchRow, MachineRow.batch_id == BatchRow.id)
        .where(BatchRow.school == school.id, MachineRow.seat.in_(numbers))
        .where(MachineRow.installed_key.is_not(None))
        .order_by(MachineRow.seat)
    )
    return session.scalars(query).first()
