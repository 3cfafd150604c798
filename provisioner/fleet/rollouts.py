"""Rollouts in the database: the thin shell around `fleet.rollout`.

Renewal and contest use the same five calls: `start`, `report` and `wanted` when a machine speaks,
`step` each minute, `order` for what a person decides. Everything is in the database and nothing
in memory, so a station that is killed between any two lines goes on where it was; each call is
one transaction of the caller's, and each decision an event with its figures.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.fleet.rollout import (
    FROZEN,
    Decision,
    SchoolFigures,
    Verdict,
    after_report,
    decide,
    proof_s,
)
from provisioner.lifecycle import Milestone
from provisioner.model.rollout import (
    MachineState,
    RolloutPlan,
    RolloutState,
    StateReport,
    Wanted,
)
from provisioner.store.events import STATION, note
from provisioner.store.rollout_tables import RolloutMachineRow, RolloutRow
from provisioner.store.tables import BatchRow, MachineRow

# Hearing a machine is written down this often; more would only wear out the station's disk.
NOTE_EVERY = timedelta(minutes=30)
GOING = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED, RolloutState.TAKING_BACK,
         RolloutState.DONE)  # fmt: skip
UNDER_WAY = (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED,
             RolloutState.TAKING_BACK)  # fmt: skip
GIVING_BACK = (RolloutState.TAKING_BACK, RolloutState.TAKEN_BACK)
READY = (Milestone.VERIFIED, Milestone.HANDED_OVER)
# A machine in the rollouts that go on.
Places = Sequence[tuple[RolloutRow, RolloutMachineRow]]
# What a person may do from where.
MOVES: dict[str, tuple[tuple[RolloutState, ...], RolloutState]] = {
    "pause": ((RolloutState.RUNNING,), RolloutState.PAUSED),
    "resume": ((RolloutState.PAUSED, RolloutState.HALTED), RolloutState.RUNNING),
    "take-back": (
        (RolloutState.RUNNING, RolloutState.PAUSED, RolloutState.HALTED, RolloutState.DONE),
        RolloutState.TAKING_BACK,
    ),
}


def start(session: Session, plan: RolloutPlan, at: datetime, actor: str = STATION) -> RolloutRow:
    """Begin a rollout; an older one of the same track ends. Raises WrongStateError."""
    if session.scalar(select(RolloutRow).where(RolloutRow.name == plan.name)) is not None:
        raise WrongStateError(f"There is a rollout “{plan.name}” already.", "Take another name.")
    machines = list(_machines_of(session, plan.schools))
    if not machines:
        raise WrongStateError(
            "None of these schools has a machine in service.",
            "Machines take part once they are verified.",
        )
    session.execute(
        update(RolloutRow)
        .where(RolloutRow.track == plan.track, RolloutRow.state.in_([*GOING, *GIVING_BACK]))
        .values(state=RolloutState.SUPERSEDED)
    )
    row = RolloutRow(name=plan.name, track=plan.track, plan=plan.model_dump(mode="json"),
                     state=RolloutState.RUNNING, wave=0, room=0, reason="",
                     started_at=at)  # fmt: skip
    session.add(row)
    session.flush()
    session.add_all(
        RolloutMachineRow(rollout_id=row.id, machine_id=machine, school=school, wave=None,
                          state=MachineState.WAITING, heard_at=seen)
        for machine, school, seen in machines
    )  # fmt: skip
    note(session, "rollout-changed", actor=actor, rollout=plan.name, change="started",
         machines=len(machines))  # fmt: skip
    session.flush()
    return row


def find(session: Session, name: str) -> RolloutRow:
    """Raises NotFoundError naming the nearest one."""
    row = session.scalar(select(RolloutRow).where(RolloutRow.name == name))
    if row is None:
        known = session.scalars(select(RolloutRow.name))
        raise NotFoundError(f"There is no rollout “{name}”.", nearest(name, list(known)))
    return row


def halted(session: Session) -> list[RolloutRow]:
    """Those that have stopped by themselves and wait for a person."""
    query = select(RolloutRow).where(RolloutRow.state == RolloutState.HALTED)
    return list(session.scalars(query.order_by(RolloutRow.id)))


def going_at(session: Session, school: str) -> list[RolloutRow]:
    """Those under way in which a school takes part, the newest first."""
    m = RolloutMachineRow
    mine = select(m.rollout_id).where(m.school == school).distinct()
    query = select(RolloutRow).where(RolloutRow.id.in_(mine), RolloutRow.state.in_(UNDER_WAY))
    return list(session.scalars(query.order_by(RolloutRow.id.desc())))


def order(session: Session, name: str, move: str, actor: str) -> RolloutRow:
    """What a person decides: pause, resume, take-back. Raises WrongStateError."""
    row = find(session, name)
    # On a database with many writers two people would both look before either has written.
    session.refresh(row, with_for_update=True)
    allowed, then = MOVES[move]
    if row.state not in allowed:
        raise WrongStateError(f"“{name}” is {row.state}; it cannot be told to {move}.")
    row.state, row.reason, row.room = then, "", 0
    if move == "take-back":
        _withdraw(session, row)
    note(session, "rollout-changed", actor=actor, rollout=name, change=str(then))
    return row


def account_for(session: Session, name: str, school: str, actor: str) -> int:
    """A person knows why a school is silent: its unproved machines hold no place any more.

    They wait again, and take it when they come. Returns how many. Raises NotFoundError.
    """
    row = find(session, name)
    m = RolloutMachineRow
    mine = (m.rollout_id == row.id) & (m.school == school)
    schools = session.scalars(select(m.school).where(m.rollout_id == row.id).distinct())
    if school not in (known := list(schools)):
        raise NotFoundError(f"“{school}” does not take part.", nearest(school, known))
    rows = session.scalars(select(m).where(mine, m.state == MachineState.TOLD)).all()
    for machine in rows:
        machine.state, machine.told_at = MachineState.WAITING, None
    note(session, "rollout-changed", actor=actor, rollout=name, change="accounted for",
         machines=len(rows))  # fmt: skip
    return len(rows)


def step(session: Session, at: datetime) -> list[tuple[str, Decision]]:
    """Decide about every rollout that runs; returns what was decided, but for holding on."""
    done = []
    for row in session.scalars(select(RolloutRow).where(RolloutRow.state == RolloutState.RUNNING)):
        plan = plan_of(row)
        while True:
            decision = decide(plan, row.wave, figures(session, row, plan, at), at)
            if decision.verdict is Verdict.HOLD:
                frozen = decision.reason == FROZEN
                row.room = 0 if frozen else decision.figures.room
                break
            _carry_out(session, row, plan, decision)
            done.append((row.name, decision))
            if row.state != RolloutState.RUNNING:
                break
    _finish_taking_back(session)
    return done


def report(session: Session, machine_id: int, reports: Sequence[StateReport], at: datetime) -> None:
    """Note what a machine says it has, in the rollout that goes on its track."""
    _hear(session, _of_machine(session, machine_id), reports, at)


def wanted(session: Session, machine_id: int, at: datetime) -> list[Wanted]:
    """What a machine shall have, on each track; new values only as long as there is room."""
    return _wanted(session, _of_machine(session, machine_id), at)


def answer(
    session: Session, machine_id: int, reports: Sequence[StateReport], at: datetime
) -> list[Wanted]:
    """`report` and then `wanted`, looked up once: each machine asks this four times an hour."""
    places = _of_machine(session, machine_id)
    _hear(session, places, reports, at)
    return _wanted(session, places, at)


def _hear(session: Session, places: Places, reports: Sequence[StateReport], at: datetime) -> None:
    said = {report.track: report for report in reports}
    for row, mine in places:
        _heard(mine, at)
        if (found := said.get(row.track)) is not None:
            _take_in(session, row, mine, found)


def _wanted(session: Session, places: Places, at: datetime) -> list[Wanted]:
    out = []
    for row, mine in places:
        plan = plan_of(row)
        if row.state in GIVING_BACK:
            if mine.told_at is not None or mine.has == plan.value:
                out.append(Wanted(track=row.track, value=plan.former))
        elif mine.told_at is not None or _take_a_place(row, plan, mine, at):
            if mine.told_at is None:
                mine.told_at, mine.state = at, MachineState.TOLD
                session.flush()
            out.append(Wanted(track=row.track, value=plan.value))
    return out


def figures(
    session: Session, row: RolloutRow, plan: RolloutPlan, at: datetime
) -> list[SchoolFigures]:
    """The counts of every school, for a decision at the moment `at`."""
    before = at - timedelta(hours=plan.silent_hours)
    m = RolloutMachineRow
    silent = (m.heard_at.is_(None)) | (m.heard_at < before)
    columns = (m.school, m.wave, m.state, silent.label("silent"))
    query = select(*columns, func.count()).where(m.rollout_id == row.id).group_by(*columns)
    found: dict[str, dict[str, int]] = {}
    waves: dict[str, int | None] = {}
    for school, wave, state, is_silent, count in session.execute(query):
        counts = found.setdefault(school, {})
        waves[school] = wave if waves.get(school) is None else waves[school]
        counts["machines"] = counts.get("machines", 0) + count
        kind = MachineState.WAITING if state == MachineState.BACK else state
        counts[kind] = counts.get(kind, 0) + count
        if is_silent and kind in (MachineState.WAITING, MachineState.TOLD):
            key = "silent" if kind == MachineState.WAITING else "told_silent"
            counts[key] = counts.get(key, 0) + count
    return [SchoolFigures(school=s, wave=waves[s], **found[s]) for s in sorted(found)]


def plan_of(row: RolloutRow) -> RolloutPlan:
    """The plan as it was started. Every question of every machine asks for it."""
    return _parsed(json.dumps(row.plan))


@lru_cache(maxsize=32)
def _parsed(plan: str) -> RolloutPlan:
    return RolloutPlan.model_validate_json(plan)


def exposed(schools: Iterable[SchoolFigures]) -> int:
    """Machines that were given it and have not proved it, and those that failed."""
    return sum(school.told + school.failed for school in schools)


def _machines_of(
    session: Session, schools: Sequence[str]
) -> Iterable[tuple[int, str, datetime]]:  # fmt: skip
    query = (
        select(MachineRow.id, BatchRow.school, MachineRow.last_seen)
        .join(BatchRow, MachineRow.batch_id == BatchRow.id)
        .where(BatchRow.school.in_(schools), MachineRow.milestone.in_(READY))
        .order_by(MachineRow.id)
    )
    yield from session.execute(query)


def _of_machine(
    session: Session, machine_id: int
) -> list[tuple[RolloutRow, RolloutMachineRow]]:  # fmt: skip
    """The machine's place in the rollouts that go on. It joins one that began before it came."""
    query = select(RolloutRow).where(RolloutRow.state.in_([*GOING, *GIVING_BACK]))
    found = []
    for row in session.scalars(query.order_by(RolloutRow.id)).all():
        mine = session.get(RolloutMachineRow, (row.id, machine_id))
        if mine is None:
            mine = _join(session, row, machine_id)
        if mine is not None:
            found.append((row, mine))
    return found


