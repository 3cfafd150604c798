"""A station that serves what lies in its folder: the real door for machines, and its seeds.

`python -m tests.integration.side_station STATE ADDRESS/PREFIX PORT [SEEDS]`; ends with SIGTERM.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

from provisioner.api.machine import make_machine_app
from provisioner.netboot.settings import NetbootSettings
from provisioner.serve import _door, _listen
from provisioner.settings import Settings
from provisioner.swarm.seed import Seeds
from provisioner.workshop.station import Station, open_station


def main(*words: str) -> None:
    with serving(*words) as (_station, stop):
        print("serving", flush=True)
        stop.wait()


@contextlib.contextmanager
def serving(
    state: str, address: str, port: str, seeds: str = "1"
) -> Iterator[tuple[Station, threading.Event]]:
    """An open station, and what SIGTERM sets."""
    wire = IPv4Interface(address)
    netboot = NetbootSettings(
        interface="br0", station=wire, http_port=int(port),
        tftp_root=Path(state), state_dir=Path(state),
    )  # fmt: skip
    station = open_station(Settings(state_dir=Path(state)), url=netboot.station_url)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with contextlib.ExitStack() as parts:
        door = make_machine_app(station, netboot, Path(state))
        parts.enter_context(_door(door, _listen(str(wire.ip), int(port)), "machines"))
        if seeds == "1":
            parts.enter_context(Seeds(station.catalog, netboot, station.key.public))
        yield station, stop


if __name__ == "__main__":
    main(*sys.argv[1:])
