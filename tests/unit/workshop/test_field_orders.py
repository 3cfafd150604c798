"""Orders for machines in their schools, through the real dialogue and the real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from provisioner.errors import NotFoundError
from provisioner.lifecycle import MAX_INTERRUPTIONS, Milestone
from provisioner.model.health import Health
from provisioner.model.order import Order, RenewWork
from provisioner.model.read_back import ReadBack
from provisioner.model.record import Problem
from provisioner.model.renewal import Check, RenewEvidence
from provisioner.model.side import SideEvidence
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import PollRequest, Surroundings
from provisioner.stages.renew import REQUIRED_CHECKS, judge_renewal
from provisioner.store.tables import FieldOrderRow, MachineRow
from provisioner.workshop import field_orders, sites
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.factories import (
    SCHOOL,
    add_machine,
    make_hardware,
    make_manifest,
    make_station,
    open_batch,
    publish,
)
from tests.unit.workshop.robot import Robot

OLD = "education@2026.1"
NEXT = make_manifest().model_copy(update={"version": "2027.1", "number": 2027001})


class School:
    """A station, and two machines that it handed over."""

    def __init__(self, folder: Path) -> None:
        self.station: Station = make_station(folder)
        publish(self.station, NEXT)
        open_batch(self.station)
        self.dialogue = Dialogue(self.station)
        self.keys = {number: PrivateKey.generate() for number in (1, 2)}
        with self.station.database.transaction() as session:
            for number, key in self.keys.items():
                row = add_machine(session, number, Milestone.HANDED_OVER)
                row.installed_key = key.public

    def order(self, **words: Any) -> list[str | None]:
        with self.station.database.transaction() as session:
            rows = field_orders.renew_school(
                self.station, session, SCHOOL, NEXT.id, "test", **words
            )
            return [row.asset_tag for row in rows]

    def robot(self, number: int) -> Robot:
        made = Robot(
            self.dialogue, make_hardware(number), key=self.keys[number],
            surroundings=Surroundings.INSTALLED, release=OLD,
        )  # fmt: skip
        made.register()
        return made

    def machine(self, number: int) -> MachineRow:
        with self.station.database.reading() as session:
            tag = f"PC-{number:04d}"
            row = session.scalar(select(MachineRow).where(MachineRow.asset_tag == tag))
            assert row is not None
            return row

    def states(self) -> list[str]:
        with self.station.database.reading() as session:
            return [row.state for row in session.scalars(select(FieldOrderRow))]


@pytest.fixture
def school(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    monkeypatch.setattr(sites, "revision_for", lambda _station, _machine: "")
    made = School(tmp_path)
    yield made
    made.station.database.close()


def proved(work: RenewWork, **changes: Any) -> RenewEvidence:
    read_back = tuple(
        ReadBack(path=entry.path, size=entry.size, sha256=entry.sha256) for entry in NEXT.files
    )
    side = SideEvidence(
        release=work.release, manifest_sha256=work.manifest_sha256, read_back=read_back,
        direct_io=True, bytes_kept=0, bytes_copied=0, bytes_from_station=1, bytes_from_peers=0,
        patch_bytes=0, damaged_pieces=0,
    )  # fmt: skip
    values: dict[str, Any] = {
        "old": OLD, "side": side, "running": work.release, "starts_next": work.release,
        "manifest_sha256": work.manifest_sha256,
        "checks": tuple(Check(id=name, passed=True) for name in sorted(REQUIRED_CHECKS)),
    }  # fmt: skip
    return RenewEvidence(**{**values, **changes})


def given(robot: Robot) -> tuple[Order, RenewWork]:
    order = robot.order()
    assert order
    assert isinstance(order.work, RenewWork)
    return order, order.work


def test_a_renewal_is_ordered_given_and_proved(school: School) -> None:
    assert school.order() == ["PC-0001", "PC-0002"]
    robot = school.robot(1)
    order, work = given(robot)
    assert work.release == NEXT.id
    assert school.machine(1).milestone == Milestone.HANDED_OVER  # what is proved stays proved
    assert given(robot)[0].id == order.id  # the answer may have been lost
    robot.send(order, proved(work))
    assert school.machine(1).release == NEXT.id
    assert school.states() == ["done", "waiting"]
    assert robot.order() is None
    assert school.order() == ["PC-0002"]  # the first one has it


def test_a_machine_that_returned_says_why_and_waits_for_a_person(school: School) -> None:
    school.order()
    robot = school.robot(1)
    order, _ = given(robot)
    why = Problem(kind="NewSystemSilentError", message="It was started and never came up.")
    robot.send(order, problem=why)
    machine = school.machine(1)
    assert (machine.release, machine.milestone) == (OLD, Milestone.HANDED_OVER)
    assert machine.needs_hand
    assert robot.order() is None
    with school.station.database.reading() as session:
        standing = field_orders.standings(session, SCHOOL)[0]
    assert (standing.state, standing.why) == ("failed", "It was started and never came up.")
    school.order()  # a new order is the answer of a person
    assert given(robot)


def test_one_that_was_cut_short_is_given_again_and_not_for_ever(school: School) -> None:
    school.order()
    robot, seen = school.robot(1), set()
    for _ in range(MAX_INTERRUPTIONS):
        order, _ = given(robot)
        seen.add(order.id)
        robot.send(order, problem=Problem(kind="RenewalInterruptedError", message="switched off"))
    assert len(seen) == MAX_INTERRUPTIONS
    assert robot.order() is None
    assert school.states() == ["failed", "waiting"]


def test_a_machine_that_starts_again_keeps_its_order(school: School) -> None:
    """The new system works with the same key on the same order."""
    school.order()
    robot = school.robot(1)
    order, work = given(robot)
    robot.register()
    robot.send(order, proved(work))
    assert school.machine(1).release == NEXT.id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"running": OLD}, f"{OLD} runs"),
        ({"starts_next": OLD}, f"{OLD} starts next"),
        ({"checks": ()}, "Nobody looked at"),
        ({"checks": (Check(id="room", passed=False, value="3 MiB"),)}, "room: 3 MiB"),
        ({"manifest_sha256": "1" * 64}, "another release"),
        ({"homes": "erase"}, "What pupils saved"),
    ],
)
def test_what_does_not_prove_a_renewal(school: School, changes: dict[str, Any], said: str) -> None:
    school.order()
    robot = school.robot(1)
    order, work = given(robot)
    evidence = proved(work, **changes)
    assert any(said in reason for reason in judge_renewal(evidence, work, NEXT))
    robot.send(order, evidence)
    assert school.machine(1).release == OLD


@pytest.mark.parametrize("change", [{"direct_io": False}, {"read_back": ()}])
def test_files_must_have_come_back_from_the_disk(school: School, change: dict[str, Any]) -> None:
    school.order()
    robot = school.robot(1)
    order, work = given(robot)
    good = proved(work)
    robot.send(order, good.model_copy(update={"side": good.side.model_copy(update=change)}))
    assert school.machine(1).release == OLD


def test_a_configuration_that_was_asked_for_must_be_there() -> None:
    work = RenewWork(release=NEXT.id, manifest_sha256="0" * 64, configuration="r2")
    assert any("configuration" in why for why in judge_renewal(proved(work), work, NEXT))
    assert not judge_renewal(proved(work, configuration="r2"), work, NEXT)


def test_what_was_not_given_can_be_taken_back(school: School) -> None:
    school.order()
    with school.station.database.transaction() as session:
        assert field_orders.withdraw(school.station, session, SCHOOL, "test") == 2
    assert school.robot(1).order() is None


def test_a_newer_order_takes_the_place_of_one_that_waits(school: School) -> None:
    school.order()
    school.order()
    assert school.states() == ["withdrawn", "withdrawn", "waiting", "waiting"]


def test_a_school_that_nobody_knows(school: School) -> None:
    with (
        school.station.database.reading() as session,
        pytest.raises(NotFoundError, match="No machine"),
    ):
        field_orders.standings(session, "nowhere")


def test_health_is_kept_with_when_it_was_heard(school: School) -> None:
    robot = school.robot(1)
    health = Health(release=OLD, good=OLD, temperature_c=41.5, state_free=10**9)
    request = PollRequest(counter=robot.count(), health=health)
    robot.read(school.dialogue.poll(robot.key.seal(request).encode(), "192.0.2.1"))
    with school.station.database.reading() as session:
        first, second = field_orders.standings(session, SCHOOL)
    assert first.health == health
    assert second.health is None  # silence is unknown, never well


def test_machines_in_their_school_speak_seldom(school: School) -> None:
    assert school.robot(1).poll().poll_seconds == 300.0
