"""The swarm for real: station and machines in network namespaces of their own, libtorrent in all.

Every file at its end is compared by its own sha256sum, which is not ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.network import BRIDGE, LabNetwork
from provisioner.run import run

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
ROOT = Path(__file__).parents[2]
PORT = 8080
SYSTEM, KERNEL = "system.squashfs", "vmlinuz"
SIZE = 24_000_123
RATE = "40mbit"  # of each machine's cable: a transfer of some seconds
LONG_S = 240.0


class Wire:
    """The classroom's wire, its station and its machines."""

    def __init__(self, network: LabNetwork, folder: Path, stack: contextlib.ExitStack) -> None:
        self.network, self.folder, self._stack = network, folder, stack
        self.url = f"http://{network.station.ip}:{PORT}"
        self.content = folder / "content"
        (self.content / "loader").mkdir(parents=True)
        (self.content / SYSTEM).write_bytes(os.urandom(SIZE))
        (self.content / KERNEL).write_bytes(os.urandom(1_200_000))
        (self.content / "loader/boot.img").write_bytes(b"small")
        self.release = self.key = ""
        self.prefixes: dict[int, tuple[str, ...]] = {}

    def station(self, seeds: bool = True) -> subprocess.Popen[str]:
        process = self.start(
            self.network.exec_prefix, "tests.integration.swarm_station",
            self.folder / "state", self.network.station, PORT, self.content, int(seeds),
        )  # fmt: skip
        assert process.stdout is not None
        self.release, self.key = process.stdout.readline().split()
        return process

    def machine(self, number: int) -> subprocess.Popen[str]:
        """Machine `number`, from power-on; its files stay when it is killed."""
        if number not in self.prefixes:
            address = IPv4Interface(f"10.77.0.{10 + number}/24")
            name = f"m{number}"
            self.prefixes[number] = self._stack.enter_context(self.network.neighbour(name, address))
            limit(self.network.name, f"to-{name}")
            limit(f"{self.network.name}-{name}", "eth0")
        return self.start(
            self.prefixes[number], "tests.integration.swarm_client",
            self.url, self.release, self.key, self.disk(number),
        )  # fmt: skip

    def disk(self, number: int) -> Path:
        return self.folder / f"disk{number}"

    def start(self, prefix: tuple[str, ...], module: str, *words: object) -> subprocess.Popen[str]:
        log = (self.folder / f"{module.rpartition('.')[2]}.log").open("a")
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "ignore", "-m", module, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self._stack.callback(end, process)
        return process

    def proved(self, number: int) -> bool:
        """Whether the machine's files are the release's, as sha256sum sees them."""
        return all(
            sha256sum(self.disk(number) / name) == sha256sum(self.content / name)
            for name in (SYSTEM, KERNEL)
        )

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("*.log")))


def limit(namespace: str, device: str) -> None:
    words = ["rate", RATE, "burst", "32kb", "latency", "50ms"]
    run(
        ["tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", *words],
        timeout_s=20,
    )


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The line that a machine prints when it has everything."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the machine died: {process.poll()}"
    return dict(json.loads(line))


def sha256sum(path: Path) -> str:
    return run(["sha256sum", path], timeout_s=60).stdout.split()[0]


def wait_for_bytes(folder: Path, least: int) -> None:
    """Until so much of the system image is on the disk."""
    part = folder / f"{SYSTEM}.part"
    until = time.monotonic() + LONG_S
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if written(part) >= least:
                return
        time.sleep(0.05)
    pytest.fail("nothing comes")


def written(part: Path) -> int:
    """Bytes of whole pieces that are not zero: space may be reserved beforehand."""
    data, piece = part.read_bytes(), 262144
    return sum(piece for at in range(0, len(data), piece) if any(data[at : at + piece : 4099]))


def right(part: Path, whole: Path) -> int:
    """Bytes of the pieces that are here and right; one that is half here is fetched anew."""
    data, wanted, piece = part.read_bytes(), whole.read_bytes(), 262144
    places = range(0, len(wanted), piece)
    same = [at for at in places if data[at : at + piece] == wanted[at : at + piece]]
    return sum(len(wanted[at : at + piece]) for at in same)


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    with LabNetwork(run_root=tmp_path / "run") as network, contextlib.ExitStack() as stack:
        limit(network.name, BRIDGE)  # the station's own cable
        made = Wire(network, tmp_path, stack)
        yield made
        print(made.log()[-4000:])


def test_a_classroom_takes_from_each_other(wire: Wire) -> None:
    wire.station()
    machines = [wire.machine(number) for number in range(4)]
    results = [result(machine) for machine in machines]
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
    assert again["fetched"] <= SIZE + 1_200_000 - had + 0.01 * SIZE + 262144, (had, again)
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
