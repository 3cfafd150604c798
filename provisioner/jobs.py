"""Durable jobs: what the station itself does to a machine, over SSH.

A run is opened in our own tables first; then a DBOS workflow named after the run carries it
out. When the station dies in the middle, starting the workflow of the same name again at the
next start finds it wherever it was: not begun, begun, or done. Machines' check-ins and progress
never pass through here.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import cast

from dbos import DBOS, DBOSConfig, SetWorkflowID
from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.lifecycle import MAX_INTERRUPTIONS, Milestone, Place, RunState, Verb, next_stage
from provisioner.model.record import Problem
from provisioner.model.wire import Surroundings
from provisioner.store.events import note
from provisioner.store.tables import MachineRow, RunRow, now
from provisioner.workshop import path, runs
from provisioner.workshop.field_work import Outcome, carry_out
from provisioner.workshop.station import Station

QUEUE = "field-work"
LOOK_EVERY_S = 2.0
# A machine that has not been heard for this long is not worked on; it will be when it is back.
FRESH = timedelta(seconds=45)

log = logging.getLogger(__name__)
Work = Callable[[Station, int, Verb], Outcome]
# DBOS calls workflows by name with plain values; what they work with is set once per process.
_bench: tuple[Station, Work] | None = None


class Jobs:
    """The station's workers. Start once per process, after the database is migrated."""

    def __init__(self, station: Station, concurrency: int = 4, work: Work = carry_out) -> None:
        self._station, self._concurrency, self._work = station, concurrency, work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="jobs", daemon=True)

    def start(self) -> None:
        global _bench
        _bench = (self._station, self._work)
        DBOS(config=_config(self._station))
        DBOS.launch()
        DBOS.register_queue(QUEUE, concurrency=self._concurrency)
        self._resume()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        DBOS.destroy(workflow_completion_timeout_sec=0)

    def _resume(self) -> None:
        """Take up runs of ours that were open when the station stopped."""
        with self._station.database.transaction() as session:
            query = select(RunRow).where(
                RunRow.state == RunState.RUNNING, RunRow.order_key.is_(None)
            )
            for run in session.scalars(query).all():
                machine = session.get_one(MachineRow, run.machine_id)
                note(session, "run-resumed", machine=machine, verb=run.verb, run=run.id)
                _enqueue(run.id)

    def _loop(self) -> None:
        while not self._stop.wait(LOOK_EVERY_S):
            try:
                for run in self._open_due_runs():
                    _enqueue(run)
            except Exception:
                log.exception("looking for work failed; trying again")

    def _open_due_runs(self) -> list[int]:
        with self._station.database.transaction() as session:
            opened = [
                runs.open_run(session, machine, verb).id
                for machine in _present(session)
                if (verb := _due(session, machine)) is not None
            ]
        if opened:
            self._station.board.touch()
        return opened


def run_now(station: Station, machine_id: int, verb: Verb) -> Outcome:
    """Carry out one stage at once, without the queue; for `provisioner verify MACHINE`."""
    with station.database.transaction() as session:
        machine = session.get_one(MachineRow, machine_id)
        run = runs.open_run(session, machine, verb).id
    return _perform(station, carry_out, run)


@DBOS.workflow(name="field_work")
def field_work(run_id: int) -> None:
    """One run, to its end. The step inside is repeated when the station died in the middle."""
    field_step(run_id)


@DBOS.step(name="field_step")
def field_step(run_id: int) -> None:
    assert _bench is not None
    station, work = _bench
    _perform(station, work, run_id)


def _perform(station: Station, work: Work, run_id: int) -> Outcome:
    """Do the work of a run and close it with the judgement."""
    with station.database.transaction() as session:
        run = session.get_one(RunRow, run_id)
        machine = session.get_one(MachineRow, run.machine_id)
        if run.ended_at is not None:
            return Outcome(evidence=run.evidence, reasons=[])
        verb, machine_id = Verb(run.verb), machine.id
    try:
        outcome, error = work(station, machine_id, verb), None
    except ProvisionerError as problem:
        outcome, error = Outcome(evidence=None, reasons=[problem.message]), problem
    with station.database.transaction() as session:
        _close(session, run_id, outcome, error)
    station.board.clear(machine_id)
    return outcome


def _close(session: Session, run_id: int, outcome: Outcome, error: ProvisionerError | None) -> None:
    run = session.get_one(RunRow, run_id)
    machine = session.get_one(MachineRow, run.machine_id)
    if run.ended_at is not None:
        return
    if isinstance(error, UnreachableError):
        runs.interrupt(session, machine, run, error.message)
        times = runs.interruptions_in_a_row(session, machine, run.verb)
        if times >= MAX_INTERRUPTIONS:
            path.give_up(session, machine, run.verb, times)
    elif error is not None:
        problem = Problem(kind=type(error).__name__, message=error.message, hint=error.hint)
        runs.fail(session, machine, run, problem)
    elif outcome.reasons:
        runs.fail(session, machine, run, runs.not_proved(outcome.reasons), outcome.evidence)
    else:
        runs.succeed(session, machine, run, outcome.evidence)


def _enqueue(run_id: int) -> None:
    with SetWorkflowID(f"run-{run_id}"):
        DBOS.enqueue_workflow(QUEUE, field_work, run_id)


def _present(session: Session) -> list[MachineRow]:
    """Machines that run their own system and spoke a moment ago."""
    query = select(MachineRow).where(
        MachineRow.milestone.in_((Milestone.IMAGED, Milestone.CONFIGURED)),
        MachineRow.last_seen > now() - FRESH,
        MachineRow.batch_id.is_not(None),
    )
    return [
        machine
        for machine in session.scalars(query)
        if machine.boot.get("surroundings") == Surroundings.INSTALLED
    ]


def _due(session: Session, machine: MachineRow) -> Verb | None:
    stage = next_stage(Milestone(machine.milestone))
    if stage is None or stage.place is not Place.STATION_TO_INSTALLED:
        return None
    if machine.needs_hand is not None or runs.open_runs(session, machine):
        return None
    return stage.verb


def _config(station: Station) -> DBOSConfig:
    config: DBOSConfig = {
        "name": "classroom-provisioner",
        "system_database_url": station.settings.jobs_url,
        # Work that was begun by another version of the program is ours to finish, too.
        "application_version": "1",
        "executor_id": "station",
        "log_level": "WARNING",
    }
    # A setting that the library reads and its type does not name: no second door into a station.
    return cast(DBOSConfig, {**config, "run_admin_server": False})
