"""The office over HTTP: schools' health, leases, donors, receipts, declarations, releases."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Security
from pydantic import Field
from sqlalchemy import Subquery, case, func, select
from sqlalchemy.orm import Session

from provisioner.accounts.roles import Right
from provisioner.api import problems, reading, views
from provisioner.api.auth import TheWho, may
from provisioner.api.operator import BEARER, PREFIX, TheStation, Word
from provisioner.documents.impact import Impact, impact
from provisioner.fleet.school import find_school
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.base import Model, ShortText
from provisioner.store.tables import BatchRow, MachineRow, RunRow, now
from provisioner.workshop import giving, releases
from provisioner.workshop.builds import Builds
from provisioner.workshop.giving import Declaration, Donor, Lease, Receipt
from provisioner.workshop.releases import Standing
from provisioner.workshop.station import Station

# Three years, as the house leases classrooms, until somebody notes another end.
USUAL_LEASE = timedelta(days=3 * 365)
router = APIRouter(
    prefix=PREFIX,
    tags=["office"],
    dependencies=[Security(BEARER)],
    responses=problems.responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
_NOT_FOUND = problems.responses(HTTPStatus.NOT_FOUND)
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class SeatedView(Model):
    """A machine at its school, with its ages."""

    asset_tag: str
    seat: int | None
    milestone: Milestone
    release: str
    model: str
    needs_hand: bool
    handed_over: date | None
    days_silent: int = Field(description="since the station heard it last")


class SchoolHealth(Model):
    """A school at a glance."""

    school: views.SchoolView
    machines: int = Field(description="handed over and not retired")
    need_hand: int
    oldest_release: str = Field(description="the lowest that one of its machines runs")
    lease_begins: date | None
    lease_ends: date | None
    lease_noted: bool = Field(description="by a person; else three years from the hand-over")
    pupils: int | None = Field(description="as declared for the newest school year")


class SchoolDetail(Model):
    """A school with every machine."""

    health: SchoolHealth
    machines: tuple[SeatedView, ...]


class StandingChange(Model):
    """What is said about a release from now on."""

    standing: Standing
    reason: ShortText = ""


class BuildRequest(Model):
    """Which recipe is to be built."""

    recipe: ShortText


class BuildView(Model):
    """The build that runs, or the last one; `code` is empty while it runs."""

    recipe: str
    code: int | None
    log: str


def schools(station: Station, session: Session, today: date) -> list[SchoolHealth]:
    """Every school with a folder."""
    found = reading.schools(station.settings)
    sums = _sums(session, [one.id for one in found])
    noted, pupils = giving.leases(session), _pupils(session)
    return [
        _health(one, sums.get(one.id, _Sum()), noted.get(one.id), pupils.get(one.id))
        for one in found
    ]


def school_health(
    station: Station, session: Session, school: views.SchoolView, today: date
) -> SchoolDetail:
    """One school; ages are counted up to `today`."""
    machines = _machines(session, [school.id]).get(school.id, [])
    total = _sums(session, [school.id]).get(school.id, _Sum())
    health = _health(
        school, total, giving.leases(session).get(school.id), _pupils(session).get(school.id)
    )
    return SchoolDetail(health=health, machines=tuple(_seated(*one, today) for one in machines))


_Found = tuple[MachineRow, Any]


@dataclass(frozen=True)
class _Sum:
    """A school's machines that were handed over, counted by the database."""

    machines: int = 0
    need_hand: int = 0
    oldest_release: str = ""
    first_at: datetime | None = None


def _handed() -> Subquery:
    """Machine to the moment of its hand-over."""
    return (
        select(RunRow.machine_id, func.max(RunRow.ended_at).label("at"))
        .where(RunRow.verb == Verb.HAND_OVER, RunRow.state == RunState.SUCCEEDED)
        .group_by(RunRow.machine_id)
        .subquery()
    )


def _sums(session: Session, names: Iterable[str]) -> dict[str, _Sum]:
    handed = _handed()
    query = (
        select(
            BatchRow.school,
            func.count(),
            func.sum(case((MachineRow.needs_hand.is_not(None), 1), else_=0)),
            func.min(MachineRow.release),
            func.min(handed.c.at),
        )
        .join(BatchRow, BatchRow.id == MachineRow.batch_id)
        .outerjoin(handed, handed.c.machine_id == MachineRow.id)
        .where(BatchRow.school.in_(list(names)), MachineRow.milestone == Milestone.HANDED_OVER)
        .group_by(BatchRow.school)
    )
    return {row[0]: _Sum(row[1], row[2], row[3], row[4]) for row in session.execute(query)}


def _machines(session: Session, names: Iterable[str]) -> dict[str, list[_Found]]:
    """School to its machines that were handed over, with the moment of the hand-over."""
    handed = _handed()
    query = (
        select(MachineRow, BatchRow.school, handed.c.at)
        .join(BatchRow, BatchRow.id == MachineRow.batch_id)
        .outerjoin(handed, handed.c.machine_id == MachineRow.id)
        .where(BatchRow.school.in_(list(names)), MachineRow.milestone == Milestone.HANDED_OVER)
        .order_by(MachineRow.seat, MachineRow.asset_tag)
    )
    found: dict[str, list[_Found]] = {}
    for machine, school, at in session.execute(query):
        found.setdefault(school, []).append((machine, at))
    return found


