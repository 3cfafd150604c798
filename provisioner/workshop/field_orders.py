"""Orders for machines in their schools: kept until the machine asks, given once, closed by proof.

A machine may be silent for weeks; its order waits. One that was cut short is given again, with a
new identifier, up to the number of times that `lifecycle` allows; one that failed waits for a
person. A newer order of the same kind takes the place of one that was not given yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, TypeAdapter
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provisioner.errors import (
    NotFoundError,
    ProvisionerError,
    WrongStateError,
    nearest,
)
from provisioner.lifecycle import MAX_INTERRUPTIONS, Milestone, RunState, Verb, may_start
from provisioner.model.errand import ErrandWork, ReconfigureWork
from provisioner.model.health import Health
from provisioner.model.order import RenewWork, RestartWork
from provisioner.model.renewal import HomesRule, When
from provisioner.stages.renew import renew_work
from provisioner.store.events import note
from provisioner.store.tables import (
    BatchRow,
    FieldOrderRow,
    MachineHealthRow,
    MachineRow,
    RunRow,
    now,
)
from provisioner.workshop import path, releases, runs, sites
from provisioner.workshop.station import Station

FieldWork = Annotated[RenewWork | RestartWork | ErrandWork, Field(discriminator="verb")]
_WORK: TypeAdapter[FieldWork] = TypeAdapter(FieldWork)


class FieldState(StrEnum):
    """Where a field order is."""

    WAITING = "waiting"  # the machine has not asked since
    GIVEN = "given"
    DONE = "done"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True)
class Standing:
    """One machine of a school, for the table; every claim is as old as `last_seen`.

    `state` is of its newest field order, or empty; `why` what a failed one came to.
    """

    asset_tag: str
    seat: int | None
    release: str
    wanted: str
    state: str
    why: str
    last_seen: datetime
    health: Health | None


def renew_school(
    station: Station,
    session: Session,
    school: str,
    release: str,
    actor: str,
    *,
    when: When = When.QUIET,
    homes: HomesRule = HomesRule.KEEP,
    tag: str = "",
) -> list[MachineRow]:
    """Order a renewal of every machine that the school has, or of one; those that have the release
    already are left out. Raises NotFoundError for a school without machines, ConfigError for a
    release that cannot be installed."""
    manifest, digest = releases.installable(station, session, release)
    work = renew_work(manifest, digest, when=when, homes=homes)
    ordered = []
    for machine in machines_of(session, school):
        if not may_start(Verb.RENEW, Milestone(machine.milestone)):
            continue
        if machine.release == manifest.id or (tag and machine.asset_tag != tag.upper()):
            continue
        put(session, machine, work, actor)
        ordered.append(machine)
    station.board.touch()
    return ordered


def withdraw(station: Station, session: Session, school: str, actor: str) -> int:
    """Take back what was not given yet; returns how many orders that were."""
    count = 0
    for machine in machines_of(session, school):
        for row in _waiting(session, machine):
            row.state = FieldState.WITHDRAWN
            note(session, "field-order-withdrawn", actor=actor, machine=machine, order=row.id)
            count += 1
    station.board.touch()
    return count


def machines_of(session: Session, school: str) -> Sequence[MachineRow]:
    """A school's machines, by seat. Raises NotFoundError when it has none."""
    query = select(MachineRow).join(BatchRow).where(BatchRow.school == school)
    found = session.scalars(query.order_by(MachineRow.seat, MachineRow.id)).all()
    kept = [machine for machine in found if machine.milestone != Milestone.RETIRED]
    if not kept:
        schools = session.scalars(select(BatchRow.school).distinct()).all()
        raise NotFoundError(f"No machine belongs to “{school}”.", nearest(school, schools))
    return kept


def next_order(station: Station, session: Session, machine: MachineRow, key: str) -> str | None:
    """The sealed order for a machine in its installed system that asks; the oldest first."""
    for run in runs.open_runs(session, machine):
        if run.order_key == key:
            return run.sealed_order  # our answer may have been lost; it is single-use anyway
    if machine.needs_hand is not None:
        return None
    waiting = _waiting(session, machine)
    if not waiting:
        return None
    order = waiting[0]
    work = _WORK.validate_python(order.work)
    if isinstance(work, RenewWork | ReconfigureWork):
        # What it shall be configured with is asked now: the order may have waited for weeks.
        try:
            revision = sites.revision_for(station, machine)
        except ProvisionerError as error:
            path.ask(session, machine, work.verb, error)
            return None
        work = work.model_copy(update={"configuration": revision})
    sealed = path.give(station, session, machine, key, work.verb, work)
    order.state = FieldState.GIVEN
    order.run_id = session.scalar(select(RunRow.id).where(RunRow.sealed_order == sealed))
    return sealed


def has_waiting(session: Session, machine: MachineRow) -> bool:
    """Whether there is anything to be said to this machine; cheap, asked at every poll."""
    return bool(_waiting(session, machine)) or bool(runs.open_runs(session, machine))


def closed(session: Session, machine: MachineRow, run: RunRow) -> None:
    """A run has ended: its field order has, too, or waits to be given again."""
    order = session.scalar(select(FieldOrderRow).where(FieldOrderRow.run_id == run.id))
    if order is None or run.state == RunState.RUNNING:
        return
    if run.state == RunState.SUCCEEDED:
        order.state = FieldState.DONE
    elif run.state == RunState.FAILED:
        order.state = FieldState.FAILED
    else:
        times = runs.interruptions_in_a_row(session, machine, run.verb)
        if times < MAX_INTERRUPTIONS:
            order.state, order.run_id = FieldState.WAITING, None
        else:
            path.give_up(session, machine, run.verb, times)
            order.state = FieldState.FAILED


