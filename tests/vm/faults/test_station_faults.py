"""The station in trouble: its disk is full, two people order at once, a machine starts twice."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import SQLAlchemyError

from provisioner.agent.surroundings import Home
from provisioner.errors import ProvisionerError
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.order import Order, WipeWork
from provisioner.model.record import Record
from provisioner.model.wire import Surroundings
from provisioner.store.tables import MachineRow, RunRow
from provisioner.workshop import desk as operators
from tests.factories import make_disk, make_hardware
from tests.unit.workshop.robot import Robot
from tests.vm.faults.conftest import MakeDesk
from tests.vm.faults.desk import MIB, Desk
from tests.vm.faults.ledger import Expected, Ledger, Said

pytestmark = pytest.mark.vm
SIZE = 2 * MIB
NO, YES = Expected.NO_SUCCESS, Expected.SUCCESS


@pytest.fixture
def small_state(own_mounts: None, tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of its own, of 24 MiB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "flt", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


def fill(folder: Path) -> Path:
    """Take the last byte of the file system."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


@pytest.mark.parametrize("when", ["before the order", "before the record"])
def test_a_station_whose_disk_is_full(
    make_desk: MakeDesk, small_state: Path, ledger: Ledger, when: str
) -> None:
    """What cannot be written down was not proved; with room again the same record is taken."""
    desk = make_desk(SIZE, wipe_samples=16, state=small_state)
    desk.disk.medium.write_bytes(os.urandom(SIZE))
    robot = desk.machine(Verb.WIPE)
    order, record = None, None
    if when == "before the record":
        order, record = work(desk, robot)
    filler = fill(small_state)
    try:
        if order is None:
            robot.order()
        else:
            assert record is not None
            robot.send(order, record.evidence, record.problem)
        refused = ""
    except SQLAlchemyError as error:
        refused = str(error)
    said = desk.said(robot, Verb.WIPE)
    case = ledger.book(f"station out of disk: {when}", "wipe", said, true=False, expected=NO)
    assert case.as_expected, case
    assert "full" in refused or "I/O" in refused, "it was truly full"
    filler.unlink()
    if order is None or record is None:
        order, record = work(desk, robot)
    else:
        robot.send(order, record.evidence, record.problem)
        order = None
    if order is not None:
        robot.send(order, record.evidence, record.problem)
    assert desk.said(robot, Verb.WIPE).success and desk.blank()


def work(desk: Desk, robot: Robot) -> tuple[Order, Record]:
    """Take the order and carry it out; the record is not sent yet."""
    order = robot.order()
    assert order is not None
    home = Home(Surroundings.LIVE, desk.files.url, desk.station.key.public, robot.key)
    return order, desk.work(order, home)


def both(*asks: Callable[[], object]) -> list[str]:
    """Let them happen at once; what each was told."""
    told = [""] * len(asks)
    start = threading.Barrier(len(asks))

    def ask(number: int) -> None:
        start.wait()
        try:
            asks[number]()
            told[number] = "done"
        except ProvisionerError as error:
            told[number] = f"{type(error).__name__}: {error.message}"

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def test_two_operators_choose_two_disks(make_desk: MakeDesk, ledger: Ledger) -> None:
    """One of them is obeyed; the other one's disk keeps every byte."""
    desk = make_desk(SIZE, wipe_samples=16)
    for turn in range(8):
        content = os.urandom(SIZE)
        desk.disk.medium.write_bytes(content)
        robot = desk.machine(Verb.DIAGNOSE)
        second = make_disk(name="sdz", serial="OTHER-1", size_bytes=SIZE)
        tag = newest(desk)
        with desk.station.database.transaction() as session:
            row = session.query(MachineRow).filter_by(asset_tag=tag).one()
            parts = make_hardware(turn + 100, disks=(desk.facts, second))
            row.hardware, row.target = parts.model_dump(mode="json"), None

        def choose(serial: str, who: str, tag: str = tag) -> None:
            with desk.station.database.transaction() as session:
                operators.use_disk(desk.station, session, tag, serial, who)

        told = both(lambda: choose("SHAKY-1", "A"), lambda: choose("OTHER-1", "B"))
        assert "done" in told
        with desk.station.database.transaction() as session:
            row = session.query(MachineRow).filter_by(asset_tag=tag).one()
            chosen = (row.target or {})["serial"]
            row.milestone = "diagnosed"
        said = desk.carry_out(robot, Verb.WIPE)
        untouched = desk.disk.medium.read_bytes() == content
        true = desk.blank() if chosen == "SHAKY-1" else False
        assert untouched is (chosen != "SHAKY-1"), "a disk was written that nobody had chosen last"
        case = ledger.book(f"two operators, two disks: {chosen} was last", "wipe", said, true=true,
                           expected=YES if chosen == "SHAKY-1" else NO)  # fmt: skip
        assert case.as_expected, case


