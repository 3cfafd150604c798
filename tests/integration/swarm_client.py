"""A machine for the swarm's tests: brings a release as the agent does, then goes on giving.

`python -m tests.integration.swarm_client STATION_URL RELEASE KEY FOLDER`: one line of JSON when
everything is there; ends when its input does. With WAIT_FOR_GO it says “ready” and waits for a
line, as the agent has long been running when an order comes.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from pathlib import Path

from provisioner.agent.growing import GrowingProof
from provisioner.model.release import MANIFEST, Manifest
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.swarm import choose
from provisioner.swarm.choose import choose_carrier
from provisioner.swarm.fetch import HttpCarrier, Wanted
from provisioner.swarm.session import is_available
from provisioner.swarm.torrent import LEAST_BYTES


def resident_bytes() -> int:
    """The most that this process ever held in memory."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def main(station_url: str, release: str, key: str, folder: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if os.environ.get("NO_LIBTORRENT"):
        vars(choose)["is_available"] = lambda: False
    if os.environ.get("WAIT_FOR_GO"):
        assert is_available()
        import libtorrent  # noqa: F401  (a machine has a processor of its own for this)

        print("ready", flush=True)
        sys.stdin.readline()
    began = time.monotonic()
    url = f"{station_url}/releases/{release}/"
    http = HttpCarrier(url)
    manifest, _ = open_envelope(http.read(MANIFEST, MAX_ENVELOPE_BYTES), Manifest, trusted=key)
    growing = GrowingProof()
    carrier = choose_carrier(
        http, manifest, station_url=station_url, release_url=url,
        watcher=None if os.environ.get("NO_PROOF") else growing,
    )  # fmt: skip
    with carrier:
        got = {"fetched": 0, "resumed": 0, "from_peers": 0, "from_carousel": 0, "proved": 0}
        for entry in sorted(manifest.files, key=lambda entry: -entry.size):
            if entry.size < LEAST_BYTES:
                continue
            into = Path(folder) / entry.path
            into.parent.mkdir(parents=True, exist_ok=True)
            done = carrier.fetch(Wanted(entry.path, entry.size, entry.sha256), into, lambda _: None)
            got["fetched"] += done.fetched
            got["resumed"] += done.resumed
            got["from_peers"] += done.from_peers
            got["from_carousel"] += done.from_carousel
            got["proved"] += entry.path in growing.grown
        times = os.times()
        result = {
            **got, "banned": carrier.origin.banned, "seconds": time.monotonic() - began,
            "cpu": times.user + times.system, "resident": resident_bytes(),
        }  # fmt: skip
        print(json.dumps(result), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
