"""The swarm for real: neighbours, late ones, killed ones, liars, a station that starts again.

Here the wire carries no multicast, so that neighbours have to help each other; the station's
carousel is tests/integration/test_carousel.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from tests.integration.swarm_wire import (
    KERNEL,
    SIZE,
    SYSTEM,
    Wire,
    end,
    result,
    wait_for_bytes,
    wired,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]


def right(part: Path, whole: Path) -> int:
    """Bytes of the pieces that are here and right; one that is half here is fetched anew."""
    data, wanted, piece = part.read_bytes(), whole.read_bytes(), 262144
    places = range(0, len(wanted), piece)
    same = [at for at in places if data[at : at + piece] == wanted[at : at + piece]]
    return sum(len(wanted[at : at + piece]) for at in same)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with wired(tmp_path) as made:
        made.multicast = False
        yield made


def test_a_classroom_takes_from_each_other(wire: Wire) -> None:
    wire.station()
    results = [result(machine) for machine in wire.classroom(4)]
    assert all(wire.proved(number) for number in range(4))
    from_peers = sum(found["from_peers"] for found in results)
    whole = 4 * (SIZE + 1_200_000)
    assert sum(found["fetched"] for found in results) == whole
    assert from_peers > whole / 3, results
    assert all(found["resumed"] == 0 for found in results)
    assert all(found["proved"] == 2 for found in results)  # read back past the cache meanwhile
    assert max(found["resident"] for found in results) < 250 * 2**20


def test_a_late_machine_takes_from_the_others(wire: Wire) -> None:
    """The station gives over HTTP only: the first has it from there, the second from the first."""
    wire.station(seeds=False)
    early, late = result(wire.machine(0)), result(wire.machine(1))
    assert wire.proved(0)
    assert wire.proved(1)
    assert early["from_peers"] == 0
    assert late["from_peers"] > 0.9 * SIZE, late


def test_a_killed_machine_goes_on_where_it_was(wire: Wire) -> None:
    wire.station()
    others = [wire.machine(number) for number in (1, 2)]
    victim = wire.machine(0)
    wait_for_bytes(wire.disk(0), SIZE // 2)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    had = right(wire.disk(0) / f"{SYSTEM}.part", wire.content / SYSTEM)
    again = result(wire.machine(0))
    assert wire.proved(0)
    assert again["fetched"] <= SIZE + 1_200_000 - had + 0.01 * SIZE, (had, again)
    for machine in others:
        result(machine)
    assert wire.proved(1)
    assert wire.proved(2)


def test_a_neighbour_that_lies_is_banned_and_named(wire: Wire) -> None:
    wire.station()
    lie = wire.folder / "lie"
    lie.mkdir()
    (lie / SYSTEM).write_bytes(os.urandom(SIZE))
    torrent = wire.folder / "state/releases" / wire.release / "release.torrent"
    address = IPv4Interface("10.77.0.66/24")
    with wire.network.neighbour("liar", address) as inside:
        liar = wire.start(
            inside, "tests.integration.swarm_liar",
            torrent, lie / SYSTEM, address, f"{wire.url}/announce",
        )  # fmt: skip
        assert liar.stdout is not None
        assert liar.stdout.readline() == "lying\n"
        time.sleep(1)
        found = [result(machine) for machine in [wire.machine(number) for number in range(2)]]
        assert all(wire.proved(number) for number in range(2))
        assert any("10.77.0.66" in entry["banned"] for entry in found), found
        end(liar)


def test_a_station_that_starts_again_is_found_again(wire: Wire) -> None:
    station = wire.station()
    machine = wire.machine(0)
    wait_for_bytes(wire.disk(0), SIZE // 4)
    station.kill()
    station.wait()
    release = wire.release
    content = wire.folder / "empty"
    (content / "loader").mkdir(parents=True)
    (content / "loader/boot.img").write_bytes(b"small")
    served, wire.content = wire.content, content
    wire.station()
    wire.content = served
    assert wire.release != release  # a second one appeared; the first is served as before
    result(machine)
    assert wire.proved(0)


def test_without_libtorrent_the_pieces_come_over_http(wire: Wire) -> None:
    wire.station(seeds=False)
    shutil.copytree(wire.content, wire.disk(0), ignore=lambda *_: [KERNEL, "loader"])
    begun = wire.disk(0) / SYSTEM
    data = bytearray(begun.read_bytes())
    data[5_000_000:6_000_000] = bytes(1_000_000)
    begun.unlink()
    begun.with_name(f"{SYSTEM}.part").write_bytes(data)
    wire.prefixes[0] = (*wire.network.exec_prefix, "env", "NO_LIBTORRENT=1")
    found = result(wire.machine(0))
    assert wire.proved(0)
    assert 1_000_000 <= found["fetched"] - 1_200_000 <= 1_000_000 + 2 * 262144, found
