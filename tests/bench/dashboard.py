"""The dashboard under load: 100 schools, 2,500 machines in the store, 25 of them at work.

    python -m tests.bench.dashboard

Pages are asked for as a browser does, packed, without the network; the stream's cost is the
processor time of one listener of Today while 25 machines report once a second. Releases have as
many packages as the education image, and a rollout to all schools is under way.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from fastapi.testclient import TestClient
from rich.console import Console
from sqlalchemy.orm import Session

from provisioner.api.auth import SESSION_COOKIE
from provisioner.fleet import rollouts
from provisioner.fleet.new_school import Draft, new_school
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.release import Component
from provisioner.model.rollout import RolloutPlan
from provisioner.settings import Settings
from provisioner.store.tables import BatchRow, now
from provisioner.web import make_operator_side
from provisioner.web.page import Visitor
from provisioner.web.provinces import PROVINCES
from provisioner.web.speech import Speech
from provisioner.web.stream import _tiles
from provisioner.workshop.station import Station, open_station
from tests import factories, people

AT_WORK, SEATS, PACKAGES = 25, 25, 1500
RELEASES = ("2026.1", "2026.2", "2027.1")
ROLLOUT = "summer"
Rows = list[dict[str, Any]]


def name_of(school: int) -> str:
    return f"school-{school:03d}"


PAGES = ("/", "/batches", f"/batches/{name_of(0)}", f"/batches/{name_of(1)}",
         "/machines/PC-0001", "/schools", f"/schools/{name_of(1)}",
         f"/schools/{name_of(1)}/renewal", "/releases", "/releases/education@2026.1",
         "/releases/education@2026.1?compare=education@2027.1", "/rollouts",
         f"/rollouts/{ROLLOUT}", "/rollouts/new", "/contests", "/donors", "/journal", "/people",
         "/batches/new")  # fmt: skip


def make_station(folder: Path, schools: int) -> Station:
    """A station with so many schools on disk, and releases of the usual size."""
    inventories = folder / "inventories"
    inventories.mkdir()
    for number in range(schools):
        province = PROVINCES[number % len(PROVINCES)].en
        draft = Draft(name_en=f"School {number}", name_zh=f"学校{number}", province=province)
        new_school(inventories, name_of(number), draft)
    settings = Settings(state_dir=folder / "state", inventories_dir=inventories)
    station = open_station(settings, url="http://10.77.0.1:8080")
    for place, version in enumerate(RELEASES):
        made = factories.make_manifest()
        parts = tuple(
            Component(name=f"package-{number}", version=f"1.{number % (place + 2)}",
                      licence="GPL-2.0-or-later")
            for number in range(PACKAGES)
        )  # fmt: skip
        changed = {"version": version, "number": 2026001 + place, "components": parts}
        factories.publish(station, made.model_copy(update=changed))
    return station


def fill(station: Station, schools: int) -> list[int]:
    """A batch of 25 for each school; the first school's are at work, all others in service."""
    at_work = []
    with station.database.transaction() as session:
        for number in range(schools):
            _batch(session, name_of(number))
            for seat in range(1, SEATS + 1):
                working = number == 0 and seat <= AT_WORK
                milestone = Milestone.DIAGNOSED if working else Milestone.HANDED_OVER
                row = factories.add_machine(
                    session, number * SEATS + seat, milestone, batch=name_of(number)
                )
                if working:
                    factories.start(session, row, Verb.WIPE, 1)
                    at_work.append(row.id)
        everybody = tuple(name_of(number) for number in range(1, schools))
        plan = RolloutPlan(name=ROLLOUT, track="release", value="education@2027.1",
                           former="education@2026.1", schools=everybody)  # fmt: skip
        rollouts.start(session, plan, now())
        rollouts.step(session, now())
    return at_work


def _batch(session: Session, name: str) -> None:
    policy = {"disk": "only", "wipe_level": "clear", "diagnose": "quick"}
    until = datetime(2100, 1, 1, tzinfo=UTC) if name == name_of(0) else None
    session.add(BatchRow(name=name, school=name, release="education@2026.1", policy=policy,
                         size=SEATS, open_until=until))  # fmt: skip
    session.flush()


def page_times(station: Station, times: int) -> Rows:
    """Milliseconds at the server's side, by the clock and of processor time: medians.

    The first time, when nothing has been read yet, stands beside them and does not count.
    """
    cookies = {SESSION_COOKIE: people.log_in(station)}
    rows: Rows = []
    with TestClient(make_operator_side(station), cookies=cookies) as browser:
        for path in PAGES:
            took, busy = [], []
            for _ in range(times + 1):
                start, began = time.perf_counter(), time.process_time()
                answer = browser.get(path)
                took.append((time.perf_counter() - start) * 1000)
                busy.append((time.process_time() - began) * 1000)
                if answer.status_code != 200:
                    raise RuntimeError(f"{path} answers {answer.status_code}")
            rows.append({"what": path, "ms": round(median(took[1:]), 1),
                         "cpu_ms": round(median(busy[1:]), 1),
                         "first_ms": round(took[0], 1)})  # fmt: skip
    return rows


def stream_share(station: Station, machines: list[int], seconds: float) -> float:
    """The share of one core that one listener of Today costs."""
    stop = threading.Event()

    def report() -> None:
        fraction = 0.0
        while not stop.wait(1.0):
            fraction = (fraction + 0.01) % 1
            for number in machines:
                station.board.show(number, "Overwriting the disk", fraction, 1e8)

    async def listen() -> float:
        visitor = Visitor(station, Speech("en"), "", "/live")
        parts = _tiles(visitor, None)
        await anext(parts)
        start, until = time.process_time(), time.monotonic() + seconds
        while time.monotonic() < until:
            await anext(parts)
        return (time.process_time() - start) / seconds

    reporter = threading.Thread(target=report)
    reporter.start()
    try:
        return round(asyncio.run(listen()), 4)
    finally:
        stop.set()
        reporter.join()


def dashboard(*, small: bool = False) -> Rows:
    """Every page's time, and the stream's share of a core."""
    schools, times, seconds = (4, 2, 3.0) if small else (100, 9, 15.0)
    with tempfile.TemporaryDirectory(prefix="bench-dashboard-") as folder:
        station = make_station(Path(folder), schools)
        try:
            machines = fill(station, schools)
            rows = page_times(station, times)
            share = stream_share(station, machines, seconds)
        finally:
            station.database.close()
    return [*rows, {"what": f"live stream, {len(machines)} machines at work", "core": share}]


def main() -> int:
    from tests.bench import report
    from tests.bench.goals import goals

    results = {"dashboard": dashboard(small="--short" in sys.argv)}
    table, found = report.section(results, "dashboard")
    report.show(table, found, Console())
    return 0 if all(goal.met for goal in goals(results) if goal.section == "dashboard") else 1


if __name__ == "__main__":
    sys.exit(main())
