"""Rollouts in a real database, spoken with through the machines' own signed question."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from provisioner.errors import NotFoundError, UntrustedError, WrongStateError
from provisioner.fleet import rollouts
from provisioner.model.rollout import Freeze, RolloutPlan, RolloutState, StateReport, WantedRequest
from provisioner.store.tables import EventRow
from tests.rollout_sim import MONDAY, NEW, OLD, TRACK, Country, Machine, Scenario

GOOD = Scenario("good", fails=0.0)


@pytest.fixture
def country(tmp_path: Path) -> Iterator[Country]:
    made = Country(tmp_path, schools=3, seats=4)
    made.now = MONDAY + timedelta(hours=9)
    yield made
    made.station.database.close()


def make_plan(**changes: object) -> RolloutPlan:
    values = {"name": "r1", "track": TRACK, "value": NEW, "former": OLD,
              "schools": ("school-000", "school-001", "school-002")}  # fmt: skip
    return RolloutPlan.model_validate({**values, **changes})


def begin(country: Country, **changes: object) -> None:
    with country.station.database.transaction() as session:
        rollouts.start(session, make_plan(**changes), country.now)
        rollouts.step(session, country.now)


def ask(country: Country, machine: Machine, scenario: Scenario = GOOD) -> str:
    country.speak(machine, scenario, lambda body: country.dialogue.wanted(body, ""))
    return machine.value


def step(country: Country) -> list[str]:
    with country.station.database.transaction() as session:
        return [str(decision.verdict) for _, decision in rollouts.step(session, country.now)]


def state(country: Country) -> str:
    with country.station.database.reading() as session:
        return rollouts.find(session, "r1").state


def order(country: Country, move: str) -> None:
    with country.station.database.transaction() as session:
        rollouts.order(session, "r1", move, "test")


def test_places_are_given_once_each_and_outlive_a_restart(country: Country) -> None:
    begin(country)
    have = [ask(country, machine) for machine in country.machines]
    assert have.count(NEW) == 3
    country.restart()
    assert [ask(country, machine) for machine in country.machines] == have
    assert step(country) == []


def test_proved_by_hours_switched_on_then_the_next_wave(country: Country) -> None:
    begin(country)
    for machine in country.machines:
        ask(country, machine)
    told = [machine for machine in country.machines if machine.value == NEW]
    for machine in told:
        machine.since_s = 4 * 3600 - 1
        ask(country, machine)
    assert "advance" not in step(country)
    for machine in told:
        machine.since_s = 4 * 3600
        ask(country, machine)
    assert "advance" in step(country)


def test_a_failure_in_the_lab_halts_and_says_so(country: Country) -> None:
    begin(country)
    bad = Scenario("bad", fails=1.0)
    for _ in range(2):
        for machine in country.machines:
            ask(country, machine, bad)
    assert step(country) == ["halt"]
    with country.station.database.reading() as session:
        event = session.scalars(
            select(EventRow).where(EventRow.kind == "rollout-decided").order_by(EventRow.id.desc())
        ).first()
        assert event is not None
        assert event.data["verdict"] == "halt"
        assert event.data["figures"]["failed"] == 3
    order(country, "resume")
    assert state(country) == RolloutState.RUNNING
    order(country, "take-back")
    for _ in range(2):
        assert {ask(country, machine) for machine in country.machines} == {OLD}
    step(country)
    assert state(country) == RolloutState.TAKEN_BACK


def test_paused_and_frozen_give_it_to_nobody(country: Country) -> None:
    begin(country, freezes=(Freeze(begins=country.now, ends=country.now + timedelta(hours=2)),))
    assert {ask(country, machine) for machine in country.machines} == {OLD}
    country.now += timedelta(hours=2)
    order(country, "pause")
    step(country)
    assert {ask(country, machine) for machine in country.machines} == {OLD}
    order(country, "resume")
    step(country)
    assert NEW in {ask(country, machine) for machine in country.machines}
    with pytest.raises(WrongStateError):
        order(country, "resume")


def test_who_comes_weeks_later_takes_the_newest(country: Country) -> None:
    begin(country)
    with country.station.database.transaction() as session:
        newer = make_plan(name="r2", value="contest-2027.2.prepared", former=NEW)
        rollouts.start(session, newer, country.now)
        rollouts.step(session, country.now)
        assert rollouts.find(session, "r1").state == RolloutState.SUPERSEDED
    country.now += timedelta(weeks=5)
    step(country)
    have = [ask(country, machine) for machine in country.machines]
    assert have.count("contest-2027.2.prepared") == 3
    assert NEW not in have


def test_a_person_may_account_for_silence(country: Country) -> None:
    begin(country)
    for machine in country.machines:
        ask(country, machine)
    school = next(machine.school for machine in country.machines if machine.value == NEW)
    with country.station.database.transaction() as session:
        assert rollouts.account_for(session, "r1", school, "test") == 3
        with pytest.raises(NotFoundError):
            rollouts.account_for(session, "r1", "nowhere", "test")


def test_a_question_is_believed_once(country: Country) -> None:
    machine = country.machines[0]
    report = StateReport(track=TRACK, value=OLD, ok=True, powered_on_s=0)
    body = machine.key.seal(WantedRequest(counter=7, reports=(report,))).encode()
    country.dialogue.wanted(body, "")
    with pytest.raises(UntrustedError):
        country.dialogue.wanted(body, "")
    with pytest.raises(UntrustedError):
        country.dialogue.wanted(body.replace(b'"payload":"e', b'"payload":"f'), "")


def test_rollouts_need_machines_and_a_name_of_their_own(country: Country) -> None:
    begin(country)
    with country.station.database.transaction() as session:
        with pytest.raises(WrongStateError, match="already"):
            rollouts.start(session, make_plan(), country.now)
        with pytest.raises(WrongStateError, match="None of these"):
            rollouts.start(session, make_plan(name="r3", schools=("x",)), country.now)
        with pytest.raises(NotFoundError, match="r1"):
            rollouts.find(session, "r")
