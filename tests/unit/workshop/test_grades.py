"""A person's word on a machine stands beside the rules', with its reason, until the next test."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from provisioner.errors import WrongStateError
from provisioner.lifecycle import Verb
from provisioner.model.grade import CHECKLIST, Letter, Looked
from provisioner.store.tables import EventRow, RunRow, now
from provisioner.workshop import desk, grades
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.grades import MachineGrade
from provisioner.workshop.station import Station
from tests.paper_factory import make_pc, send_through


def look(station: Station, tag: str = "PC-0001") -> MachineGrade:
    with station.database.reading() as session:
        return grades.grade_of(session, desk.find_machine(session, tag))


def override(station: Station, letter: Letter, reason: str) -> None:
    with station.database.transaction() as session:
        grades.override_grade(station, session, "PC-0001", letter, reason, "cli:chen")


def test_rules_then_a_person_then_the_next_test(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    send_through(dialogue, make_pc(1))
    assert look(station).letter is Letter.B
    with station.database.transaction() as session:
        grades.look_at(
            station, session, "PC-0001", dict.fromkeys(CHECKLIST, Looked.GOOD), "dashboard"
        )
    assert look(station).letter is Letter.A
    override(station, Letter.C, "The case  is cracked")
    found = look(station)
    assert (found.letter, found.by_rules) == (Letter.C, Letter.A)
    assert (found.overridden_by, found.override_reason) == ("cli:chen", "The case is cracked")
    with station.database.transaction() as session:
        run = session.scalars(select(RunRow).where(RunRow.verb == Verb.DIAGNOSE)).one()
        session.add(RunRow(machine_id=run.machine_id, verb=Verb.DIAGNOSE, state=run.state,
                           evidence=run.evidence, ended_at=now()))  # fmt: skip
    assert look(station).overridden_by == ""
    with station.database.reading() as session:
        kinds = session.scalars(select(EventRow.kind)).all()
        assert "grade-overridden" in kinds and "looked-at" in kinds


@pytest.mark.parametrize("reason", ["", "  ", "x", "\x1b[31mred"])
def test_no_grade_without_a_reason(
    station: Station, dialogue: Dialogue, batch: str, reason: str
) -> None:
    send_through(dialogue, make_pc(1))
    with pytest.raises(WrongStateError):
        override(station, Letter.A, reason)


def test_only_parts_of_the_list_are_looked_at(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    send_through(dialogue, make_pc(1))
    for found in ({}, {"soul": Looked.GOOD}):
        with pytest.raises(WrongStateError), station.database.transaction() as session:
            grades.look_at(station, session, "PC-0001", found, "x")