def test_two_operators_ask_for_a_stage_again(make_desk: MakeDesk, ledger: Ledger) -> None:
    """They and the machine all speak at once: the old success is void as soon as one was obeyed,
    and at most one run is open. Where the machine was quicker and is at work, both are refused,
    and the success stands."""
    desk, obeyed = make_desk(SIZE, wipe_samples=16), 0
    for turn in range(24):
        desk.disk.medium.write_bytes(os.urandom(SIZE))
        robot = desk.machine(Verb.WIPE)
        assert desk.carry_out(robot, Verb.WIPE).success
        desk.disk.medium.write_bytes(os.urandom(SIZE))
        tag = newest(desk)

        def redo(verb: Verb, who: str, tag: str = tag) -> None:
            with desk.station.database.transaction() as session:
                operators.redo(desk.station, session, tag, verb, who)

        told = both(lambda: redo(Verb.WIPE, "A"), lambda: redo(Verb.DIAGNOSE, "B"), robot.poll)
        with desk.station.database.reading() as session:
            row = session.query(MachineRow).order_by(MachineRow.id.desc()).first()
            assert row is not None
            open_runs = session.query(RunRow).filter_by(state=RunState.RUNNING, machine_id=row.id)
            running = open_runs.count()
            proved = Milestone(row.milestone).rank >= Milestone.WIPED.rank
        assert running <= 1, told
        if "done" not in told[:2]:
            assert all("at work" in answer for answer in told[:2]) and running == 1, told
            continue
        obeyed += 1
        said = Said(proved, f"{row.milestone}; A: {told[0]}; B: {told[1]}")
        case = ledger.book(f"two operators, one machine: turn {turn + 1}", "wipe", said,
                           true=False, expected=NO)  # fmt: skip
        assert case.as_expected, case
        if obeyed == 6:
            return
    raise AssertionError(f"only {obeyed} of 24 times an operator was quicker than the machine")


def newest(desk: Desk) -> str:
    with desk.station.database.reading() as session:
        row = session.query(MachineRow).order_by(MachineRow.id.desc()).first()
        assert row is not None and row.asset_tag
        return row.asset_tag


def test_the_record_of_a_start_before_the_last(make_desk: MakeDesk, ledger: Ledger) -> None:
    """The machine lost its power and came back; what it did before counts for nothing."""
    desk = make_desk(SIZE, wipe_samples=16)
    desk.disk.medium.write_bytes(os.urandom(SIZE))
    first = desk.machine(Verb.WIPE)
    order, record = work(desk, first)
    assert isinstance(order.work, WipeWork)
    second = Robot(desk.dialogue, first.hardware)
    second.register()
    desk.disk.medium.write_bytes(os.urandom(SIZE))  # who knows what happened meanwhile
    try:
        first.send(order, record.evidence, record.problem)
        told = "taken"
    except ProvisionerError as error:
        told = error.message
    said = desk.said(second, Verb.WIPE)
    case = ledger.book(f"record of an earlier start: {told}", "wipe", said, true=False, expected=NO)
    assert case.as_expected, case