def _health(school: views.SchoolView, total: _Sum, noted: Any, pupils: int | None) -> SchoolHealth:
    handed = total.first_at.date() if total.first_at else None
    begins = noted.begins if noted else handed
    ends = noted.ends if noted else begins + USUAL_LEASE if begins else None
    return SchoolHealth(
        school=school,
        machines=total.machines,
        need_hand=total.need_hand,
        oldest_release=total.oldest_release,
        lease_begins=begins,
        lease_ends=ends,
        lease_noted=noted is not None,
        pupils=pupils,
    )


def _seated(machine: MachineRow, at: Any, today: date) -> SeatedView:
    smbios = machine.hardware.get("smbios", {})
    model = f"{smbios.get('system_vendor', '')} {smbios.get('system_product', '')}".strip()
    return SeatedView(
        asset_tag=machine.asset_tag or "", seat=machine.seat,
        milestone=Milestone(machine.milestone), release=machine.release, model=model,
        needs_hand=machine.needs_hand is not None,
        handed_over=at.date() if at is not None else None,
        days_silent=max(0, (today - machine.last_seen.date()).days),
    )  # fmt: skip


def _pupils(session: Session) -> dict[str, int]:
    return {row.school: row.pupils for row in giving.declarations(session)}


@router.get("/office/schools", summary="Every school: machines, lease, declared pupils")
def list_health(station: TheStation) -> list[SchoolHealth]:
    with station.database.reading() as session:
        return schools(station, session, now().astimezone().date())


@router.get("/office/schools/{school}", summary="One school's machines", responses=_NOT_FOUND)
def get_health(station: TheStation, school: Word) -> SchoolDetail:
    view = reading.school(station.settings, school)
    with station.database.reading() as session:
        return school_health(station, session, view, now().astimezone().date())


@router.post(
    "/office/leases", summary="Note from when to when a school has its classroom",
    responses=_CHANGES, dependencies=[may(Right.SCHOOLS)],
)  # fmt: skip
def note_lease(station: TheStation, who: TheWho, lease: Lease) -> Lease:
    who.must_touch(lease.school)
    find_school(station.settings.inventories_dir, lease.school)
    with station.database.transaction() as session:
        giving.lease(session, lease, who.actor)
    return lease


@router.post(
    "/office/pupils", summary="Note how many pupils a school declares",
    responses=_CHANGES, dependencies=[may(Right.SCHOOLS)], status_code=HTTPStatus.CREATED,
)  # fmt: skip
def note_pupils(station: TheStation, who: TheWho, said: Declaration) -> Declaration:
    who.must_touch(said.school)
    find_school(station.settings.inventories_dir, said.school)
    with station.database.transaction() as session:
        giving.declare(session, said, who.actor)
    return said


@router.get("/office/donors", summary="Who gave machines")
def list_donors(station: TheStation) -> list[Donor]:
    with station.database.reading() as session:
        return [Donor(name=row.name, contact=row.contact) for row in giving.donors(session)]


@router.post(
    "/office/donors", summary="Note a donor",
    responses=_CHANGES, dependencies=[may(Right.DONORS)], status_code=HTTPStatus.CREATED,
)  # fmt: skip
def note_donor(station: TheStation, who: TheWho, donor: Donor) -> Donor:
    with station.database.transaction() as session:
        giving.add_donor(session, donor, who.actor)
    return donor


@router.post(
    "/office/receipts", summary="Note a recycling factory's receipt",
    responses=_CHANGES, dependencies=[may(Right.DONORS)], status_code=HTTPStatus.CREATED,
)  # fmt: skip
def note_receipt(station: TheStation, who: TheWho, receipt: Receipt) -> Receipt:
    with station.database.transaction() as session:
        giving.add_receipt(session, receipt, who.actor)
    return receipt


@router.get(
    "/office/impact", summary="Machines, disks, kilograms, pupils and CO2e, by donor",
    responses=_NOT_FOUND,
)  # fmt: skip
def get_impact(
    station: TheStation, donor: Annotated[Word | None, Query(min_length=1)] = None
) -> Impact:
    with station.database.reading() as session:
        return impact(station, session, now().astimezone().date(), donor)


@router.post(
    "/office/releases/{release}/standing", summary="Promote or withdraw a release",
    responses=_CHANGES, dependencies=[may(Right.RELEASES)],
)  # fmt: skip
def change_standing(
    station: TheStation, who: TheWho, release: Word, change: StandingChange
) -> StandingChange:
    with station.database.transaction() as session:
        releases.say(station, session, release, change.standing, change.reason, who.actor)
    return change


@router.get("/office/build", summary="The build that runs, or the last one")
def get_build(request: Request) -> BuildView | None:
    builds: Builds = request.app.state.builds
    last = builds.last
    return BuildView(recipe=last.recipe, code=last.code, log=builds.tail()) if last else None


@router.post(
    "/office/build", summary="Build a recipe into a signed release",
    responses=_CHANGES, dependencies=[may(Right.RELEASES)], status_code=HTTPStatus.ACCEPTED,
)  # fmt: skip
def start_build(request: Request, who: TheWho, wanted: BuildRequest) -> BuildView:
    builds: Builds = request.app.state.builds
    build = builds.start(wanted.recipe, who.actor)
    return BuildView(recipe=build.recipe, code=build.code, log="")