def _join(session: Session, row: RolloutRow, machine_id: int) -> RolloutMachineRow | None:
    machine = session.get_one(MachineRow, machine_id)
    if machine.batch is None or machine.milestone not in READY:
        return None
    school = machine.batch.school
    if school not in plan_of(row).schools:
        return None
    m = RolloutMachineRow
    wave = session.scalar(
        select(func.max(m.wave)).where(m.rollout_id == row.id, m.school == school)
    )
    mine = RolloutMachineRow(rollout_id=row.id, machine_id=machine_id, school=school, wave=wave,
                             state=MachineState.WAITING, has="", powered_on_s=0.0,
                             problem="")  # fmt: skip
    session.add(mine)
    session.flush()
    return mine


def _heard(mine: RolloutMachineRow, at: datetime) -> None:
    if mine.heard_at is None or at - mine.heard_at >= NOTE_EVERY:
        mine.heard_at = at


def _take_in(
    session: Session, row: RolloutRow, mine: RolloutMachineRow, found: StateReport
) -> None:  # fmt: skip
    plan = plan_of(row)
    has_it = found.value == plan.value
    if row.state in GIVING_BACK:
        state = MachineState.TOLD if has_it else MachineState.BACK
        if mine.told_at is None and not has_it:
            return
    else:
        proved = found.powered_on_s >= proof_s(plan, mine.wave or 0)
        state = after_report(MachineState(mine.state), has_it=has_it, ok=found.ok, proved=proved)
    if has_it and mine.told_at is None:
        mine.told_at = mine.heard_at  # a stick brought it before we did
    if state == MachineState.FAILED and mine.state != MachineState.FAILED:
        machine = session.get_one(MachineRow, mine.machine_id)
        note(session, "rollout-machine-failed", machine=machine, rollout=row.name,
             problem={"message": found.problem})  # fmt: skip
    if mine.state == MachineState.HEALTHY and state != MachineState.HEALTHY:
        row.room -= 1  # it takes a place again, without waiting for the next count
    mine.state, mine.has, mine.problem = state, found.now or found.value, found.problem
    mine.powered_on_s = found.powered_on_s


