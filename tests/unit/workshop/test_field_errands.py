"""Errands in the field: ordered, given, judged; nothing that was proved before is lost by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent.errands import reset_homes
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.errand import (
    LogsEvidence,
    ReconfigureEvidence,
    ReconfigureWork,
    ResetHomesEvidence,
    ResetHomesWork,
)
from provisioner.model.order import RenewWork
from provisioner.workshop import field_errands, sites
from tests.factories import SCHOOL
from tests.unit.workshop.test_field_orders import NEXT, OLD, School, given, proved

NOW = "a" * 64


@pytest.fixture
def school(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    monkeypatch.setattr(sites, "revision_for", lambda _station, _machine: NOW)
    made = School(tmp_path)
    yield made
    made.station.database.close()


def ask(school: School, what: str, tag: str = "") -> int:
    with school.station.database.transaction() as session:
        work = field_errands.work_of(what)
        return len(field_errands.order_errand(school.station, session, SCHOOL, work, "test", tag))


def test_configuring_anew_is_proved_by_the_revision_that_holds(school: School) -> None:
    assert ask(school, "reconfigure") == 2
    robot = school.robot(1)
    order = robot.order()
    assert order and order.work == ReconfigureWork(configuration=NOW)
    robot.send(order, ReconfigureEvidence(configuration=NOW))
    assert school.machine(1).milestone == Milestone.HANDED_OVER
    assert school.states() == ["done", "waiting"]


def test_another_revision_is_no_proof_and_a_new_order_answers_it(school: School) -> None:
    ask(school, "reconfigure", "PC-0001")
    robot = school.robot(1)
    order = robot.order()
    assert order
    robot.send(order, ReconfigureEvidence(configuration="b" * 64))
    machine = school.machine(1)
    assert machine.needs_hand
    assert machine.milestone == Milestone.HANDED_OVER
    ask(school, "reconfigure", "PC-0001")
    assert robot.order()


@pytest.mark.parametrize(("left", "state"), [(0, "done"), (3, "failed")])
def test_a_home_that_is_not_empty_is_not_reset(school: School, left: int, state: str) -> None:
    ask(school, "reset-homes", "pc-0001")
    robot = school.robot(1)
    order = robot.order()
    assert order and isinstance(order.work, ResetHomesWork)
    robot.send(order, ResetHomesEvidence(removed=9, left=left))
    assert school.states() == [state]


def test_a_log_comes_home(school: School) -> None:
    ask(school, "logs", "PC-0001")
    robot = school.robot(1)
    order = robot.order()
    assert order
    with school.station.database.reading() as session, pytest.raises(NotFoundError):
        field_errands.log_of(session, school.machine(1))
    robot.send(order, LogsEvidence(text="2029-01-01 kernel: hello\n"))
    with school.station.database.reading() as session:
        assert "hello" in field_errands.log_of(session, school.machine(1))


def test_errands_and_a_renewal_wait_beside_each_other(school: School) -> None:
    school.order()
    ask(school, "logs", "PC-0001")
    ask(school, "logs", "PC-0001")
    assert sorted(school.states()) == ["waiting", "waiting", "waiting", "withdrawn"]


def test_rolling_back_names_what_each_machine_had_before(school: School) -> None:
    station = school.station
    with station.database.transaction() as session, pytest.raises(WrongStateError):
        field_errands.roll_back(station, session, SCHOOL, "test")
    school.order()
    robot = school.robot(1)
    order, work = given(robot)
    robot.send(order, proved(work, configuration=NOW))
    assert school.machine(1).release == NEXT.id
    with station.database.transaction() as session:
        rows = field_errands.roll_back(station, session, SCHOOL, "test")
        assert [row.asset_tag for row in rows] == ["PC-0001"]
    back = robot.order()
    assert back and isinstance(back.work, RenewWork)
    assert back.work.release == OLD


def test_a_machine_of_another_school_is_not_asked(school: School) -> None:
    with pytest.raises(NotFoundError, match="PC-0009"):
        ask(school, "logs", "PC-0009")
    with pytest.raises(NotFoundError):
        field_errands.work_of("dance")


def test_what_is_left_in_a_home_is_counted(tmp_path: Path) -> None:
    home = tmp_path / "home/xuesheng"
    (home / "deep").mkdir(parents=True)
    (home / "deep/drawing.sb3").write_bytes(b"x")
    (home / ".hidden").write_bytes(b"x")
    found = reset_homes(tmp_path)
    assert (found.removed, found.left) == (2, 0)
    assert home.is_dir()
