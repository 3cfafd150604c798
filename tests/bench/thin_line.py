"""A classroom behind a thin line: what crosses it when all machines take an update together.

    python -m tests.bench.thin_line --clients 25 --uplink 5 --results thin.json

The station is in a network of its own; one cable leads to the classroom, limited with tbf in both
directions, and between the machines there is a bridge without limits. Each machine is a network
namespace with the old release on its disk and brings the new one to its inactive side with the
agent's own code: all its files, kernel and initramfs too. `line_bytes` is what the station's cable
carried towards the classroom, headers and all; `one_delta_bytes` is the same for one machine
alone. Every file at the end is compared by sha256sum. Root.
"""

from __future__ import annotations

import argparse
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

from provisioner.lab.network import LabNetwork
from provisioner.run import run
from tests.bench.fan_out import Process, end, limit, line, say
from tests.bench.loops import folder_of_disks
from tests.integration.side_world import NEW, SideWorld, Sizes

ROOT = Path(__file__).parents[2]
PORT = 8080
FOLDER_BYTES = 60_000_000  # of a machine: two small releases
STATION, GATEWAY = IPv4Interface("10.99.0.2/24"), IPv4Interface("10.99.0.1/24")
# What a machine does: environment of its program, whether the station has a patch
SYSTEMS: dict[str, tuple[dict[str, str], bool]] = {
    "ours, patch": ({}, True),
    "ours, pieces": ({}, False),
    "each by itself, patch": ({"NO_LIBTORRENT": "1"}, True),
}


