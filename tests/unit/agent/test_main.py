"""The loop against a stub station: orders that may not be carried out, and bad days."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from provisioner.agent.client import StationClient
from provisioner.agent.journey import Standing
from provisioner.agent.main import Agent
from provisioner.agent.memory import Counter, UsedOrders
from provisioner.agent.orders import NO_ID, claimed_id
from provisioner.agent.scene import view
from provisioner.agent.surroundings import Home
from provisioner.agent.worker import Tell, Worker
from provisioner.errors import DiskFaultError
from provisioner.model.hardware import Firmware, Hardware, Smbios
from provisioner.model.order import Order, RestartWork, WipeWork
from provisioner.model.record import MachineEvidence, RestartEvidence
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import BootFacts, Surroundings, Tone
from tests.unit.agent.station import StubStation

HARDWARE = Hardware(smbios=Smbios(), firmware=Firmware.BIOS, cpu_threads=1, memory_mib=1024)
WIPE = WipeWork.model_validate(
    {
        "disk": {"serial": "S", "wwn": "", "model": "", "size_bytes": 1, "transport": "sata"},
        "samples": 1,
    }
)


class Machine:
    """An agent whose work is a function of the test; it runs in a thread until closed."""

    def __init__(self, home: Home) -> None:
        self.done: list[Order] = []
        self.left: list[RestartWork] = []
        self.work: Callable[[Order, Tell], MachineEvidence] = lambda *_: RestartEvidence()
        self.agent = Agent(
            home,
            StationClient(home, Counter()),
            Worker(self._do),
            UsedOrders(),
            lambda: (HARDWARE, BootFacts(surroundings=home.kind)),
            self.left.append,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(min(self.agent.turn(), 0.05))

    def _do(self, order: Order, tell: Tell) -> MachineEvidence:
        self.done.append(order)
        return self.work(order, tell)


@pytest.fixture
def machine(home: Home, station: StubStation) -> Iterator[Machine]:
    made = Machine(home)
    made.start()
    station.wait_for(lambda: station.registered)
    yield made
    made.close()


def test_an_order_is_carried_out_and_answered(machine: Machine, station: StubStation) -> None:
    order = station.order(WIPE)
    station.wait_for(lambda: station.records)
    assert [one.id for one in machine.done] == [order.id]
    assert station.records[0].order == order.id
    assert station.records[0].problem is None


def refused(machine: Machine, station: StubStation) -> str:
    station.wait_for(lambda: station.records)
    time.sleep(0.1)
    assert machine.done == []
    problem = station.records[-1].problem
    assert problem is not None
    shown = view(machine.agent.scene, Standing())
    assert shown.tone is Tone.FAIL
    return problem.kind


def test_an_order_for_another_machine_is_refused(machine: Machine, station: StubStation) -> None:
    station.order(WIPE, machine_key=PrivateKey.generate().public)
    assert refused(machine, station) == "UntrustedError"


def test_an_order_signed_by_somebody_else_is_refused(
    machine: Machine, station: StubStation
) -> None:
    order = station.order(WIPE)
    station.orders.clear()
    station.orders.append(PrivateKey.generate().seal(order))
    assert refused(machine, station) == "UntrustedError"
    assert station.records[-1].order == order.id


def test_an_order_that_is_no_order_is_refused(machine: Machine, station: StubStation) -> None:
    station.orders.append("no order at all")
    assert refused(machine, station) == "UntrustedError"
    assert station.records[-1].order == NO_ID


def test_an_order_is_never_carried_out_twice(machine: Machine, station: StubStation) -> None:
    station.order(WIPE)
    sealed = station.orders[-1]
    station.wait_for(lambda: station.records)
    station.orders.append(sealed)
    station.wait_for(lambda: len(station.records) == 2)
    assert len(machine.done) == 1
    assert station.records[1].problem is not None
    assert station.records[1].problem.kind == "UntrustedError"


def test_an_order_offered_again_while_it_runs_is_no_replay(
    machine: Machine, station: StubStation
) -> None:
    go = threading.Event()
    machine.work = lambda *_: (go.wait(5), RestartEvidence())[1]
    station.order(WIPE)
    sealed = station.orders[-1]
    station.mangle = lambda reply: reply.model_copy(update={"order": sealed})
    station.wait_for(lambda: len(station.progress) > 3)
    go.set()
    station.mangle = lambda reply: reply
    station.wait_for(lambda: station.records)
    assert len(machine.done) == 1
    assert [record.problem for record in station.records] == [None]


def test_disks_are_not_written_from_the_installed_system(home: Home, station: StubStation) -> None:
    machine = Machine(replace(home, kind=Surroundings.INSTALLED))
    machine.start()
    station.wait_for(lambda: station.registered)
    station.order(WIPE)
    try:
        assert refused(machine, station) == "WrongStateError"
    finally:
        machine.close()


def test_progress_is_told_each_second(machine: Machine, station: StubStation) -> None:
    def work(_order: Order, tell: Tell) -> MachineEvidence:
        for index in range(20):
            tell(Standing("overwrite", index / 20, 1e6))
            time.sleep(0.05)
        return RestartEvidence()

    machine.work = work
    order = station.order(WIPE)
    station.wait_for(lambda: station.records)
    told = [progress for _, progress in station.progress]
    assert {progress.order for progress in told} == {order.id}
    assert "Overwriting the disk" in {progress.step for progress in told}
    assert [p.fraction for p in told] == sorted(p.fraction for p in told)


def test_a_failure_becomes_a_problem_and_turns_the_screen_red(
    machine: Machine, station: StubStation
) -> None:
    def work(*_: object) -> MachineEvidence:
        raise DiskFaultError("Broken.", "Replace it.")

    machine.work = work
    station.order(WIPE)
    station.wait_for(lambda: station.records)
    problem = station.records[0].problem
    assert problem is not None
    assert (problem.kind, problem.message, problem.hint) == (
        "DiskFaultError", "Broken.", "Replace it.",
    )  # fmt: skip
    assert view(machine.agent.scene, Standing()).tone is Tone.FAIL


def test_an_input_output_error_means_the_disk(machine: Machine, station: StubStation) -> None:
    def work(*_: object) -> MachineEvidence:
        raise OSError(5, "Input/output error")

    machine.work = work
    station.order(WIPE)
    station.wait_for(lambda: station.records)
    assert station.records[0].problem is not None
    assert station.records[0].problem.kind == "DiskFaultError"


def test_the_record_waits_for_a_station_that_is_away(
    machine: Machine, station: StubStation
) -> None:
    away = threading.Event()

    def work(*_: object) -> MachineEvidence:
        away.set()
        return RestartEvidence()

    station.refuse = lambda _door: (503, "restarting") if away.is_set() else None
    machine.work = work
    order = station.order(WIPE)
    station.wait_for(away.is_set)
    time.sleep(0.5)
    assert station.records == []
    station.refuse = lambda _door: None
    station.wait_for(lambda: station.records)
    assert station.records[0].order == order.id


def test_a_station_that_forgot_the_machine_gets_the_record_after_all(
    machine: Machine, station: StubStation
) -> None:
    known = {"yes": True}

    def refuse(door: str) -> tuple[int, str] | None:
        if door == "register":
            known["yes"] = True
        return None if known["yes"] else (404, "This machine is not registered.")

    def work(*_: object) -> MachineEvidence:
        known["yes"] = False
        return RestartEvidence()

    station.refuse = refuse
    machine.work = work
    station.order(WIPE)
    station.wait_for(lambda: station.records)
    assert len(station.registered) == 2


def test_restarting_waits_until_the_record_was_answered(
    machine: Machine, station: StubStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    monkeypatch.setattr(machine.agent, "_leave", lambda _: seen.append(len(station.records)))
    station.order(RestartWork())
    station.wait_for(lambda: seen)
    assert seen == [1]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"payload": "AAAA"}', '{"payload": 3}'])
def test_an_unreadable_order_claims_nothing(text: str) -> None:
    assert claimed_id(text) == NO_ID
