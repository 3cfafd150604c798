"""How long a classroom takes for one image: this system beside what others use.

    python -m tests.bench.fan_out --clients 1,6,12,25 --megabytes 120 --rate 20 --repeat 3 \\
        --results bench.json

Every machine and the station are network namespaces on one bridge; each cable is limited with
tbf to the same rate in both directions, the station's too. The clock runs from the order to the
last machine's complete and verified file; programs are started before it where the real thing
would be running already. `ideal_seconds` is one copy over one cable. Each file at the end is
compared by sha256sum. Root, two cores; keep clients x rate below what the processor carries (a
run with --rate 0 has no limits and shows how much that is).
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, cast

from provisioner.lab.network import LabNetwork
from provisioner.run import run
from provisioner.swarm import bencode
from tests.bench.loops import folder_of_disks
from tests.integration.swarm_wire import block_multicast

ROOT = Path(__file__).parents[2]
FILE, PORT, TRACKER_PORT = "system.squashfs", 8080, 6969
STATION = IPv4Interface("10.77.0.2/24")
LONG_S = 1200.0
UDPCAST_SHARE = 96  # percent of the cable
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Limits:
    """Megabits per second of each cable (0: none) and bytes of the image."""

    rate: int
    size: int

    @property
    def ideal_s(self) -> float:
        return self.size * 8 / (self.rate * 1e6) if self.rate else 0.0


class Classroom:
    """Station and machines, wired and empty; everything ends with the stack."""

    def __init__(
        self, network: LabNetwork, folder: Path, limits: Limits, count: int,
        stack: contextlib.ExitStack, slow: frozenset[int] = frozenset(),
    ) -> None:  # fmt: skip
        self.network, self.folder, self.limits, self._stack = network, folder, limits, stack
        self.source = folder / "content" / FILE
        self.source.parent.mkdir()
        run(["dd", "if=/dev/urandom", f"of={self.source}", "bs=1M", "iflag=count_bytes",
             f"count={limits.size}"], timeout_s=120)  # fmt: skip
        self.digest = sha256sum(self.source)
        self.station = self._wire("s", STATION, limits.rate)
        self.machines = [
            self._wire(f"m{n}", IPv4Interface(f"10.77.0.{10 + n}/24"),
                       max(limits.rate // 10, 1) if n in slow else limits.rate)
            for n in range(count)
        ]  # fmt: skip

    def _wire(self, name: str, address: IPv4Interface, rate: int) -> tuple[str, ...]:
        prefix = self._stack.enter_context(self.network.neighbour(name, address))
        if rate:
            limit(self.network.name, f"to-{name}", rate, "20ms")
            limit(f"{self.network.name}-{name}", "eth0", rate, "8ms")
        return prefix

    def disk(self, number: int) -> Path:
        made = self.folder / f"disk{number}"
        made.mkdir(exist_ok=True)
        return made

    def start(self, prefix: tuple[str, ...], words: list[Any], **env: str) -> Process:
        log = (self.folder / "log").open("a")
        process = subprocess.Popen(
            [*prefix, *map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*", "NO_PROXY": "*", **env},
        )  # fmt: skip
        self._stack.callback(end, process)
        return process

    def sent(self) -> int:
        """Bytes that the station's cable has carried away from it."""
        words = [*self.station, "ip", "-s", "-json", "link", "show", "eth0"]
        shown = json.loads(run(words, timeout_s=20).stdout)
        return int(shown[0]["stats64"]["tx"]["bytes"])

    def check(self, numbers: range | list[int]) -> None:
        """Raises when a machine's file is not the image."""
        for number in numbers:
            assert sha256sum(self.disk(number) / FILE) == self.digest, f"machine {number}"