class School:
    """A classroom, and far away its station; everything ends with the stack."""

    def __init__(
        self, network: LabNetwork, world: SideWorld, uplink: int, stack: contextlib.ExitStack
    ) -> None:
        self.network, self.world, self._stack = network, world, stack
        self._inside: dict[int, tuple[str, ...]] = {}
        name = f"{network.name}-far"
        self._ip("netns", "add", name)
        self._ip("-n", network.name, "link", "add", "uplink", "type", "veth", "peer", "name",
                 "eth0", "netns", name)  # fmt: skip
        self._ip("-n", network.name, "addr", "add", str(GATEWAY), "dev", "uplink")
        self._ip("-n", network.name, "link", "set", "uplink", "up")
        self._ip("-n", name, "addr", "add", str(STATION), "dev", "eth0")
        self._ip("-n", name, "link", "set", "eth0", "up")
        self._ip("-n", name, "route", "add", "default", "via", str(GATEWAY.ip))
        run([*network.exec_prefix, "sysctl", "-qw", "net.ipv4.ip_forward=1"], timeout_s=20)
        limit(network.name, "uplink", uplink, "400ms")
        limit(name, "eth0", uplink, "400ms")
        self.far = ("ip", "netns", "exec", name)
        self.station = self.start(
            self.far, "tests.integration.side_station", world.state, STATION, PORT, 1
        )
        line(self.station)

    @property
    def url(self) -> str:
        return f"http://{STATION.ip}:{PORT}"

    def machine(self, number: int, **env: str) -> Process:
        """A machine with the old release, ready to be told to go."""
        address = IPv4Interface(f"10.77.0.{10 + number}/24")
        inside = self._stack.enter_context(self.network.neighbour(f"m{number}", address))
        self._ip("-n", f"{self.network.name}-m{number}", "route", "add", "default", "via",
                 str(self.network.station.ip))  # fmt: skip
        self._inside[number] = inside
        self.world.machine(f"machine{number}")
        return self.again(number, **env)

    def again(self, number: int, **env: str) -> Process:
        """The same machine, started once more."""
        disk = self.world.folder / f"machine{number}"
        words = [self.url, NEW, self.world.key, disk]
        return self.start(self._inside[number], "tests.integration.side_client", *words, **env)

    def start(self, prefix: tuple[str, ...], module: str, *words: object, **env: str) -> Process:
        log = (self.world.folder / f"{module.rpartition('.')[2]}.log").open("a")
        process = subprocess.Popen(
            [*prefix, sys.executable, "-W", "ignore", "-m", module, *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*", **env},
        )  # fmt: skip
        self._stack.callback(end, process)
        return process

    def crossed(self) -> int:
        """Bytes that the line has carried to the classroom so far."""
        words = [*self.far, "ip", "-s", "-json", "link", "show", "eth0"]
        return int(json.loads(run(words, timeout_s=20).stdout)[0]["stats64"]["tx"]["bytes"])

    def _ip(self, *words: str) -> None:
        run(["ip", *words], timeout_s=20)


@contextlib.contextmanager
def two_releases(sizes: Sizes) -> Iterator[SideWorld]:
    """A station's folder, removed at the end."""
    with folder_of_disks("thin-line-", 25 * FOLDER_BYTES) as folder:
        yield SideWorld(folder, sizes)


@contextlib.contextmanager
def school(world: SideWorld, uplink: int) -> Iterator[School]:
    """The station and its line; no machine yet."""
    with LabNetwork(run_root=world.folder / "run") as network, contextlib.ExitStack() as stack:
        yield School(network, world, uplink, stack)


def measure(world: SideWorld, system: str, clients: int, uplink: int) -> dict[str, Any]:
    """Bytes over the line, seconds until the last machine has proved all, and who gave them."""
    env, patch = SYSTEMS[system]
    world.offer_patch(patch)
    with school(world, uplink) as room:
        machines = [room.machine(number, WAIT_FOR_GO="1", **env) for number in range(clients)]
        for machine in machines:
            assert line(machine) == "ready"
        time.sleep(1)
        before, began = room.crossed(), time.monotonic()
        for machine in machines:
            say(machine, "go")
        told = [json.loads(line(machine)) for machine in machines]
        seconds, crossed = time.monotonic() - began, room.crossed() - before
        for number in range(clients):
            assert world.arrived(world.folder / f"machine{number}"), number
        return {
            "line_bytes": crossed, "seconds": seconds,
            "payload_bytes": sum(one["bytes_from_station"] for one in told),
            "peer_bytes": sum(one["bytes_from_peers"] for one in told),
        }  # fmt: skip


def thin_line(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each system: bytes over the line for all machines, and for one alone."""
    sizes = Sizes(
        texts=options.texts, every=options.every, new_bytes=options.new_bytes,
        kernel=options.kernel, initrd=options.initrd,
    )  # fmt: skip
    rows = []
    with two_releases(sizes) as world:
        for system in options.systems:
            rows.append(compare(world, system, options.clients, options.uplink))
            print(json.dumps(rows[-1]), flush=True)
    return rows


def compare(world: SideWorld, system: str, clients: int, uplink: int) -> dict[str, Any]:
    """A classroom beside one machine alone."""
    alone = measure(world, system, 1, uplink)
    together = measure(world, system, clients, uplink)
    return {
        "system": system, "clients": clients, "uplink_mbit": uplink,
        "line_bytes": together["line_bytes"], "one_delta_bytes": alone["line_bytes"],
        "ratio": round(together["line_bytes"] / alone["line_bytes"], 3),
        "seconds": round(together["seconds"], 1), "seconds_alone": round(alone["seconds"], 1),
        "image_bytes": world.image_bytes,
        "payload_bytes": together["payload_bytes"], "peer_bytes": together["peer_bytes"],
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The options of `thin_line` with their defaults."""
    made = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    made.add_argument("--clients", type=int, default=25)
    made.add_argument("--uplink", type=int, default=5, help="Mbit/s of the one shared line")
    made.add_argument("--systems", type=lambda text: text.split(":"),
                      default=["ours, patch", "ours, pieces"])  # fmt: skip
    made.add_argument("--texts", type=int, default=600, help="of 60 kB, in the image")
    made.add_argument("--every", type=int, default=30, help="one of so many texts is changed")
    made.add_argument("--new-bytes", type=int, default=1_000_000)
    made.add_argument("--kernel", type=int, default=1_500_000)
    made.add_argument("--initrd", type=int, default=3_000_000)
    made.add_argument("--results", type=Path)
    return made


def main() -> None:
    options = parser().parse_args()
    results = {"thin_line": thin_line(options)}
    if options.results:
        options.results.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
