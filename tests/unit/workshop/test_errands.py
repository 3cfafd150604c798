"""A frozen disk and a doubtful memory: what a person may offer a machine, and what comes of it."""

from __future__ import annotations

import pytest

from provisioner.errors import DriveFrozenError, WrongStateError
from provisioner.model.order import WipeWork
from provisioner.model.record import Problem
from provisioner.netboot.menus import BootAction
from provisioner.workshop import desk, errands
from provisioner.workshop.boot import decide_boot
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.unit.workshop.conftest import small_manifest
from tests.unit.workshop.robot import Robot, hardware, honest

TAG, MAC = "PC-0001", hardware(1).nics[0].mac
FROZEN = Problem(kind=DriveFrozenError.__name__, message="frozen", hint="sleep")


@pytest.fixture
def frozen(station: Station, dialogue: Dialogue, batch: str) -> Robot:
    """A machine whose wipe was refused because its firmware has frozen the disk."""
    robot = Robot(dialogue, hardware(1))
    robot.register()
    tests = robot.order()
    assert tests is not None
    robot.send(tests, honest(tests, small_manifest(), ""))
    order = robot.order()
    assert order is not None and isinstance(order.work, WipeWork) and not order.work.thaw
    robot.send(order, problem=FROZEN)
    return robot


def test_a_frozen_disk_is_offered_a_sleep_once(station: Station, frozen: Robot) -> None:
    assert frozen.order() is None
    with station.database.transaction() as session:
        errands.let_sleep(station, session, TAG, "test")
    order = frozen.order()
    assert order is not None and isinstance(order.work, WipeWork) and order.work.thaw
    frozen.send(order, problem=FROZEN)
    with station.database.transaction() as session:
        desk.try_again(station, session, TAG, "test")
    order = frozen.order()
    assert order is not None and isinstance(order.work, WipeWork) and not order.work.thaw


def test_only_a_frozen_disk_is(station: Station, dialogue: Dialogue, batch: str) -> None:
    Robot(dialogue, hardware(1)).register()
    with station.database.transaction() as session, pytest.raises(WrongStateError):
        errands.let_sleep(station, session, TAG, "test")


def test_a_memory_test_lasts_until_try_again(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    robot = Robot(dialogue, hardware(1))
    robot.register()
    with station.database.transaction() as session:
        assert decide_boot(session, station.settings, MAC).action is BootAction.LIVE
        errands.test_memory(station, session, TAG, "test")
        assert decide_boot(session, station.settings, MAC).action is BootAction.MEMORY_TEST
        other = decide_boot(session, station.settings, "02:00:00:00:99:99")
        assert other.action is BootAction.LIVE
    assert robot.order() is None  # nothing else is begun meanwhile
    with station.database.transaction() as session:
        desk.try_again(station, session, TAG, "test")
        assert decide_boot(session, station.settings, MAC).action is BootAction.LIVE
    assert robot.order() is not None


def test_a_machine_at_work_is_not_sent_to_a_memory_test(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    robot = Robot(dialogue, hardware(1))
    robot.register()
    robot.order()
    with station.database.transaction() as session, pytest.raises(WrongStateError, match="at work"):
        errands.test_memory(station, session, TAG, "test")