def hear(session: Session, machine: MachineRow, health: Health) -> None:
    """Keep what a machine says of itself."""
    row = session.get(MachineHealthRow, machine.id)
    if row is None:
        row = MachineHealthRow(machine_id=machine.id, report={})
        session.add(row)
    row.heard_at, row.report = now(), health.model_dump(mode="json")


def standings(session: Session, school: str) -> list[Standing]:
    """The school's machines as they were last heard. Raises NotFoundError when it has none."""
    machines = machines_of(session, school)
    numbers = [machine.id for machine in machines]
    orders = {order.machine_id: order for order in _newest(session, numbers)}
    reports = session.scalars(
        select(MachineHealthRow).where(MachineHealthRow.machine_id.in_(numbers))
    )
    health = {row.machine_id: row for row in reports}
    given = [order.run_id for order in orders.values() if order.run_id is not None]
    found = session.scalars(select(RunRow).where(RunRow.id.in_(given)))
    ran = {row.machine_id: row for row in found}
    return [
        _standing(machine, orders.get(machine.id), health.get(machine.id), ran.get(machine.id))
        for machine in machines
    ]


def states(session: Session, school: str) -> list[str]:
    """The state of the newest order of each machine of a school that was ever given one."""
    query = (
        select(func.max(FieldOrderRow.id))
        .join(MachineRow, MachineRow.id == FieldOrderRow.machine_id)
        .join(BatchRow, BatchRow.id == MachineRow.batch_id)
        .where(BatchRow.school == school, MachineRow.milestone != Milestone.RETIRED)
        .group_by(FieldOrderRow.machine_id)
    )
    return list(session.scalars(select(FieldOrderRow.state).where(FieldOrderRow.id.in_(query))))


def last_order(session: Session, school: str) -> int:
    """The number of the newest order to a machine of this school: what somebody who looks now
    has seen."""
    query = select(func.max(FieldOrderRow.id)).join(
        MachineRow, MachineRow.id == FieldOrderRow.machine_id
    )
    where = query.join(BatchRow, BatchRow.id == MachineRow.batch_id)
    return session.scalar(where.where(BatchRow.school == school)) or 0


def not_overtaken(session: Session, school: str, seen: int) -> None:
    """Raises WrongStateError when somebody has ordered something since order `seen`."""
    # On a database with many writers both would look before either has written.
    first = machines_of(session, school)[0]
    session.refresh(first, with_for_update=True)
    newest = session.get(FieldOrderRow, last_order(session, school))
    if newest is not None and newest.id > seen:
        raise WrongStateError(
            f"Meanwhile {newest.actor} has ordered a renewal of this classroom.",
            "Look at the page as it is now, then decide; nothing of yours was done.",
        )


def _newest(session: Session, machines: Sequence[int]) -> Sequence[FieldOrderRow]:
    newest = (
        select(func.max(FieldOrderRow.id))
        .where(FieldOrderRow.machine_id.in_(machines))
        .group_by(FieldOrderRow.machine_id)
    )
    return session.scalars(select(FieldOrderRow).where(FieldOrderRow.id.in_(newest))).all()


def _standing(
    machine: MachineRow,
    order: FieldOrderRow | None,
    health: MachineHealthRow | None,
    run: RunRow | None,
) -> Standing:
    return Standing(
        asset_tag=machine.asset_tag or "",
        seat=machine.seat,
        release=machine.release,
        wanted=str(order.work.get("release", "")) if order else "",
        state=order.state if order else "",
        why=str((run.problem or {}).get("message", "")) if run else "",
        last_seen=machine.last_seen,
        health=Health.model_validate(health.report) if health else None,
    )


def put(session: Session, machine: MachineRow, work: FieldWork, actor: str) -> None:
    """Keep an order until the machine asks; it takes the place of one of its kind that waits."""
    for row in _waiting(session, machine):
        if row.work.get("verb") == work.verb:
            row.state = FieldState.WITHDRAWN
    machine.needs_hand = None if _failed(session, machine, work.verb) else machine.needs_hand
    session.add(
        FieldOrderRow(
            machine_id=machine.id, work=work.model_dump(mode="json"), actor=actor,
            state=FieldState.WAITING,
        )
    )  # fmt: skip
    if isinstance(work, RenewWork):
        note(session, "renewal-ordered", actor=actor, machine=machine, release=work.release)
    else:
        note(session, "errand-ordered", actor=actor, machine=machine, verb=work.verb)


def _failed(session: Session, machine: MachineRow, verb: str) -> bool:
    """Whether what a person is asked for is an order of this kind that failed: a new one answers
    that."""
    last = runs.latest(session, machine, verb)
    return last is not None and last.state == RunState.FAILED


def _waiting(session: Session, machine: MachineRow) -> Sequence[FieldOrderRow]:
    query = select(FieldOrderRow).where(
        FieldOrderRow.machine_id == machine.id, FieldOrderRow.state == FieldState.WAITING
    )
    return session.scalars(query.order_by(FieldOrderRow.id)).all()