def _take_a_place(row: RolloutRow, plan: RolloutPlan, mine: RolloutMachineRow,
                  at: datetime) -> bool:  # fmt: skip
    """Whether this machine may be given it now: `step` counted the places, each is used once.

    In the same transaction as the telling, so that two machines never share a place.
    """
    if row.state == RolloutState.DONE:
        return mine.state == MachineState.WAITING
    if row.state != RolloutState.RUNNING or mine.wave is None or row.room <= 0:
        return False
    if any(freeze.holds(at) for freeze in plan.freezes):
        return False
    row.room -= 1
    return True


def _carry_out(session: Session, row: RolloutRow, plan: RolloutPlan, decision: Decision) -> None:
    """Make a decision true, and write it down with its figures."""
    verdict = decision.verdict
    if verdict is Verdict.ADMIT:
        m = RolloutMachineRow
        session.execute(
            update(m).where(m.rollout_id == row.id, m.school.in_(decision.schools))
            .values(wave=row.wave).execution_options(synchronize_session="fetch")
        )  # fmt: skip
    elif verdict is Verdict.ADVANCE:
        row.wave += 1
    elif verdict is Verdict.HALT:
        row.state, row.reason, row.room = RolloutState.HALTED, decision.reason[:200], 0
    elif verdict is Verdict.FINISH:
        row.state, row.reason = RolloutState.DONE, decision.reason[:200]
    note(session, "rollout-decided", rollout=row.name, verdict=str(verdict),
         reason=decision.reason, schools=len(decision.schools),
         figures=dataclasses.asdict(decision.figures))  # fmt: skip
    session.flush()


def _withdraw(session: Session, row: RolloutRow) -> None:
    """Who was never given it has nothing to take back."""
    m = RolloutMachineRow
    session.execute(
        update(m).where(m.rollout_id == row.id, m.told_at.is_(None)).values(wave=None)
        .execution_options(synchronize_session="fetch")
    )  # fmt: skip


def _finish_taking_back(session: Session) -> None:
    m = RolloutMachineRow
    for row in session.scalars(
        select(RolloutRow).where(RolloutRow.state == RolloutState.TAKING_BACK)
    ):
        left = session.scalar(
            select(func.count()).where(m.rollout_id == row.id, m.told_at.is_not(None),
                                       m.state != MachineState.BACK)
        )  # fmt: skip
        if not left:
            row.state = RolloutState.TAKEN_BACK
            note(session, "rollout-changed", rollout=row.name, change=str(row.state))
