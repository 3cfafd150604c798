"""A machine's grade: computed from its evidence, corrected by a person, both on record.

Nothing is stored but events and evidence, so a rule that changes changes every grade, and a
person's word stands beside what the rules said. It holds until the machine is tested again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provisioner.errors import WrongStateError
from provisioner.lifecycle import RunState, Verb
from provisioner.model.base import Model, ShortText
from provisioner.model.grade import CHECKLIST, Grade, GradeReason, Letter, Looked, grade
from provisioner.model.record import DiagnoseEvidence, SmartReading
from provisioner.store.events import note
from provisioner.store.tables import EventRow, MachineRow, RunRow
from provisioner.workshop import desk
from provisioner.workshop.station import Station

_ENDED = (RunState.SUCCEEDED, RunState.FAILED)


class MachineGrade(Model):
    """What the rules say, what a person says, and what counts."""

    letter: Letter
    by_rules: Letter
    reasons: tuple[GradeReason, ...]
    overridden_by: ShortText = ""
    override_reason: ShortText = ""
    looked: dict[str, Looked]


def grade_of(session: Session, machine: MachineRow) -> MachineGrade:
    """The grade as things stand now."""
    run = _latest_diagnosis(session, machine)
    looked = _looked(session, machine)
    found = _by_rules(run, looked)
    since = run.ended_at if run is not None else None
    override = _override(session, machine, since)
    data = override.data if override else {}
    letter = Letter(data["letter"]) if data else found.letter
    return MachineGrade(
        letter=letter, by_rules=found.letter, reasons=found.reasons, looked=looked,
        overridden_by=override.actor if override else "", override_reason=data.get("reason", ""),
    )  # fmt: skip


def letters_of(
    station: Station, session: Session, machines: Sequence[MachineRow]
) -> dict[int, str]:
    """The grades of machines that were tested; made anew when what they rest on changed."""
    numbers = [machine.id for machine in machines]
    tested = dict(
        session.execute(
            select(RunRow.machine_id, func.max(RunRow.id))
            .where(RunRow.verb == Verb.DIAGNOSE, RunRow.state.in_(_ENDED))
            .where(RunRow.machine_id.in_(numbers))
            .group_by(RunRow.machine_id)
        ).all()
    )
    said = dict(
        session.execute(
            select(EventRow.machine_id, func.max(EventRow.id))
            .where(EventRow.kind.in_(("grade-overridden", "looked-at")))
            .where(EventRow.machine_id.in_(numbers))
            .group_by(EventRow.machine_id)
        ).all()
    )
    found: dict[int, str] = {}
    for machine in machines:
        if machine.id in tested:
            rests_on = (tested[machine.id], said.get(machine.id, 0))
            kept = station.letters.get(machine.id)
            if kept is None or kept[0] != rests_on:
                kept = (rests_on, grade_of(session, machine).letter.value)
                station.letters[machine.id] = kept
            found[machine.id] = kept[1]
    return found


def override_grade(
    station: Station, session: Session, tag: str, letter: Letter, reason: str, actor: str
) -> MachineRow:
    """A person knows better, and says why. Raises WrongStateError without a reason."""
    machine = desk.find_machine(session, tag)
    words = " ".join(reason.split())[:200]
    if not words.isprintable() or len(words) < 3:
        raise WrongStateError(
            "A grade is changed only with a reason.", "Write why, in a few words."
        )
    was = grade_of(session, machine).letter
    note(
        session, "grade-overridden", actor=actor, machine=machine,
        letter=letter, before=was, reason=words,
    )  # fmt: skip
    station.board.touch()
    return machine


def look_at(
    station: Station, session: Session, tag: str, found: dict[str, Looked], actor: str
) -> MachineRow:
    """What a person saw, heard and touched. Raises WrongStateError for a part not on the list."""
    machine = desk.find_machine(session, tag)
    if not found or set(found) - set(CHECKLIST):
        raise WrongStateError("Nothing of the list was answered.", "Choose an answer, then send.")
    note(
        session,
        "looked-at",
        actor=actor,
        machine=machine,
        found={k: v.value for k, v in found.items()},
    )
    station.board.touch()
    return machine


def _by_rules(run: RunRow | None, looked: dict[str, Looked]) -> Grade:
    try:
        evidence = DiagnoseEvidence.model_validate(run.evidence if run else None)
    except ValidationError:
        return grade((), SmartReading(), looked)
    return grade(evidence.checks, evidence.smart, looked)


def _latest_diagnosis(session: Session, machine: MachineRow) -> RunRow | None:
    query = select(RunRow).where(
        RunRow.machine_id == machine.id, RunRow.verb == Verb.DIAGNOSE,
        RunRow.state.in_(_ENDED),
    )  # fmt: skip
    return session.scalars(query.order_by(RunRow.id.desc())).first()


def _override(session: Session, machine: MachineRow, since: datetime | None) -> EventRow | None:
    query = select(EventRow).where(
        EventRow.machine_id == machine.id, EventRow.kind == "grade-overridden"
    )
    found = session.scalars(query.order_by(EventRow.id.desc())).first()
    return None if found is None or (since is not None and found.at < since) else found


def _looked(session: Session, machine: MachineRow) -> dict[str, Looked]:
    query = select(EventRow).where(EventRow.machine_id == machine.id, EventRow.kind == "looked-at")
    found: dict[str, Looked] = {}
    for event in session.scalars(query.order_by(EventRow.id)):
        found |= {part: Looked(word) for part, word in event.data.get("found", {}).items()}
    return found