def ours(room: Classroom, count: int) -> tuple[Callable[[], None], Callable[[int], None]]:
    """This system: its station's door and seeds, its agent's carrier with proof."""
    python = [sys.executable, "-W", "ignore", "-m"]
    station = room.start(room.station, [*python, "tests.integration.swarm_station",
                         room.folder / "state", STATION, PORT, room.source.parent])  # fmt: skip
    release, key = line(station).split()
    url = f"http://{STATION.ip}:{PORT}"
    machines = [
        room.start(prefix, [*python, "tests.integration.swarm_client", url, release, key,
                            room.disk(number)], WAIT_FOR_GO="1")
        for number, prefix in enumerate(room.machines[:count])
    ]  # fmt: skip
    for machine in machines:
        assert line(machine) == "ready"
    time.sleep(4)  # the station's seeds look for releases every three seconds

    def go() -> None:
        for machine in machines:
            say(machine, "go")

    def wait(number: int) -> None:
        assert json.loads(line(machines[number]))["proved"] == 1

    room.processes = machines  # type: ignore[attr-defined]
    return go, wait


def http(room: Classroom, count: int) -> tuple[Callable[[], None], Callable[[int], None]]:
    """Every machine its own copy, from nginx."""
    config = room.folder / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {room.folder}/nginx.pid;\n"
        "error_log /dev/null; user root;\n"
        "events { worker_connections 512; }\n"
        f"http {{ access_log off; sendfile on; server {{ listen {PORT}; "
        f"root {room.source.parent}; }} }}\n"
    )
    room.start(room.station, ["nginx", "-e", "/dev/null", "-c", config])
    time.sleep(1)
    started: list[Process] = []

    def go() -> None:
        for number, prefix in enumerate(room.machines[:count]):
            url = f"http://{STATION.ip}:{PORT}/{FILE}"
            out = room.disk(number) / FILE
            started.append(room.start(prefix, ["curl", "-sf", "-o", out, url]))

    def wait(number: int) -> None:
        assert started[number].wait(LONG_S) == 0

    return go, wait


def udpcast(room: Classroom, count: int) -> tuple[Callable[[], None], Callable[[int], None]]:
    """Multicast; it begins when all receivers are there."""
    receivers = [
        room.start(prefix, ["udp-receiver", "--nokbd", "--interface", "eth0", "--file",
                            room.disk(number) / FILE])
        for number, prefix in enumerate(room.machines[:count])
    ]  # fmt: skip
    time.sleep(1)

    def go() -> None:
        rate = (
            ["--max-bitrate", f"{room.limits.rate * UDPCAST_SHARE // 100}m"]
            if room.limits.rate
            else []
        )
        room.start(room.station, ["udp-sender", "--nokbd", "--interface", "eth0", "--file",
                   room.source, "--min-receivers", count, "--min-wait", 0, *rate])  # fmt: skip

    def wait(number: int) -> None:
        assert receivers[number].wait(LONG_S) == 0

    return go, wait


def aria2(room: Classroom, count: int) -> tuple[Callable[[], None], Callable[[int], None]]:
    """A swarm as LINBO has it: aria2 everywhere, opentracker on the station."""
    torrent = room.folder / "image.torrent"
    torrent.write_bytes(v1_torrent(room.source, f"http://{STATION.ip}:{TRACKER_PORT}/announce"))
    allowed = room.folder / "allowed"  # Debian's opentracker serves only what is on its list
    info = cast(dict[bytes, Any], bencode.decode(torrent.read_bytes()))[b"info"]
    allowed.write_text(hashlib.sha1(bencode.encode(info)).hexdigest() + "\n")
    ports = ["-i", STATION.ip, "-p", TRACKER_PORT, "-P", TRACKER_PORT]
    room.start(room.station, ["opentracker", *ports, "-w", allowed])
    common = ["aria2c", "--quiet", "--enable-dht=false", "--enable-dht6=false",
              "--bt-enable-lpd=true", "--seed-ratio=0.0", "--summary-interval=0",
              "--file-allocation=falloc", "--bt-max-peers=0", "--disable-ipv6=true"]  # fmt: skip
    room.start(room.station, [*common, "--check-integrity=true", "--dir", room.source.parent,
                              torrent])  # fmt: skip
    time.sleep(4)
    hook = room.folder / "done.sh"
    hook.write_text('#!/bin/sh\ntouch "$(dirname "$3")/done"\n')
    hook.chmod(0o755)

    def go() -> None:
        for number, prefix in enumerate(room.machines[:count]):
            words = [f"--on-bt-download-complete={hook}", "--dir", room.disk(number), torrent]
            room.start(prefix, [*common, *words])

    def wait(number: int) -> None:
        until = time.monotonic() + LONG_S
        while not (room.disk(number) / "done").exists():
            assert time.monotonic() < until
            time.sleep(0.02)

    return go, wait


