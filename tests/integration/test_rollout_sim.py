"""The short form of `make rollouts`: a small country through the station's own door."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.machine import make_machine_app
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from tests.rollout_sim import SCENARIOS, Country, simulate

pytestmark = [pytest.mark.integration, pytest.mark.long]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def http_door(country: Country) -> Callable[[bytes], str]:
    netboot = NetbootSettings(interface="lo", station="10.77.0.1/24", mode=DhcpMode.SERVER,
                              tftp_root=country.folder, state_dir=country.folder)  # fmt: skip
    app = make_machine_app(country.station, netboot, country.folder)
    client = TestClient(app)

    def ask(body: bytes) -> str:
        answer = client.post("/machine/v1/wanted", content=body)
        assert answer.status_code == 200, answer.text
        return str(answer.text)

    return ask


@pytest.mark.parametrize("name", ["all fail", "all die silently", "half fail"])
def test_a_bad_wave_exposes_few(name: str, tmp_path: Path) -> None:
    outcome = simulate(BY_NAME[name], tmp_path, schools=8, seats=4, days=6)
    assert outcome.exposed_most <= outcome.allowed
    assert outcome.harmed <= outcome.allowed
    assert outcome.state == "halted" or "die" in name


def test_a_restart_each_hour_changes_nothing(tmp_path: Path) -> None:
    runs = [simulate(BY_NAME["good"], tmp_path / str(restart), schools=6, seats=4, days=8,
                     restart=restart) for restart in (False, True)]  # fmt: skip
    first, second = runs
    assert first.decisions == second.decisions
    assert (first.have_it, first.exposed_most) == (second.have_it, second.exposed_most)
    assert first.have_it > 0


def test_through_the_door_itself(tmp_path: Path) -> None:
    outcome = simulate(BY_NAME["good"], tmp_path, schools=4, seats=3, days=5, door=http_door)
    assert outcome.have_it > 0
    assert outcome.exposed_most <= outcome.allowed
