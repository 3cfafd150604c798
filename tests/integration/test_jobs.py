"""Durable jobs: a station that is killed outright finishes its work after the next start."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from provisioner.lifecycle import Milestone
from provisioner.model.wire import Surroundings
from provisioner.settings import PROJECT, Settings
from provisioner.store.tables import MachineRow, RunRow
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station, open_station
from tests.unit.workshop.conftest import open_batch, publish, small_manifest
from tests.unit.workshop.robot import Robot, hardware

pytestmark = pytest.mark.integration
PATIENCE_S = 180.0  # a busy machine with two cores


@pytest.fixture
def station(tmp_path: Path) -> Station:
    """A station with one machine that was imaged and now runs its own system."""
    station = open_station(Settings(state_dir=tmp_path / "state"))
    publish(station, small_manifest())
    open_batch(station)
    live = Robot(Dialogue(station), hardware())
    live.register()
    live.work_until_imaged(small_manifest())
    installed = Robot(
        Dialogue(station),
        hardware(),
        key=live.installed_key,
        surroundings=Surroundings.INSTALLED,
    )
    installed.register()
    return station


@contextmanager
def worker(station: Station, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-m", "tests.integration.jobs_worker"]
    process = subprocess.Popen([*words, station.settings.state_dir, str(seconds)], cwd=PROJECT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def log(station: Station) -> list[str]:
    path = station.settings.state_dir / "work.log"
    return path.read_text().splitlines() if path.exists() else []


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def milestone(station: Station) -> str:
    with station.database.transaction() as session:
        return session.get_one(MachineRow, 1).milestone


def test_a_killed_station_finishes_what_it_began(station: Station) -> None:
    with worker(station, seconds=30):
        wait(lambda: "begin 1 configure" in log(station))
    assert milestone(station) == Milestone.IMAGED  # nothing is claimed for a broken run
    with worker(station, seconds=0.1):
        wait(lambda: milestone(station) == Milestone.VERIFIED)
    assert log(station).count("begin 1 configure") == 2
    assert log(station).count("end 1 configure") == 1
    assert log(station).count("end 1 verify") == 1
    with station.database.transaction() as session:
        runs = [run.verb for run in session.query(RunRow).all()]
    assert runs.count("configure") == 1, "the same run went on; no second one was opened"


def test_a_kill_between_opening_a_run_and_starting_its_job_loses_nothing(station: Station) -> None:
    from provisioner.workshop import runs

    with station.database.transaction() as session:
        runs.open_run(session, session.get_one(MachineRow, 1), "configure")
    with worker(station, seconds=0.1):
        wait(lambda: milestone(station) == Milestone.VERIFIED)
    assert log(station).count("begin 1 configure") == 1
