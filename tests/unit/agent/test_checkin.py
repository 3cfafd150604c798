"""How a machine in its school speaks: seldom, never all at once, for ever; and what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent.checkin import HEALTH_EVERY_S, LONGEST_S, Doctor, Rhythm, hottest, mend_clock
from provisioner.release.grubcfg import first_boot_files


def test_silence_makes_it_speak_ever_more_seldom_and_never_stop() -> None:
    rhythm = Rhythm(chance=lambda: 0.5)
    pauses = [rhythm.after_silence() for _ in range(1000)]
    assert pauses[:4] == [5.0, 10.0, 20.0, 40.0]
    assert set(pauses[12:]) == {LONGEST_S}
    assert rhythm.after_answer(300.0) == 300.0
    assert rhythm.after_silence() == 5.0


def test_machines_that_were_switched_on_together_do_not_speak_together() -> None:
    pauses = {Rhythm().after_answer(300.0) for _ in range(50)}
    assert len(pauses) > 40
    assert all(225.0 <= pause <= 375.0 for pause in pauses)


@pytest.mark.parametrize(("machine", "off"), [(0.0, -1.8e9), (4.1e9, 2.3e9)])
def test_a_clock_that_is_plainly_wrong_is_mended(machine: float, off: float) -> None:
    put: list[float] = []
    found = mend_clock(1.8e9, now=lambda: machine, put=put.append)
    assert found == off
    assert put == [1.8e9]


def test_a_clock_that_is_nearly_right_is_left_alone() -> None:
    put: list[float] = []
    assert mend_clock(1.8e9, now=lambda: 1.8e9 + 100, put=put.append) is None
    assert put == []


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    for name, data in first_boot_files("lab@2026.1", system_uuid="s", state_uuid="t").items():
        path = tmp_path / "esp" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name, text in {"proc/uptime": "120.5 10.0", "state/agent/site/revision": "a" * 64}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Doctor("lab@2026.1", tmp_path, tmp_path / "state", tmp_path / "nowhere",
                  tmp_path / "esp", clock=lambda: 0.0, _asked=0.0)  # fmt: skip


def test_what_a_machine_says_of_itself(doctor: Doctor) -> None:
    health = doctor.health()
    assert (health.release, health.good, health.trial) == ("lab@2026.1", "lab@2026.1", "")
    assert health.uptime_s == 120.5
    assert health.configuration == "a" * 64
    assert health.state_free
    assert health.system_free is None  # what cannot be read is left out
    assert health.temperature_c is None


def test_a_report_is_not_made_at_every_word(doctor: Doctor) -> None:
    assert doctor.report() is not None
    assert doctor.report() is None
    doctor.clock = lambda: HEALTH_EVERY_S
    doctor._asked = HEALTH_EVERY_S
    assert doctor.report() is not None


def test_a_lost_loader_is_no_reason_to_be_silent(doctor: Doctor) -> None:
    doctor.esp = Path("/nonexistent")
    assert doctor.health().good == ""


def test_the_hottest_sensor_that_makes_sense(tmp_path: Path) -> None:
    for number, text in enumerate(("41000", "67500", "-128000", "999999", "x")):
        path = tmp_path / f"hwmon{number}/temp1_input"
        path.parent.mkdir()
        path.write_text(text)
    assert hottest(tmp_path) == 67.5
