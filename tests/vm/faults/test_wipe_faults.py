"""Wiping on disks that fail and lie: no byte of the donor's is left when success is said."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from provisioner.agent import wipe
from provisioner.agent.disk import OpenDisk
from provisioner.agent.journey import Journey
from provisioner.lifecycle import Verb
from provisioner.model.hardware import DiskRef
from provisioner.model.order import WipeWork
from provisioner.stages.wipe import judge_wipe
from tests.vm.faults.conftest import MakeDesk
from tests.vm.faults.desk import CLOCKS, MIB, Desk, set_clock
from tests.vm.faults.ledger import Case, Expected, Ledger, Said
from tests.vm.faults.stubs import KINDS, hurried, of_each, stubbed
from tests.vm.faults.truth import is_blank

pytestmark = pytest.mark.vm
SIZE = 8 * MIB
TOOLS = ("hdparm", "nvme", "smartctl", "lsblk")
NO, YES = Expected.NO_SUCCESS, Expected.SUCCESS
FULL = {"wipe_read_back_all": True}


@pytest.fixture(scope="module")
def desk(make_desk: MakeDesk) -> Desk:
    return make_desk(SIZE, wipe_samples=32)


def soil(desk: Desk) -> None:
    """A donor's data, all over the medium of an honest disk."""
    desk.disk.mend()
    desk.disk.medium.write_bytes(os.urandom(desk.disk.size))


def wiped(desk: Desk, ledger: Ledger, fault: str, expected: Expected = NO, **policy: Any) -> Case:
    """Wipe once as the desk stands now; the truth is read with cmp."""
    said = desk.run_stage(Verb.WIPE, **policy)
    case = ledger.book(fault, "wipe", said, true=desk.blank(), expected=expected)
    assert case.as_expected, case
    return case


def test_an_honest_disk(desk: Desk, ledger: Ledger) -> None:
    """Without a fault the harness says success; it counts as no injected fault."""
    soil(desk)
    assert desk.run_stage(Verb.WIPE, **FULL).success
    assert desk.blank()


