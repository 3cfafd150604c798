"""Runs: starting and ending one stage on one machine, with its milestone and its event.

The milestone is lowered in the same transaction that opens a destructive run, and raised in the
one that closes it with an empty list of reasons; so whatever moment the power fails, the store
never claims more than was proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.lifecycle import (
    Milestone,
    RunState,
    Verb,
    when_not_proved,
    when_proved,
    while_running,
)
from provisioner.model.record import Problem
from provisioner.store.events import note
from provisioner.store.tables import MachineRow, RunRow, now

# Errands between stages, not stages
RESTART, RECONFIGURE, RESET_HOMES, LOGS = "restart", "reconfigure", "reset-homes", "logs"
ERRANDS = (RESTART, RECONFIGURE, RESET_HOMES, LOGS)


def open_run(session: Session, machine: MachineRow, verb: str) -> RunRow:
    """Start a run; lowers the milestone to what still holds while it works."""
    _move(session, machine, verb, while_running)
    run = RunRow(machine_id=machine.id, verb=verb, state=RunState.RUNNING, started_at=now())
    session.add(run)
    session.flush()
    note(session, "run-started", machine=machine, verb=verb, run=run.id)
    return run


def succeed(
    session: Session, machine: MachineRow, run: RunRow, evidence: dict[str, Any] | None
) -> None:
    """Close a run whose evidence was judged sufficient, and raise the milestone."""
    _close(run, RunState.SUCCEEDED)
    run.evidence = evidence
    _move(session, machine, run.verb, when_proved)
    machine.needs_hand = None
    note(
        session, "run-succeeded",
        machine=machine, verb=run.verb, run=run.id, milestone=machine.milestone,
    )  # fmt: skip


def fail(
    session: Session,
    machine: MachineRow,
    run: RunRow,
    problem: Problem,
    evidence: dict[str, Any] | None = None,
) -> None:
    """Close a run that failed; the machine waits for a person."""
    _close(run, RunState.FAILED)
    run.problem = problem.model_dump()
    run.evidence = evidence
    _move(session, machine, run.verb, when_not_proved)
    machine.needs_hand = problem.model_dump()
    note(
        session,
        "run-failed",
        machine=machine,
        verb=run.verb,
        run=run.id,
        problem=problem.model_dump(),
    )


def interrupt(session: Session, machine: MachineRow, run: RunRow, why: str) -> None:
    """Close a run that was cut short; it is tried again by itself."""
    _close(run, RunState.INTERRUPTED)
    run.problem = Problem(kind="interrupted", message=why).model_dump()
    note(session, "run-interrupted", machine=machine, verb=run.verb, run=run.id, why=why)


def open_runs(session: Session, machine: MachineRow) -> Sequence[RunRow]:
    """The machine's runs that have not ended (at most one, but nobody should rely on it)."""
    query = select(RunRow).where(RunRow.machine_id == machine.id, RunRow.state == RunState.RUNNING)
    return session.scalars(query.order_by(RunRow.id)).all()


def interruptions_in_a_row(session: Session, machine: MachineRow, verb: str) -> int:
    """How often the latest runs of a stage were cut short without one that ended."""
    query = (
        select(RunRow.state)
        .where(RunRow.machine_id == machine.id, RunRow.verb == verb)
        .order_by(RunRow.id.desc())
    )
    count = 0
    for state in session.scalars(query):
        if state != RunState.INTERRUPTED:
            break
        count += 1
    return count


def latest(session: Session, machine: MachineRow, verb: str) -> RunRow | None:
    """The machine's most recent run of a stage."""
    query = select(RunRow).where(RunRow.machine_id == machine.id, RunRow.verb == verb)
    return session.scalars(query.order_by(RunRow.id.desc())).first()


def not_proved(reasons: Sequence[str]) -> Problem:
    """A judgement in the form of a problem: the reasons, and what a person does."""
    return Problem(
        kind="ProofMissingError",
        message=" ".join(reasons)[:3900],
        hint="Look at the evidence on the machine's page, mend the cause, then press “try again”.",
    )


def _move(
    session: Session,
    machine: MachineRow,
    verb: str,
    rule: Callable[[Verb, Milestone], Milestone],
) -> None:
    """Set the milestone by a rule of the table; an errand between stages moves nothing."""
    if verb not in set(Verb):
        return
    target = rule(Verb(verb), Milestone(machine.milestone))
    if target != machine.milestone:
        note(session, "milestone", machine=machine, was=machine.milestone, now=target)
        machine.milestone = target


def _close(run: RunRow, state: RunState) -> None:
    run.state = state
    run.ended_at = now()
