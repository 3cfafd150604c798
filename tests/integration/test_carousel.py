"""The carousel for real: one copy on the station's cable for everybody who is there.

Machines join late, are killed, or have a cable that carries a tenth; every file at its end is
compared by sha256sum.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.swarm.packet import PAYLOAD, PORT, ROOT_BYTES, Head, group_of
from provisioner.swarm.torrent import read_torrent
from tests.integration.swarm_wire import (
    SIZE,
    SYSTEM,
    Wire,
    result,
    sent_by_station,
    wait_for_bytes,
    wired,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
WHOLE = SIZE + 1_200_000
HEADERS = 1.07  # frames with their heads, reports' answers, manifest and torrent


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with wired(tmp_path) as made:
        yield made


def test_one_copy_serves_a_classroom(wire: Wire) -> None:
    wire.station()
    before = sent_by_station(wire)
    results = [result(machine) for machine in wire.classroom(5)]
    assert all(wire.proved(number) for number in range(5))
    assert sum(found["fetched"] for found in results) == 5 * WHOLE
    assert sum(found["from_carousel"] for found in results) > 0.7 * 5 * SIZE, results
    # what the first asked for before the carousel began is the rest, and what was lost
    assert sent_by_station(wire) - before < 1.5 * WHOLE * HEADERS
    assert all(found["proved"] == 2 for found in results)
    assert max(found["resident"] for found in results) < 250 * 2**20


def test_the_late_the_killed_and_the_slow(wire: Wire) -> None:
    wire.station()
    machines = {number: wire.machine(number) for number in range(4)}
    wire.slow_down(3, "8mbit")
    wait_for_bytes(wire.disk(0), SIZE // 3)
    machines[1].send_signal(signal.SIGKILL)
    late = wire.machine(4)
    for machine in (machines[0], machines[2], late, machines[3]):
        result(machine)
    assert all(wire.proved(number) for number in (0, 2, 3, 4))
    result(wire.machine(1))
    assert wire.proved(1)


def test_forged_packets_cost_nothing_but_themselves(wire: Wire) -> None:
    """They come from the station's address even: the hash of each piece decides."""
    wire.station()
    stored = wire.folder / "state/releases" / wire.release / "release.torrent"
    entry = read_torrent(stored.read_bytes()).file(SYSTEM)
    assert entry is not None
    machines = [wire.machine(number) for number in range(2)]
    forged = wire.start(
        wire.network.exec_prefix, "tests.integration.test_carousel",
        wire.network.station.ip, entry.root.hex(),
    )  # fmt: skip
    for machine in machines:
        result(machine)
    assert forged.poll() is None
    assert all(wire.proved(number) for number in range(2))


def test_a_busy_port_leaves_the_swarm(wire: Wire) -> None:
    taken = wire.start(wire.network.exec_prefix, "tests.integration.test_carousel", "hold")
    assert taken.stdout is not None
    assert taken.stdout.readline() == "held\n"
    wire.station()
    machines = [wire.machine(number) for number in range(2)]
    results = [result(machine) for machine in machines]
    assert all(wire.proved(number) for number in range(2))
    assert all(found["from_carousel"] == 0 for found in results)


def forge(address: str, root: bytes) -> None:
    """A thousand packets a second of pieces that are not so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        number = 0
        while True:
            head = Head(root[:ROOT_BYTES], number, number // 183 % 90, number % 183, 183)
            mouth.sendto(head.pack() + bytes(PAYLOAD), (str(group_of(root)), PORT))
            number += 1
            time.sleep(0.001)


def hold() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("0.0.0.0", PORT))
        print("held", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold()
    else:
        forge(sys.argv[1], bytes.fromhex(sys.argv[2]))
