"""An installed machine that brings the new release to its inactive side.

`python -m tests.integration.side_client STATION_URL RELEASE KEY FOLDER`: one line of JSON with
the evidence when everything is proved; ends when its input does. With WAIT_FOR_GO it says
“ready” and waits for a line. With NO_LIBTORRENT it has none. With STAY the site cache gives
afterwards what it has. PROGRESS prints the share that is done, and rests so many seconds each
time. MANIFEST is a file with the signed manifest. PATIENCE shortens the wait for a neighbour,
ALONE that for any at all.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from provisioner.agent import side
from provisioner.agent.cache import Cache
from provisioner.agent.journey import Journey, Standing
from provisioner.agent.surroundings import Home
from provisioner.model.release import MANIFEST
from provisioner.model.signed import MAX_ENVELOPE_BYTES, PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.swarm import classroom, turns
from provisioner.swarm.session import is_available
from tests.integration.side_world import roots_of


def tell(standing: Standing) -> None:
    if os.environ.get("PROGRESS"):
        print(f"{standing.fraction:.4f}", flush=True)
        time.sleep(float(os.environ["PROGRESS"]))


def main(url: str, release: str, key: str, folder: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if os.environ.get("NO_LIBTORRENT"):
        vars(side)["is_available"] = lambda: False
    elif is_available():
        import libtorrent  # noqa: F401 - a machine has it in memory before the order comes
    if os.environ.get("WAIT_FOR_GO"):
        print("ready", flush=True)
        sys.stdin.readline()
    began = time.monotonic()
    if patience := os.environ.get("PATIENCE"):
        vars(turns)["PATIENCE_S"] = float(patience)
    if os.environ.get("ALONE"):
        vars(classroom)["ENTER_S"] = vars(classroom)["MEET_S"] = 0.1
    station = side.Station(url, key, lambda _error, pause: time.sleep(min(pause, 1.0)))
    if given := os.environ.get("MANIFEST"):
        envelope = Path(given).read_bytes()
    else:
        envelope = station.http("releases", release).read(MANIFEST, MAX_ENVELOPE_BYTES)
    evidence = side.fill_side(
        envelope, release, roots_of(Path(folder)), station, Journey(side.STEPS, tell)
    )
    times = os.times()
    told = {**evidence.model_dump(mode="json"), "seconds": time.monotonic() - began,
            "cpu": times.user + times.system}  # fmt: skip
    if os.environ.get("STAY"):
        start_cache(url, key, Path(folder))
    print(json.dumps(told), flush=True)
    sys.stdin.read()


def start_cache(url: str, key: str, folder: Path) -> None:
    """The agent's own service, which has looked once when this returns."""
    home = Home(Surroundings.INSTALLED, url, key, PrivateKey.generate())
    roots = roots_of(folder)
    cache = Cache(home, releases=roots["system"] / "releases", esp=roots["ESP"])
    cache.turn()
    threading.Thread(target=cache.run, daemon=True).start()


if __name__ == "__main__":
    main(*sys.argv[1:])
