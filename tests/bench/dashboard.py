"""The dashboard under load: 2,500 machines in the store, 25 at work; pages and the live stream.

    python -m tests.bench.dashboard

Pages are asked for as a browser does, packed, without the network; the stream's cost is the
processor time of one listener while 25 machines report once a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

from fastapi.testclient import TestClient

from provisioner.api.auth import SESSION_COOKIE
from provisioner.lifecycle import Milestone, Verb
from provisioner.web import make_operator_side
from provisioner.web.page import Visitor
from provisioner.web.speech import Speech
from provisioner.web.stream import _tiles
from provisioner.workshop.station import Station
from tests import factories, people

IN_STORE, AT_WORK = 2500, 25
GOAL_MS, GOAL_CORE = 200.0, 0.05
TIMES = 7
LISTEN_S = 20.0
PAGES = ("/", "/batches", f"/batches/{factories.BATCH}", "/machines/PC-0001", "/schools",
         f"/schools/{factories.SCHOOL}", "/releases", "/donors", "/journal")  # fmt: skip


def fill(station: Station, in_workshop: int) -> list[int]:
    """`in_workshop` machines at work, the others handed over; the numbers of those at work."""
    factories.open_batch(station, size=IN_STORE)
    with station.database.transaction() as session:
        for number in range(1, IN_STORE + 1 - in_workshop):
            factories.add_machine(session, number, Milestone.HANDED_OVER)
        at_work = []
        for number in range(IN_STORE + 1 - in_workshop, IN_STORE + 1):
            row = factories.add_machine(session, number, Milestone.DIAGNOSED)
            factories.start(session, row, Verb.WIPE, 1)
            at_work.append(row.id)
    return at_work


def page_times(station: Station) -> dict[str, float]:
    """Milliseconds at the server's side, the median of TIMES."""
    cookies = {SESSION_COOKIE: people.log_in(station)}
    found = {}
    with TestClient(make_operator_side(station), cookies=cookies) as browser:
        for path in PAGES:
            took = []
            for _ in range(TIMES):
                start = time.perf_counter()
                assert browser.get(path).status_code == 200
                took.append((time.perf_counter() - start) * 1000)
            found[path] = round(median(took), 1)
    return found


def stream_share(station: Station, machines: list[int]) -> float:
    """The share of one core that one listener of Today costs."""
    stop = threading.Event()

    def report() -> None:
        fraction = 0.0
        while not stop.wait(1.0):
            fraction = (fraction + 0.01) % 1
            for number in machines[:AT_WORK]:
                station.board.show(number, "Overwriting the disk", fraction, 1e8)

    async def listen() -> float:
        visitor = Visitor(station, Speech("en"), "", "/live")
        parts = _tiles(visitor, None)
        await anext(parts)
        start, until = time.process_time(), time.monotonic() + LISTEN_S
        while time.monotonic() < until:
            await anext(parts)
        return (time.process_time() - start) / LISTEN_S

    reporter = threading.Thread(target=report)
    reporter.start()
    try:
        return round(asyncio.run(listen()), 3)
    finally:
        stop.set()
        reporter.join()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        station = factories.make_station(Path(folder))
        machines = fill(station, AT_WORK)
        pages, share = page_times(station), stream_share(station, machines)
        station.database.close()
    goals = {"pages under 200 ms": max(pages.values()) < GOAL_MS,
             "stream under 5 % of a core": share < GOAL_CORE}  # fmt: skip
    print(json.dumps({"pages_ms": pages, "stream_core": share, "goals": goals}, indent=2))
    return 0 if all(goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
