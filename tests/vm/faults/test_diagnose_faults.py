"""Diagnosing with tools that lie and parts that fail: what was not measured is not good."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.lifecycle import Verb
from tests.vm.faults.conftest import MakeDesk
from tests.vm.faults.desk import CLOCKS, MIB, Desk
from tests.vm.faults.ledger import Expected, Ledger, Said
from tests.vm.faults.stubs import KINDS, hurried, of_each, stubbed

pytestmark = pytest.mark.vm
SIZE = 64 * MIB
# The check that has nothing but this tool to go by; without lsblk there is no machine at all.
BY_TOOL = {"smartctl": "disk-health", "stress-ng": "cpu-load", "dmesg": "firmware-missing",
           "lsblk": "disk-present"}  # fmt: skip
NO = Expected.NO_SUCCESS


@pytest.fixture(scope="module")
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk(SIZE)


@pytest.fixture(autouse=True)
def honest(desk: Desk) -> None:
    desk.disk.mend()


def check(desk: Desk, name: str, stage: Said) -> Said:
    """What one check came to; a stage without evidence has said it for all."""
    for found in desk.evidence(Verb.DIAGNOSE).get("checks", ()):
        if found["id"] == name:
            good = found["outcome"] == "pass"
            return Said(good, f"{name}: {found['outcome']}, {found['value']}")
    return Said(False, stage.words)


def test_an_honest_machine(desk: Desk, ledger: Ledger) -> None:
    assert desk.run_stage(Verb.DIAGNOSE).success


@pytest.mark.parametrize(("tools", "kind"), of_each(tuple(BY_TOOL), "exits 0"))
def test_stubs(desk: Desk, ledger: Ledger, tools: tuple[str, ...], kind: str) -> None:
    name = tools[0] if len(tools) == 1 else "all tools"
    with hurried(desk), stubbed(tools, KINDS[kind]):
        said = desk.run_stage(Verb.DIAGNOSE)
    for tool in tools if len(tools) == 1 else ("lsblk",):
        verdict = check(desk, BY_TOOL[tool], said)
        case = ledger.book(f"stub, {name}: {kind}", "diagnose", verdict, true=False, expected=NO)
        assert case.as_expected, case
    assert not (said.success and "lsblk" in tools)


FAILING: dict[str, dict[str, Any]] = {
    "says that it fails": {"smart_status": {"passed": False}},
    "pending sectors": {
        "smart_status": {"passed": True},
        "ata_smart_attributes": {"table": [{"id": 197, "raw": {"value": 8}}]},
    },
    "uncorrectable errors": {
        "smart_status": {"passed": True},
        "ata_smart_attributes": {"table": [{"id": 187, "raw": {"value": 2}}]},
    },
    "critical warning": {
        "smart_status": {"passed": True},
        "nvme_smart_health_information_log": {"critical_warning": 4},
    },
}


@pytest.mark.parametrize("how", FAILING)
def test_smart_says_that_the_disk_fails(desk: Desk, ledger: Ledger, how: str) -> None:
    with stubbed(("smartctl",), f"echo '{json.dumps(FAILING[how])}'"):
        said = desk.run_stage(Verb.DIAGNOSE)
    case = ledger.book(f"SMART failing: {how}", "diagnose", said, true=False, expected=NO)
    assert case.as_expected, case


@pytest.mark.parametrize("block", [0, SIZE - MIB])
def test_blocks_that_cannot_be_read(desk: Desk, ledger: Ledger, block: int) -> None:
    desk.disk.rule("eio-read", start=block, stop=block + 512)
    said = desk.run_stage(Verb.DIAGNOSE)
    case = ledger.book(f"read error: byte {block}", "diagnose", said, true=False, expected=NO)
    assert case.as_expected, case


def test_a_disk_that_vanished(desk: Desk, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    robot = desk.machine(Verb.DIAGNOSE)
    other = desk.facts.model_copy(update={"serial": "ANOTHER"})
    monkeypatch.setattr(Desk, "facts", other)
    said = desk.carry_out(robot, Verb.DIAGNOSE)
    case = ledger.book("disk exchanged", "diagnose", said, true=False, expected=NO)
    assert case.as_expected, case


@pytest.mark.parametrize("year", CLOCKS)
def test_clocks(desk: Desk, ledger: Ledger, year: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reason to stop; but the battery is never called good."""
    monkeypatch.setattr(desk, "clock", CLOCKS[year])
    stage = desk.run_stage(Verb.DIAGNOSE)
    assert stage.success
    case = ledger.book(f"the machine's clock: {year}", "diagnose", check(desk, "clock", stage),
                       true=False, expected=NO)  # fmt: skip
    assert case.as_expected, case


@pytest.mark.parametrize("size", [2_000_384, 1_999_872])
def test_sizes(make_desk: MakeDesk, ledger: Ledger, size: int) -> None:
    """The release wants 2,000,000 bytes: one disk has the sector that the other has not."""
    desk = make_desk(size)
    said = desk.run_stage(Verb.DIAGNOSE)
    enough = size >= 2_000_000
    words = "just enough" if enough else "one sector too small"
    expected = Expected.SUCCESS if enough else NO
    case = ledger.book(f"disk size: {words}", "diagnose", said, true=enough, expected=expected)
    assert case.as_expected, case
