"""In which order a swarm client should write to a slow disk.

    python -m tests.bench.write_order [--megabytes 64] [--pieces 64 256 1024 4096] [--results FILE]

One real station with its seeds, one machine with the agent's carrier, cables without limits, and
the machine's folder on ext4 on the slow disk (`slow_disk`). What varies: the size of pieces, the
order in which libtorrent picks them, whether they are read back meanwhile, and how often the
carrier flushes. `of_sequential` is the rate of the whole beside one file written in order.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

from provisioner.agent.direct import drop_caches
from provisioner.lab.network import LabNetwork
from provisioner.run import run
from tests.bench.fan_out import end, line, say, sha256sum
from tests.bench.loops import attached, detach_all, end_cleanly, mounted
from tests.bench.slow_disk import SlowDisk, slow_disk

ROOT = Path(__file__).parents[2]
STATION, MACHINE, PORT = IPv4Interface("10.77.0.2/24"), IPv4Interface("10.77.0.10/24"), 8080
FILE = "system.squashfs"
LONG_S = 900
# Names of orders, and what they change: libtorrent's settings, or a flag of the torrent.
ORDERS: dict[str, dict[str, Any]] = {
    "rarest": {},
    "extents": {"piece_extent_affinity": True},
    "sequential": {"sequential": True},
}


@dataclass(frozen=True)
class Way:
    """One way to write; `flush` in bytes, 0 for the carrier's own."""

    piece_kib: int = 256
    order: str = "rarest"
    proof: bool = False
    flush: int = 0
    settings: tuple[tuple[str, int], ...] = ()


def ways(pieces: list[int]) -> Iterator[Way]:
    for piece in pieces:
        for order in ORDERS:
            yield Way(piece, order)
    for order in ORDERS:
        yield Way(256, order, proof=True)
    yield Way(1024, "extents", proof=True)
    yield Way(256, flush=16 << 20)
    yield Way(256, "extents", flush=16 << 20)
    yield Way(256, "extents", settings=(("max_queued_disk_bytes", 32 << 20),))
    yield Way(256, "extents", settings=(("aio_threads", 1),))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=64)
    parser.add_argument("--pieces", nargs="+", type=int, default=[64, 256, 1024, 4096])
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    end_cleanly()
    rows = []
    with tempfile.TemporaryDirectory(prefix="write-order-") as folder:
        for row in measure(Path(folder), options.megabytes * 1_000_000, options.pieces):
            print(json.dumps(row), flush=True)
            rows.append(row)
    if options.results:
        options.results.write_text(json.dumps({"write_order": rows}, indent=1) + "\n")


def measure(folder: Path, size: int, pieces: list[int]) -> Iterator[dict[str, object]]:
    content = folder / "content"
    content.mkdir()
    (content / FILE).write_bytes(os.urandom(size))
    plain = _plain(folder, content / FILE)
    yield {"order": "one file, copied", "seconds": round(plain, 2)}
    for way in ways(pieces):
        yield _row(way, plain, _one(folder, content, way))


def _row(way: Way, plain: float, found: dict[str, float]) -> dict[str, object]:
    return {
        "piece_kib": way.piece_kib, "order": way.order, "proof": way.proof, "flush": way.flush,
        **dict(way.settings), **found, "of_sequential": round(plain / found["seconds"], 2),
    }  # fmt: skip


def _plain(folder: Path, source: Path) -> float:
    with slow_disk(folder, 1 << 30) as slow, _ext4(folder, slow) as root:
        began = time.monotonic()
        run(["dd", f"if={source}", f"of={root / FILE}", "bs=1M", "conv=fsync"], timeout_s=LONG_S)
        return time.monotonic() - began


@contextlib.contextmanager
def _ext4(folder: Path, slow: SlowDisk) -> Iterator[Path]:
    """As the agent formats it; without the kernel's own later writes to it."""
    try:
        with attached(slow.path) as node:
            lazy = "lazy_itable_init=1,lazy_journal_init=1"
            run(["mkfs.ext4", "-q", "-F", "-E", lazy, node], timeout_s=LONG_S)
            run(["tune2fs", "-E", "mount_opts=noinit_itable", node], timeout_s=60)
            with mounted(node, folder / "machine") as root:
                yield root
    finally:
        detach_all(slow.path)


def _one(folder: Path, content: Path, way: Way) -> dict[str, float]:
    with (
        LabNetwork(run_root=folder / "run") as network,
        network.neighbour("s", STATION) as here,
        network.neighbour("m0", MACHINE) as there,
        slow_disk(folder, 1 << 30) as slow,
        _ext4(folder, slow) as root,
        tempfile.TemporaryDirectory(dir=folder) as state,
        contextlib.ExitStack() as stack,
    ):
        station = _start(here, way, "station", state, STATION, PORT, content)
        stack.callback(end, station)
        release, key = line(station).split()
        url = f"http://{STATION.ip}:{PORT}"
        machine = _start(there, way, "client", url, release, key, root, WAIT_FOR_GO="1",
                         **({} if way.proof else {"NO_PROOF": "1"}))  # fmt: skip
        stack.callback(end, machine)
        assert line(machine) == "ready"
        time.sleep(4)  # the station's seeds look for releases every three seconds
        drop_caches()
        before, began = slow.counts(), time.monotonic()
        say(machine, "go")
        line(machine)
        seconds, after = time.monotonic() - began, slow.counts()
        assert sha256sum(root / FILE) == sha256sum(content / FILE)
        grown = {name: int(after[name] - before[name]) for name in ("written", "read", "seeks")}
        busy = round(after["busy"] - before["busy"], 2)
        return {"seconds": round(seconds, 2), **grown, "busy": busy}


def _start(
    prefix: tuple[str, ...], way: Way, part: str, *words: object, **env: str
) -> subprocess.Popen[str]:
    own = json.dumps(
        {"piece": way.piece_kib << 10, "flush": way.flush,
         "settings": {**ORDERS[way.order], **dict(way.settings)}}
    )  # fmt: skip
    return subprocess.Popen(
        [*prefix, sys.executable, "-W", "ignore", "-m", __spec__.name, part, own,
         *map(str, words)],
        text=True, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*", "NO_PROXY": "*", **env},
    )  # fmt: skip


def part(which: str, own: str, *words: str) -> None:
    """Station or client of the tests, with these settings instead of the house's."""
    from provisioner.release import build
    from provisioner.swarm import part as parts
    from provisioner.swarm import session
    from provisioner.swarm.torrent import make_torrent
    from tests.integration import swarm_client, swarm_station

    wanted = json.loads(own)
    if which == "station":
        vars(build)["make_torrent"] = functools.partial(make_torrent, piece_bytes=wanted["piece"])
        swarm_station.main(*words)
        return
    if wanted["settings"].pop("sequential", False):
        honest = session.Session.share

        def share(self: session.Session, *args: Any, **named: Any) -> session.Share:
            import libtorrent as lt

            made = honest(self, *args, **named)
            made.handle.set_flags(lt.torrent_flags.sequential_download)
            return made

        vars(session)["Session"].share = share
    if wanted["flush"]:
        vars(parts)["flush_step"] = lambda _size: wanted["flush"]
    session.SETTINGS.update(wanted["settings"])
    swarm_client.main(*words)


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in ("station", "client"):
        part(*sys.argv[1:])
    else:
        main()
