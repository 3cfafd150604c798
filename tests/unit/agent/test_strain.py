"""Processor, surface, battery and firmware: what is measured, and what is only said."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent import strain
from provisioner.agent.direct import nothing
from provisioner.agent.strain import Load
from provisioner.errors import CommandError
from provisioner.model.record import CheckOutcome
from provisioner.run import Finished


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        (Load(4.1, 0.99, 55.0, 0), "pass"),
        (Load(4.1, 0.99, None, 0), "pass"),
        (Load(4.1, 0.99, 96.0, 0), "warn"),
        (Load(4.1, 0.99, 55.0, 2), "fail"),
        (Load(0.1, 0.99, 55.0, 0), "unknown"),  # a tool that exits 0 at once
        (Load(4.1, 0.02, 55.0, 0), "unknown"),  # a tool that only sleeps
        (Load(4.1, 0.99, 55.0, 1), "unknown"),
        (Load(4.1, 0.99, 55.0, None), "unknown"),
    ],
)
def test_a_processor_is_judged_by_what_was_seen(load: Load, expected: str) -> None:
    assert strain.judge_load(load, 4.0).outcome == expected


def test_a_stub_that_exits_0_strains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strain, "run", lambda *_, **__: Finished((), 0, "", ""))
    assert strain.check_cpu(4.0, nothing).outcome is CheckOutcome.UNKNOWN

    def missing(*_: object, **__: object) -> Finished:
        raise CommandError("not installed")

    monkeypatch.setattr(strain, "run", missing)
    assert strain.check_cpu(4.0, nothing).outcome is CheckOutcome.UNKNOWN
    assert strain.check_firmware().outcome is CheckOutcome.UNKNOWN


def test_sensors_that_talk_nonsense_are_left_out(tmp_path: Path) -> None:
    for number, text in enumerate(("45000", "-1000", "999999", "", "x")):
        folder = tmp_path / f"sys/class/hwmon/hwmon{number}"
        folder.mkdir(parents=True)
        (folder / "temp1_input").write_text(text)
    assert strain.temperatures(tmp_path) == [45.0]


def test_the_surface_of_a_disk(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes(8 * 1024 * 1024))
    seen: list[int] = []
    good = strain.check_surface(path, 8 * 1024 * 1024, 5, lambda done, _: seen.append(done))
    assert (good.outcome, seen) == (CheckOutcome.PASS, [1, 2, 3, 4, 5])
    assert strain.check_surface(path, 2**40, 5, nothing).outcome is CheckOutcome.FAIL
    assert strain.check_surface(tmp_path / "gone", 2**20, 5, nothing).outcome is CheckOutcome.FAIL


@pytest.mark.parametrize(
    ("full", "design", "expected"),
    [(45, 50, "pass"), (20, 50, "warn"), (None, 50, "unknown"), (50, 0, "unknown"),
     (500, 50, "unknown"), (-5, 50, "unknown")],
)  # fmt: skip
def test_a_battery(full: int | None, design: int | None, expected: str) -> None:
    assert strain.judge_battery(full, design).outcome == expected


def test_a_desktop_has_no_battery_and_a_mouse_is_none(tmp_path: Path) -> None:
    assert strain.check_battery(tmp_path) == []
    for name, scope in (("BAT0", ""), ("hidpp_battery_0", "Device")):
        folder = tmp_path / "sys/class/power_supply" / name
        folder.mkdir(parents=True)
        (folder / "type").write_text("Battery\n")
        (folder / "scope").write_text(scope)
        (folder / "energy_full").write_text("30000000\n")
        (folder / "energy_full_design").write_text("40000000\n")
    checks = strain.check_battery(tmp_path)
    assert [(check.outcome, check.value) for check in checks] == [("pass", "75% left")]


def test_firmware_that_a_driver_missed() -> None:
    log = (
        "[ 5.1] r8169 0000:02:00.0: Direct firmware load for rtl_nic/rtl8168g-2.fw failed with "
        "error -2\n[ 6.0] b43 ssb0:0: firmware: failed to load b43/ucode9.fw (-2)\n[ 7] fine\n"
    )
    check = strain.judge_firmware(log)
    assert (check.outcome, check.value) == ("warn", "b43/ucode9.fw, rtl_nic/rtl8168g-2.fw")
    fine = "[    1.250000] all is well\n"
    assert strain.judge_firmware(fine * 9).outcome is CheckOutcome.PASS
    assert strain.judge_firmware("all is well\n" * 9).outcome is CheckOutcome.UNKNOWN
    assert strain.judge_firmware("").outcome is CheckOutcome.UNKNOWN
    odd = fine + "Direct firmware load for \x1b[31m" + "x" * 90 + " failed\n"
    assert len(strain.judge_firmware(odd).value) <= 200
