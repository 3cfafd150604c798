"""A machine's passport: its history as evidence, signed by the station."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from provisioner.lifecycle import RunState
from provisioner.model.base import Model
from provisioner.store.tables import MachineRow, RunRow
from provisioner.workshop.station import Station


class PassportStage(Model):
    """The latest ended run of one stage."""

    verb: str
    outcome: str
    started_at: str
    seconds: float
    evidence: dict[str, Any]
    problem: dict[str, Any] | None = None


class Passport(Model):
    """What a school, a donor or a later workshop may know about a machine."""

    asset_tag: str
    milestone: str
    school: str
    batch: str
    release: str
    hardware: dict[str, Any]
    disk: dict[str, Any] | None
    stages: tuple[PassportStage, ...]


def passport(session: Session, machine: MachineRow) -> Passport:
    """The passport as a value; `seal_passport` signs it."""
    session.refresh(machine, ["runs", "batch"])
    latest: dict[str, RunRow] = {}
    for run in machine.runs:
        if run.ended_at is not None and run.state != RunState.INTERRUPTED:
            latest[run.verb] = run
    return Passport(
        asset_tag=machine.asset_tag or "",
        milestone=machine.milestone,
        school=machine.batch.school if machine.batch else "",
        batch=machine.batch.name if machine.batch else "",
        release=machine.release,
        hardware=machine.hardware,
        disk=machine.target,
        stages=tuple(_stage(run) for run in latest.values()),
    )


def seal_passport(station: Station, session: Session, machine: MachineRow) -> str:
    """The passport in a signed envelope, as JSON text."""
    return station.key.seal(passport(session, machine))


def _stage(run: RunRow) -> PassportStage:
    assert run.ended_at is not None
    return PassportStage(
        verb=run.verb,
        outcome=run.state,
        started_at=run.started_at.isoformat(timespec="seconds"),
        seconds=round((run.ended_at - run.started_at).total_seconds(), 1),
        evidence=run.evidence or {},
        problem=run.problem,
    )
