"""The store on a real PostgreSQL: what works on SQLite works there, by changing one URL."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from provisioner.lifecycle import Milestone
from provisioner.run import run
from provisioner.settings import Settings
from provisioner.store.tables import MachineRow
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station, open_station
from tests.unit.workshop.conftest import open_batch, publish, small_manifest
from tests.unit.workshop.robot import Robot, hardware

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A PostgreSQL server of its own, on a socket in a folder of its own."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    with tempfile.TemporaryDirectory(prefix="classroom-postgres-") as name:
        folder = Path(name)
        shutil.chown(folder, "postgres")
        _as_postgres(programs / "initdb", "-D", folder / "data", "-A", "trust")
        control = (programs / "pg_ctl", "-D", folder / "data", "-w")
        options = f"-k {folder} -c listen_addresses="
        _as_postgres(*control, "-o", options, "-l", folder / "log", "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            _as_postgres(*control, "-m", "immediate", "stop")


def _as_postgres(*words: str | Path) -> None:
    run(["runuser", "-u", "postgres", "--", *words], timeout_s=120, cwd=Path("/"))


@pytest.fixture(scope="module")
def station(url: str, tmp_path_factory: pytest.TempPathFactory) -> Station:
    folder = tmp_path_factory.mktemp("state")
    station = open_station(Settings(state_dir=folder, database_url=url))
    publish(station, small_manifest())
    open_batch(station, size=50)
    return station


def test_twenty_machines_at_once_go_their_way(station: Station) -> None:
    def live(number: int) -> list[str]:
        robot = Robot(Dialogue(station), hardware(number))
        robot.register()
        return robot.work_until_imaged(small_manifest())

    with ThreadPoolExecutor(8) as pool:
        stories = list(pool.map(live, range(1, 21)))
    assert stories == [["diagnose", "wipe", "image", "restart"]] * 20
    with station.database.transaction() as session:
        machines = session.query(MachineRow).all()
        assert {machine.milestone for machine in machines} == {Milestone.IMAGED}
        assert len({machine.asset_tag for machine in machines}) == 20
        assert len({machine.seat for machine in machines}) == 20


@pytest.mark.parametrize(
    "change", ["UPDATE event SET kind = 'x'", "DELETE FROM event", "TRUNCATE event"]
)
def test_the_journal_cannot_be_changed(station: Station, change: str) -> None:
    with (
        pytest.raises(DBAPIError, match="never changed"),
        station.database.transaction() as session,
    ):
        session.execute(text(change))


def test_a_database_that_is_up_to_date_stays_as_it_is(station: Station) -> None:
    station.database.migrate()