def swarm(room: Classroom, count: int) -> tuple[Callable[[], None], Callable[[int], None]]:
    """This system where the switch carries no multicast: neighbours only."""
    for prefix in room.machines:
        block_multicast(prefix)
    return ours(room, count)


SYSTEMS = {"ours": ours, "swarm": swarm, "http": http, "udpcast": udpcast, "aria2": aria2}


def v1_torrent(file: Path, tracker: str) -> bytes:
    import libtorrent as lt

    files: Any = lt.file_storage()
    lt.add_files(files, str(file))
    made: Any = lt.create_torrent(files, 256 * 1024, flags=64)  # version 1 only
    made.add_tracker(tracker)
    lt.set_piece_hashes(made, str(file.parent))
    return bytes(lt.bencode(made.generate()))


@contextlib.contextmanager
def classroom(
    limits: Limits, count: int, slow: frozenset[int] = frozenset()
) -> Iterator[Classroom]:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(folder_of_disks("fan-out-", limits.size * (count + 2)))
        folder.chmod(0o755)  # opentracker gives up its rights before it reads its list
        network = stack.enter_context(LabNetwork(run_root=folder / "run"))
        yield Classroom(network, folder, limits, count, stack, slow)


def measure(system: str, limits: Limits, count: int) -> dict[str, float]:
    """One run: seconds, bytes from the station, processor seconds of everybody."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with classroom(limits, count) as room:
        go, wait = SYSTEMS[system](room, count)
        sent, began = room.sent(), time.monotonic()
        go()
        for number in range(count):
            wait(number)
        seconds, egress = time.monotonic() - began, room.sent() - sent
        room.check(range(count))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "egress_bytes": egress, "cpu_seconds": cpu}


def fan_out(options: argparse.Namespace) -> list[dict[str, Any]]:
    limits = Limits(options.rate, options.megabytes * 1_000_000)
    rows = []
    for count in options.clients:
        for system in options.systems:
            runs = [measure(system, limits, count) for _ in range(options.repeat)]
            row = {
                "system": system, "clients": count, "rate_mbit": limits.rate,
                "image_bytes": limits.size, "ideal_seconds": round(limits.ideal_s, 2),
                "seconds": round(statistics.median(r["seconds"] for r in runs), 2),
                "egress_bytes": int(statistics.median(r["egress_bytes"] for r in runs)),
                "cpu_seconds": round(statistics.median(r["cpu_seconds"] for r in runs), 2),
                "all_seconds": [round(r["seconds"], 2) for r in runs],
            }  # fmt: skip
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


def limit(namespace: str, device: str, rate: int, latency: str) -> None:
    words = ["rate", f"{rate}mbit", "burst", "16kb", "latency", latency]
    run(["tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf", *words], timeout_s=20)


def line(process: Process) -> str:
    assert process.stdout is not None
    found = process.stdout.readline().strip()
    assert found, f"{process.args!s} died: {process.poll()}"
    return found


def say(process: Process, word: str) -> None:
    assert process.stdin is not None
    process.stdin.write(word + "\n")
    process.stdin.flush()


def end(process: Process) -> None:
    """Not `communicate`: a child of its own may hold the pipes open."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()


def sha256sum(path: Path) -> str:
    return run(["sha256sum", path], timeout_s=120).stdout.split()[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = lambda text: [int(word) for word in text.split(",")]  # noqa: E731
    parser.add_argument("--clients", type=numbers, default=[1, 6, 12, 25])
    parser.add_argument("--systems", type=lambda text: text.split(","), default=list(SYSTEMS))
    parser.add_argument("--megabytes", type=int, default=120)
    parser.add_argument("--rate", type=int, default=20, help="Mbit/s of each cable; 0: no limit")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    results: dict[str, Any] = {"fan_out": fan_out(options)}
    if options.results:
        options.results.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
