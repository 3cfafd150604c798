"""A wire for the swarm's tests: station and machines in network namespaces, libtorrent in all.

Every file at its end is compared by its own sha256sum, which is not ours.
"""

from __future__ import annotations

import contextlib
import json
import os
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

ROOT = Path(__file__).parents[2]
PORT = 8080
SYSTEM, KERNEL = "system.squashfs", "vmlinuz"
SIZE = 24_000_123
RATE = "40mbit"  # of each machine's cable: a transfer of some seconds
LONG_S = 240.0
MEMBERSHIPS = "/proc/sys/net/ipv4/igmp_max_memberships"


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
        self.multicast = True  # whether the switch carries it to machines added from now on

    def station(self, seeds: bool = True) -> subprocess.Popen[str]:
        process = self.start(
            self.network.exec_prefix, "tests.integration.swarm_station",
            self.folder / "state", self.network.station, PORT, self.content, int(seeds),
        )  # fmt: skip
        assert process.stdout is not None
        self.release, self.key = process.stdout.readline().split()
        return process

    def classroom(self, count: int) -> list[subprocess.Popen[str]]:
        """Machines 0 to `count` - 1, which all begin when the last of them is ready.

        Here they share the test's processors, and loading libtorrent five times on a busy one
        takes longer than the whole transfer: the first would be done before the last begins.
        """
        made = [self.machine(number, WAIT_FOR_GO="1") for number in range(count)]
        for machine in made:
            assert machine.stdout is not None
            assert machine.stdout.readline() == "ready\n", f"it died: {machine.poll()}"
        for machine in made:
            assert machine.stdin is not None
            machine.stdin.write("go\n")
            machine.stdin.flush()
        return made

    def machine(self, number: int, **environment: str) -> subprocess.Popen[str]:
        """Machine `number`, from power-on; its files stay when it is killed."""
        if number not in self.prefixes:
            address = IPv4Interface(f"10.77.0.{10 + number}/24")
            name = f"m{number}"
            self.prefixes[number] = self._stack.enter_context(self.network.neighbour(name, address))
            limit(self.network.name, f"to-{name}")
            limit(f"{self.network.name}-{name}", "eth0")
            if not self.multicast:
                block_multicast(self.prefixes[number])
        return self.start(
            self.prefixes[number], "tests.integration.swarm_client",
            self.url, self.release, self.key, self.disk(number), **environment,
        )  # fmt: skip

    def slow_down(self, number: int, rate: str) -> None:
        """From now on the cable of a machine carries less."""
        limit(self.network.name, f"to-m{number}", rate, "replace")
        limit(f"{self.network.name}-m{number}", "eth0", rate, "replace")

    def disk(self, number: int) -> Path:
        return self.folder / f"disk{number}"

    def start(
        self, prefix: tuple[str, ...], module: str, *words: object, **environment: str
    ) -> subprocess.Popen[str]:
        log = (self.folder / f"{module.rpartition('.')[2]}.log").open("a")
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "ignore", "-m", module, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
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


def limit(namespace: str, device: str, rate: str = RATE, how: str = "add") -> None:
    words = ["rate", rate, "burst", "32kb", "latency", "50ms"]
    run(
        ["tc", "-n", namespace, "qdisc", how, "dev", device, "root", "tbf", *words],
        timeout_s=20,
    )


def sent_by_station(wire: Wire) -> int:
    """Bytes that the station's cable has carried away from it so far."""
    words = ["ip", "-n", wire.network.name, "-s", "-json", "link", "show", BRIDGE]
    return int(json.loads(run(words, timeout_s=20).stdout)[0]["stats64"]["tx"]["bytes"])


def block_multicast(prefix: tuple[str, ...]) -> None:
    """The machine may join no group, as if its switch carried none."""
    write = f"from pathlib import Path; Path('{MEMBERSHIPS}').write_text('0')"
    run([*prefix, sys.executable, "-c", write], timeout_s=20)


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


@contextlib.contextmanager
def wired(folder: Path) -> Iterator[Wire]:
    """A wire without anybody on it; what was logged is shown at the end."""
    with LabNetwork(run_root=folder / "run") as network, contextlib.ExitStack() as stack:
        limit(network.name, BRIDGE)  # the station's own cable
        made = Wire(network, folder, stack)
        yield made
        print(made.log()[-4000:])
