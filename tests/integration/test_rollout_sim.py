"""The short form of `make rollouts`: a small country, a station that is killed, no real time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rollout_sim import SCENARIOS, Outcome, simulate

pytestmark = pytest.mark.integration
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def run(name: str, folder: Path, days: int = 30) -> Outcome:
    outcome = simulate(BY_NAME[name], folder, schools=12, seats=4, days=days)
    assert outcome.wrong(BY_NAME[name]) == ""
    return outcome


@pytest.mark.parametrize("name", ["all fail", "half fail", "all die silently"])
def test_a_bad_wave_exposes_few(name: str, tmp_path: Path) -> None:
    outcome = run(name, tmp_path, days=6)
    assert 0 < outcome.exposed_most <= outcome.allowed == 4
    assert outcome.state == ("running" if "die" in name else "halted")


def test_a_good_one_reaches_everybody_and_kill_9_changes_nothing(tmp_path: Path) -> None:
    calm, killed = (run(name, tmp_path / name) for name in ("good", "good, killed daily"))
    assert calm.have_it == calm.reachable > 0
    assert killed.kills > 3
    assert killed.decisions == calm.decisions
    assert (killed.have_it, killed.exposed_most, killed.days) == (
        calm.have_it, calm.exposed_most, calm.days,
    )  # fmt: skip
