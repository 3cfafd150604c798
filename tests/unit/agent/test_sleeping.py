"""Sleeping for a moment so that a frozen drive is released. Not yet seen on real hardware."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent import sleeping, wipe
from provisioner.agent.disk import OpenDisk
from provisioner.agent.journey import Journey
from provisioner.errors import DriveFrozenError, WipeRefusedError
from provisioner.model.erasure import AtaSecurity, DriveFacts, Refusal, WipeMethod
from provisioner.model.hardware import DiskRef, Transport
from provisioner.model.order import WipeWork
from tests.unit.agent.conftest import make_disk

DISK = make_disk("sdb")
FACTS = DriveFacts(transport=Transport.SATA, rotational=False, size_bytes=DISK.size_bytes)


def machine(root: Path, states: str = "freeze mem disk", ways: str = "s2idle [deep]") -> Path:
    for name, text in (("power/state", states), ("power/mem_sleep", ways)):
        (root / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys" / name).write_text(f"{text}\n")
    (root / "sys/class/rtc/rtc0").mkdir(parents=True)
    (root / "sys/class/rtc/rtc0/wakealarm").write_text("")
    return root


def test_it_sleeps_deeply_and_the_clock_wakes_it(tmp_path: Path) -> None:
    sleeping.sleep_once(machine(tmp_path, ways="[s2idle] deep"), 10)
    assert (tmp_path / "sys/power/mem_sleep").read_text() == "deep"
    assert (tmp_path / "sys/class/rtc/rtc0/wakealarm").read_text() == "+10"
    assert (tmp_path / "sys/power/state").read_text() == "mem"


@pytest.mark.parametrize(("states", "ways"), [("freeze", "[deep]"), ("mem", "[s2idle]"), ("", "")])
def test_a_sleep_that_leaves_disks_their_power_is_none(
    tmp_path: Path, states: str, ways: str
) -> None:
    with pytest.raises(DriveFrozenError, match="no sleep") as caught:
        sleeping.sleep_once(machine(tmp_path, states, ways))
    assert "power cable" in caught.value.hint
    assert (tmp_path / "sys/power/state").read_text() == f"{states}\n"


def test_without_an_alarm_it_does_not_sleep(tmp_path: Path) -> None:
    machine(tmp_path)
    (tmp_path / "sys/class/rtc/rtc0/wakealarm").unlink()
    (tmp_path / "sys/class/rtc/rtc0").rmdir()
    with pytest.raises(DriveFrozenError, match="did not sleep"):
        sleeping.sleep_once(tmp_path)
    assert (tmp_path / "sys/power/state").read_text() == "freeze mem disk\n"


@pytest.mark.parametrize(
    ("facts", "sleeps"),
    [
        (FACTS, 0),
        (FACTS.model_copy(update={"security": AtaSecurity(supported=True, frozen=True)}), 1),
        (FACTS.model_copy(update={"sanitize_frozen": True}), 1),
    ],
)
def test_only_a_frozen_disk_makes_it_sleep(
    facts: DriveFacts, sleeps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[Path] = []
    monkeypatch.setattr(sleeping, "read_disks", lambda: (make_disk("sda", serial="S-9"), DISK))
    monkeypatch.setattr(sleeping, "read_facts", lambda disk, _: facts if disk == DISK else FACTS)
    monkeypatch.setattr(sleeping, "sleep_once", slept.append)
    sleeping.thaw(DiskRef.of(DISK), settle_s=0)
    assert len(slept) == sleeps


@pytest.mark.parametrize("thaw", [False, True])
def test_nobody_sleeps_unless_it_was_offered(thaw: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DiskRef] = []

    def refuse(_ref: DiskRef) -> None:
        raise DriveFrozenError("stop here")

    monkeypatch.setattr(wipe, "thaw", asked.append)
    monkeypatch.setattr(wipe, "opened_exclusively", refuse)
    work = WipeWork(disk=DiskRef.of(DISK), samples=1, thaw=thaw)
    with pytest.raises(DriveFrozenError):
        wipe.wipe(work, Journey(wipe.steps(work)))
    assert len(asked) == thaw


def test_a_frozen_drive_is_told_from_other_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    work = WipeWork(disk=DiskRef.of(DISK), samples=1, method=WipeMethod.ATA_SECURITY_ERASE)
    target = OpenDisk(DISK, Path("/nonexistent"), -1)
    monkeypatch.setattr(wipe, "read_disks", lambda: (DISK,))
    monkeypatch.setattr(wipe, "read_facts", lambda *_: FACTS)
    for frozen in (True, False):
        answer = Refusal("closed", "wait", frozen)
        monkeypatch.setattr(wipe, "choose_method", lambda *_, answer=answer: answer)
        with pytest.raises(WipeRefusedError) as caught:
            wipe.make_plan(target, work)
        assert isinstance(caught.value, DriveFrozenError) is frozen