@pytest.mark.parametrize("block", [0, SIZE // 2, SIZE - 512])
@pytest.mark.parametrize("kind", ["read", "write"])
def test_blocks_that_fail(desk: Desk, ledger: Ledger, kind: str, block: int) -> None:
    soil(desk)
    desk.disk.rule(f"eio-{kind}", start=block, stop=block + 512)
    wiped(desk, ledger, f"{kind} error: byte {block}", NO, **FULL)


LIES: dict[str, dict[str, Any]] = {
    "everything": {"kind": "drop", "start": 0, "stop": SIZE},
    "the second half": {"kind": "drop", "start": SIZE // 2, "stop": SIZE},
    "the first block": {"kind": "drop", "start": 0, "stop": 512},
    "the last block": {"kind": "drop", "start": SIZE - 512, "stop": SIZE},
    "one block in the middle": {"kind": "drop", "start": SIZE // 2, "stop": SIZE // 2 + 512},
    "a tenth": {"kind": "share", "of_1000": 100},
    "half the size is claimed twice": {"kind": "wrap", "size": SIZE // 2},
}


@pytest.mark.parametrize("lie", LIES)
def test_writes_that_are_confirmed_and_forgotten(desk: Desk, ledger: Ledger, lie: str) -> None:
    soil(desk)
    desk.disk.rule(**LIES[lie])
    wiped(desk, ledger, f"lying write: {lie}", NO, **FULL)


@pytest.mark.parametrize("lie", LIES)
def test_a_disk_that_begins_to_lie_after_the_marks(desk: Desk, ledger: Ledger, lie: str) -> None:
    """The marks were kept; the zeros are not. Only the read-back at the end can find it."""
    soil(desk)
    desk.disk.rule(**LIES[lie], since=2)
    case = wiped(desk, ledger, f"lying write, after the marks: {lie}", NO, **FULL)
    assert ("still held data" in case.said.words) is (LIES[lie]["kind"] != "wrap"), case


@pytest.mark.parametrize("lie", ["everything", "the second half", "a tenth"])
def test_the_same_with_samples_only(desk: Desk, ledger: Ledger, lie: str) -> None:
    """64 samples and both ends of the disk find what was left on a share of it."""
    soil(desk)
    desk.disk.rule(**LIES[lie], since=2)
    wiped(desk, ledger, f"lying write, sampled: {lie}", NO, wipe_samples=64)


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(n, marks=pytest.mark.long) for n in range(4, 64))]
)
def test_disks_with_less_room_than_they_claim(desk: Desk, ledger: Ledger, seed: int) -> None:
    """Any size there can be, from the second MiB on; some begin to lie after the first marks."""
    chance = random.Random(seed)
    soil(desk)
    sectors = MIB // 512 + chance.randrange((SIZE - MIB) // 512) if seed else SIZE // 512 - 1
    desk.disk.rule("wrap", size=sectors * 512, since=seed % 2)
    fault = f"less room than claimed: {sectors} of {SIZE // 512} sectors, after flush {seed % 2}"
    case = wiped(desk, ledger, fault, NO, wipe_samples=4)
    assert "did not keep" in case.said.words or "two places" in case.said.words, case


def test_a_disk_that_reads_wrongly_is_not_called_clean(desk: Desk, ledger: Ledger) -> None:
    soil(desk)
    desk.disk.rule("read-flip", byte=SIZE // 3)
    wiped(desk, ledger, "read-flip: every time", NO, **FULL)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.5, 0.99])
def test_power_cuts(desk: Desk, ledger: Ledger, share: float) -> None:
    """The machine starts again with another key; what it did counts for nothing until done."""
    soil(desk)
    assert desk.run_stage(Verb.WIPE).success
    whole = desk.disk.told()["written"]
    soil(desk)
    desk.disk.rule("off", after=int(whole * share))
    wiped(desk, ledger, f"power cut: at {share:.0%}", NO)
    desk.disk.mend()
    said = desk.run_stage(Verb.WIPE)
    assert said.success and desk.blank(), "the next start does it wholly"


@pytest.mark.parametrize(("tools", "kind"), of_each(TOOLS, "exits 0"))
def test_stubs(desk: Desk, ledger: Ledger, tools: tuple[str, ...], kind: str) -> None:
    """Wiping itself needs no tool; one that lists disks it cannot do without."""
    soil(desk)
    name = tools[0] if len(tools) == 1 else "all tools"
    with hurried(desk), stubbed(tools, KINDS[kind]):
        wiped(desk, ledger, f"stub, {name}: {kind}", NO if "lsblk" in tools else Expected.TRUE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_purge_is_never_delivered_as_a_clear(desk: Desk, ledger: Ledger, kind: str) -> None:
    soil(desk)
    with hurried(desk), stubbed(("hdparm", "nvme"), KINDS[kind]):
        wiped(desk, ledger, f"stub, purge by hdparm: {kind}", NO, wipe_level="purge")


def test_a_drive_that_says_it_was_sanitized(desk: Desk, ledger: Ledger) -> None:
    """hdparm as a drive with the sanitize feature would make it talk, and nothing was done."""
    soil(desk)
    identify = (Path(__file__).parents[2] / "samples/drives").glob("*")
    text = next(p for p in sorted(identify) if "SANITIZE feature set" in p.read_text("latin1"))
    state = (
        "echo 'State: SD0 Sanitize Idle'; echo 'Last Sanitize Operation Completed Without Error'"
    )
    script = f'case "$*" in *-I*) cat {text};; *status*) {state};; esac; exit 0'
    with stubbed(("hdparm",), script):
        case = wiped(desk, ledger, "sanitize that did nothing", NO, wipe_level="purge")
    assert "marks" in case.said.words or "purge" in case.said.words, case


@pytest.mark.parametrize("year", CLOCKS)
def test_clocks(desk: Desk, ledger: Ledger, year: str, monkeypatch: pytest.MonkeyPatch) -> None:
    soil(desk)
    monkeypatch.setattr(desk, "clock", CLOCKS[year])
    wiped(desk, ledger, f"the machine's clock: {year}", YES)
    soil(desk)
    set_clock(monkeypatch, CLOCKS[year])
    wiped(desk, ledger, f"both clocks: {year}", YES)


@pytest.mark.parametrize("change", [-512, 512])
def test_a_disk_that_was_exchanged(
    desk: Desk, ledger: Ledger, change: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the right serial and one sector more or less than the order says."""
    soil(desk)
    other = desk.facts.model_copy(update={"size_bytes": SIZE + change})
    monkeypatch.setattr(Desk, "facts", other)
    wiped(desk, ledger, f"size differs from the order: {change:+} bytes", NO)


def test_sectors_of_4096_bytes(make_desk: MakeDesk, ledger: Ledger) -> None:
    desk = make_desk(SIZE, sector=4096, wipe_samples=32)
    soil(desk)
    wiped(desk, ledger, "sectors: 4096 bytes", YES, **FULL)
    soil(desk)
    desk.disk.rule("drop", start=SIZE - 4096, stop=SIZE)
    wiped(desk, ledger, "sectors: 4096 bytes, the last one forgets", NO, **FULL)


def test_smart_says_that_the_disk_fails(desk: Desk, ledger: Ledger) -> None:
    """It can still be erased with proof; what it says of itself stands in the record."""
    soil(desk)
    with stubbed(("smartctl",), f"echo '{json.dumps({'smart_status': {'passed': False}})}'"):
        wiped(desk, ledger, "SMART failing", YES)
    assert desk.evidence(Verb.WIPE)["smart_before"]["passed"] is False


def flips(ledger: Ledger, desk: Desk, count: int, seed: int) -> int:
    """Turn `count` bits over, one a wipe, between the last write and the read-back."""
    chance, found = random.Random(seed), 0
    work = WipeWork(disk=DiskRef.of(desk.facts), samples=4, full=True)
    size = desk.disk.size
    for _ in range(count):
        byte, bit = chance.randrange(size), chance.randrange(8)
        desk.disk.mend()
        desk.disk.rule(
            "flip", byte=byte, bit=bit, flush=4
        )  # 1, 2 marks, 3 all else, 4 their places
        handle = os.open(desk.disk.device, os.O_RDWR | os.O_DIRECT | os.O_EXCL)
        try:
            target = OpenDisk(desk.facts, desk.disk.device, handle)
            evidence = wipe.wipe_open(target, work, Journey(wipe.steps(work)))
        finally:
            os.close(handle)
        assert desk.disk.told()["faults"] == 1
        said = Said.of(judge_wipe(evidence, work))
        case = ledger.book(
            f"bit flip: bit {bit} of byte {byte}", "wipe", said,
            true=is_blank(desk.disk.medium, size), expected=NO,
        )  # fmt: skip
        found += case.as_expected
    return found


def test_bit_flips(make_desk: MakeDesk, ledger: Ledger) -> None:
    assert flips(ledger, make_desk(2 * MIB), 40, seed=1) == 40


@pytest.mark.long
def test_all_of_a_thousand_bit_flips(make_desk: MakeDesk, ledger: Ledger) -> None:
    assert flips(ledger, make_desk(3 * MIB), 960, seed=2) == 960
