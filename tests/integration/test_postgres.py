"""The store on a real PostgreSQL: what works on SQLite works there, by changing one URL."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from provisioner.api.auth import SESSION_COOKIE
from provisioner.fleet import rollouts
from provisioner.lifecycle import Milestone
from provisioner.model.release import ReleaseKind
from provisioner.model.rollout import RolloutPlan
from provisioner.run import run
from provisioner.settings import Settings
from provisioner.store.database import MIGRATIONS, Database
from provisioner.store.tables import MachineRow, Table, now
from provisioner.web import make_operator_side
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station, open_station
from tests import factories, people
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


def test_the_tables_are_those_of_the_program(station: Station) -> None:
    """Migrations and models say the same on this database, too."""
    with station.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


@pytest.fixture
def other(url: str, tmp_path: Path) -> Iterator[Station]:
    """A second database on the same server: a station on a busy day, with a rollout under way."""
    name = "busy"
    folder = url.partition("host=")[2]
    _as_postgres("dropdb", "-h", folder, "--if-exists", name)
    _as_postgres("createdb", "-h", folder, name)
    settings = Settings(state_dir=tmp_path, database_url=url.replace("/postgres?", f"/{name}?"))
    station = open_station(settings, url="http://10.77.0.1:8080")
    factories.publish(station, factories.make_manifest())
    factories.publish(station, factories.make_manifest(name="live", kind=ReleaseKind.LIVE))
    newer = {"version": "2026.2", "number": 2026002}
    factories.publish(station, factories.make_manifest().model_copy(update=newer))
    factories.busy_day(station)
    plan = RolloutPlan(name="summer", track="release", value="education@2026.2",
                       former="education@2026.1", schools=(factories.SCHOOL,))  # fmt: skip
    with station.database.transaction() as session:
        factories.add_machine(session, 10, Milestone.HANDED_OVER)
        rollouts.start(session, plan, now())
        rollouts.step(session, now())
    yield station
    station.database.close()


def test_a_database_of_the_first_version_keeps_what_it_holds(other: Station) -> None:
    """Every migration in turn, over rows that were there before it."""
    folder = unquote(other.database.url.partition("host=")[2])
    _as_postgres("dropdb", "-h", folder, "--if-exists", "old")
    _as_postgres("createdb", "-h", folder, "old")
    database = Database(other.database.url.replace("/busy?", "/old?"))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(text(
            "INSERT INTO event (at, kind, actor, data) VALUES (now(), 'batch-opened', 'li', '{}')"
        ))  # fmt: skip
    database.migrate()
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT actor FROM event")) == "li"
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
    database.close()


def _browser(side: FastAPI, station: Station, login: str) -> tuple[TestClient, dict[str, str]]:
    cookie = people.log_in(station, login=login)
    return TestClient(side, cookies={SESSION_COOKIE: cookie}), people.secret_of(cookie)


def test_every_page_and_table_is_there(other: Station) -> None:
    school, batch = factories.SCHOOL, factories.BATCH
    pages = ("", "machines/PC-0001", "machines/PC-0004", "batches", f"batches/{batch}",
             f"batches/new?school={school}&release=education@2026.1", "schools",
             f"schools/{school}", f"schools/{school}/renewal", f"schools/{school}/edit",
             "releases", "releases/education@2026.1", "rollouts", "rollouts/summer",
             "rollouts/new", "contests", "donors", "people", "account", "journal",
             "journal?kind=run-failed&machine=PC-0004&day=2026-01-01", "journal.csv", "impact.csv",
             "impact.xlsx", "impact.pdf", f"batches/{batch}/labels", f"batches/{batch}/hand-over",
             "api/v1/machines")  # fmt: skip
    browser, _ = _browser(make_operator_side(other), other, "li")
    token = (other.settings.state_dir / "operator.token").read_text()
    for page in pages:
        answer = browser.get(f"/{page}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, (page, answer.text[-400:])


Press = Callable[[TestClient, dict[str, str]], int]


def _machine(browser: TestClient, form: dict[str, str]) -> int:
    return int(browser.post("/machines/PC-0004/try-again", data=form).status_code)


def _rollout(browser: TestClient, form: dict[str, str]) -> int:
    return int(browser.post("/rollouts/summer/pause", data=form).status_code)


def _classroom(browser: TestClient, form: dict[str, str]) -> int:
    wish = {**form, "seen": "0", "release": "education@2026.2"}
    return int(browser.post(f"/schools/{factories.SCHOOL}/renew", data=wish).status_code)


def _donor(browser: TestClient, form: dict[str, str]) -> int:
    return int(browser.post("/donors", data={**form, "name": "ACME"}).status_code)


@pytest.mark.parametrize("press", [_machine, _rollout, _classroom, _donor])
def test_of_two_people_at_once_one_wins_and_the_other_is_told(other: Station, press: Press) -> None:
    """Both have seen the same page; they press at the same moment, on a database where two
    transactions really run side by side."""
    side = make_operator_side(other)
    visitors = [_browser(side, other, login) for login in ("li", "mei")]
    seen = re.search(r'name="seen" value="(\d+)"', visitors[0][0].get("/machines/PC-0004").text)
    assert seen is not None
    start = threading.Barrier(len(visitors))

    def go(visitor: tuple[TestClient, dict[str, str]]) -> int:
        browser, form = visitor
        start.wait(timeout=60)
        return press(browser, {"seen": seen[1], **form})

    with ThreadPoolExecutor(len(visitors)) as pool:
        assert sorted(pool.map(go, visitors)) == [200, 409]
