"""One machine's disk: the same installed system brought by this system and by others.

    python -m tests.bench.disk [--small] [--repeat 3] [--work FOLDER] [--results FILE]
    python -m tests.bench.disk --release FOLDER    # of a release that was built

Every system writes the same packages to the same slow disk (`slow_disk`: 20 MB/s reading and
writing, 8 ms for each seek), from files that are at hand at once, so that only the disk counts.
`layout` says what is restored: “classical” is a full installation, the packages' trees on ext4
with kernel and initrd in /boot, as FOG, Clonezilla or LINBO bring it; “ours” is what this system
leaves on a disk, its squashfs on ext4, restored by the others' tools.

`seconds` go to the last byte written and flushed; `seconds_proved` to the end of reading
everything back from the disk, which this system does by itself and the others do not: for them
it is the same work done afterwards with sha256sum. `bytes_written` is what reached the disk.
Each result is mounted past the slow disk and compared with what it should be.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.direct import buffer, drop_caches, opened, write_exactly
from provisioner.run import run
from tests.bench import installed, pairs
from tests.bench.installed import Installed, Station
from tests.bench.loops import attached, detach_all, end_cleanly, mounted
from tests.bench.slow_disk import RATE, SEEK_MS, SlowDisk, slow_disk

LONG_S = 1800
CLASSICAL, OURS = "classical", "ours"


@dataclass(frozen=True)
class Row:
    """One system, one layout; medians of the repetitions, proof of the last one only."""

    system: str
    layout: str
    image_bytes: int
    tree_bytes: int
    rate: int
    seek_ms: float
    seconds: float
    seconds_proved: float
    bytes_written: int
    bytes_read: int
    seeks: int
    busy_seconds: float  # of the disk; the rest of `seconds` it waited for something else
    cpu_seconds: float
    all_seconds: list[float]


@dataclass(frozen=True)
class Spent:
    """What one run cost."""

    seconds: float
    written: int
    read: int
    seeks: int
    busy: float
    cpu: float


@dataclass
class Room:
    """Where one run happens."""

    folder: Path
    system: Installed
    slow: SlowDisk
    backing: Path
    station: Station
    rate: int

    @property
    def cable_mbit(self) -> int:
        """A cable of a quarter of the disk's rate, as 100 Mbit/s beside an old hard disk."""
        return self.rate * 8 // 4 // 1_000_000


Restore = Callable[[Room, bool], tuple[Spent, float]]


def main() -> None:
    options = _options()
    end_cleanly()
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        small, release = options.small, options.release
        rows = disk(work, small=small, repeat=options.repeat, only=options.only, release=release)
    found = {"disk": rows}
    if options.results:
        options.results.write_text(json.dumps(found, indent=1) + "\n")


def disk(
    work: Path,
    *,
    small: bool = False,
    repeat: int = 3,
    only: Sequence[str] = (),
    release: Path | None = None,
) -> list[dict[str, object]]:
    """The section's rows; the first says what the slow disk itself gives."""
    rate, seek_ms = (RATE * 5, SEEK_MS / 4) if small else (RATE, SEEK_MS)
    rows: list[dict[str, object]] = [yardstick(work, rate, seek_ms, 8 if small else 48)]
    print(json.dumps(rows[0]), file=sys.stderr, flush=True)
    if release:
        system = installed.make_of_release(work, release)
    else:
        system = installed.make(work, pairs.tree_of(work, small))
    with installed.station(work, system) as station:
        for (layout, name), restore in SYSTEMS.items():
            if only and f"{layout}: {name}" not in only:
                continue
            runs = [
                _measure(work, system, station, restore, rate, seek_ms, proved=number == 0)
                for number in range(repeat)
            ]
            row = dataclasses.asdict(_row(name, layout, system, rate, seek_ms, runs))
            print(json.dumps(row), file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def yardstick(work: Path, rate: int, seek_ms: float, megabytes: int) -> dict[str, object]:
    """What the slow disk gives by itself: in order, and in pieces of 64 KiB all over it."""
    with slow_disk(work, 1 << 30, rate, seek_ms) as slow, attached(slow.path) as node:
        big = _rate(node, 1 << 20, range(megabytes))
        small = _rate(node, 1 << 16, (number * 7919 % 16000 for number in range(100)))
    return {
        "system": "the disk alone", "layout": "", "rate": rate, "seek_ms": seek_ms,
        "sequential_rate": int(big), "random_64k_rate": int(small),
    }  # fmt: skip


def _rate(node: Path, block: int, numbers: Iterable[int]) -> float:
    """Bytes a second of writing these blocks in this order, one after the other."""
    began, written = time.monotonic(), 0
    with opened(node, os.O_WRONLY | os.O_DIRECT) as handle:
        for number in numbers:
            write_exactly(handle, number * block, buffer(block))
            written += block
    return written / (time.monotonic() - began)


def _measure(
    work: Path, system: Installed, station: Station, restore: Restore, rate: int, seek_ms: float,
    proved: bool,
) -> tuple[Spent, float]:  # fmt: skip
    with slow_disk(work, system.disk_bytes, rate, seek_ms) as slow:
        room = Room(work, system, slow, work / "slow.backing", station, rate)
        try:
            drop_caches()
            return restore(room, proved)
        finally:
            detach_all(slow.path)


def _row(
    name: str, layout: str, system: Installed, rate: int, seek_ms: float,
    runs: list[tuple[Spent, float]],
) -> Row:  # fmt: skip
    spent = [one for one, _ in runs]
    middle = statistics.median
    return Row(
        system=name, layout=layout, image_bytes=system.image_bytes, tree_bytes=system.tree_bytes,
        rate=rate, seek_ms=seek_ms,
        seconds=round(middle(one.seconds for one in spent), 2),
        seconds_proved=round(middle([proved for _, proved in runs if proved] or [0.0]), 2),
        bytes_written=int(middle(one.written for one in spent)),
        bytes_read=int(middle(one.read for one in spent)),
        seeks=int(middle(one.seeks for one in spent)),
        busy_seconds=round(middle(one.busy for one in spent), 2),
        cpu_seconds=round(middle(one.cpu for one in spent), 2),
        all_seconds=[round(one.seconds, 2) for one in spent],
    )  # fmt: skip


@contextlib.contextmanager
def _clock(room: Room) -> Iterator[Callable[[], Spent]]:
    """A clock that has begun; what it is asked for is what was spent until then."""
    before, began, cpu = room.slow.counts(), time.monotonic(), installed.cpu()

    def spent() -> Spent:
        seconds, now = time.monotonic() - began, room.slow.counts()
        grown = {name: int(now[name] - before[name]) for name in ("written", "read", "seeks")}
        busy = now["busy"] - before["busy"]
        return Spent(seconds, **grown, busy=busy, cpu=installed.cpu() - cpu)

    yield spent


def ours(room: Room, _proved: bool) -> tuple[Spent, float]:
    """This system: the agent divides, formats, fetches from a seed, writes and reads back."""
    with _clock(room) as clock:
        found = installed.image(room.station, room.slow.path, proof=True)
        spent = clock()
    installed.check_ours(room.folder, room.backing, room.system)
    print(json.dumps(found), file=sys.stderr, flush=True)
    return dataclasses.replace(spent, seconds=found["seconds"]), found["seconds"]


def ours_unproved(room: Room, _proved: bool) -> tuple[Spent, float]:
    """This system without what sets it apart: only written and flushed."""
    with _clock(room) as clock:
        found = installed.image(room.station, room.slow.path, proof=False)
        spent = clock()
    installed.check_ours(room.folder, room.backing, room.system)
    return dataclasses.replace(spent, seconds=found["seconds"]), 0.0


def ours_thin(room: Room, proved: bool) -> tuple[Spent, float]:
    """This system where the cable, not the disk, is what takes the time."""
    with room.station.cable(room.cable_mbit):
        return ours(room, proved)


def ours_thin_unproved(room: Room, proved: bool) -> tuple[Spent, float]:
    """The same without proof: the difference is what proof costs while pieces arrive."""
    with room.station.cable(room.cable_mbit):
        return ours_unproved(room, proved)


def partclone(room: Room, proved: bool) -> tuple[Spent, float]:
    """zstd -dc | partclone.restore, as Clonezilla and FOG do it."""
    packed = room.system.partclone()
    with attached(room.slow.path) as node, _clock(room) as clock:
        _pour(packed, node)
        run(["blockdev", "--flushbufs", node], timeout_s=LONG_S)
        spent = clock()
    return spent, _classical_proof(room, spent, proved)


def bmaptool(room: Room, proved: bool) -> tuple[Spent, float]:
    """bmaptool copy: only mapped blocks, in order; from an image that is not packed."""
    image, bmap = room.system.classical, room.system.bmap()
    with attached(room.slow.path) as node, _clock(room) as clock:
        run(["bmaptool", "--quiet", "copy", "--bmap", bmap, image, node], timeout_s=LONG_S)
        run(["blockdev", "--flushbufs", node], timeout_s=LONG_S)
        spent = clock()
    return spent, _classical_proof(room, spent, proved)


def casync(room: Room, proved: bool) -> tuple[Spent, float]:
    """casync extract of the tree onto a new ext4."""
    store, index = room.system.casync()
    with attached(room.slow.path) as node, _clock(room) as clock:
        lazy = "lazy_itable_init=1,lazy_journal_init=1"
        run(["mkfs.ext4", "-q", "-F", "-E", lazy, node], timeout_s=LONG_S)
        with mounted(node, room.folder / "casynced") as point:
            words = ["casync", "extract", "--with=unix", f"--store={store}"]
            run([*words, index, point / "tree"], timeout_s=LONG_S)
        spent = clock()
    return spent, _classical_proof(room, spent, proved, "tree")


def _pour(packed: Path, node: Path) -> None:
    with subprocess.Popen(["zstd", "-dcq", packed], stdout=subprocess.PIPE) as source:
        done = subprocess.run(
            ["partclone.restore", "-L", "/dev/null", "-s", "-", "-o", node], stdin=source.stdout,
            capture_output=True, timeout=LONG_S, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2000:]


def _classical_proof(room: Room, spent: Spent, proved: bool, below: str = "") -> float:
    """Compare past the slow disk; with `proved` also read all of it back, on the clock."""
    point = room.folder / "proved"
    with attached(room.backing, read_only=True) as node, mounted(node, point, read_only=True):
        installed.check_tree(point / below, room.system.tree)
    if not proved:
        return 0.0
    drop_caches()
    began = time.monotonic()
    with (
        attached(room.slow.path, read_only=True) as node,
        mounted(node, point, read_only=True) as root,
    ):
        assert installed.digests(root / below) == room.system.digests()
    return spent.seconds + time.monotonic() - began


def partclone_ours(room: Room, _proved: bool) -> tuple[Spent, float]:
    """partclone for each file system that this system leaves on a disk."""
    parts = room.system.our_parts(room.station)
    with _clock(room) as clock:
        for start, length, packed in parts:
            with attached(room.slow.path, start, length) as node:
                _pour(packed, node)
                run(["blockdev", "--flushbufs", node], timeout_s=LONG_S)
        spent = clock()
    installed.check_parts(room.folder, room.backing, room.system, parts)
    return spent, 0.0


def bmaptool_ours(room: Room, _proved: bool) -> tuple[Spent, float]:
    """bmaptool for the whole disk that this system leaves."""
    image = room.system.our_disk(room.station)
    bmap = installed.make_bmap(image)
    with attached(room.slow.path) as node, _clock(room) as clock:
        run(["bmaptool", "--quiet", "copy", "--bmap", bmap, image, node], timeout_s=LONG_S)
        run(["blockdev", "--flushbufs", node], timeout_s=LONG_S)
        spent = clock()
    installed.check_ours(room.folder, room.backing, room.system)
    return spent, 0.0


SYSTEMS: dict[tuple[str, str], Restore] = {
    (OURS, "ours"): ours,
    (OURS, "ours, unproved"): ours_unproved,
    (OURS, "ours, thin cable"): ours_thin,
    (OURS, "ours, thin cable, unproved"): ours_thin_unproved,
    (CLASSICAL, "zstd | partclone"): partclone,
    (CLASSICAL, "bmaptool"): bmaptool,
    (CLASSICAL, "casync"): casync,
    (OURS, "zstd | partclone"): partclone_ours,
    (OURS, "bmaptool"): bmaptool_ours,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="few packages, a faster disk")
    parser.add_argument("--repeat", type=int, default=3)
    rows = [f"{layout}: {name}" for layout, name in SYSTEMS]
    parser.add_argument("--only", nargs="+", choices=rows, default=(), help="these rows alone")
    parser.add_argument("--release", type=Path, help="what is installed, instead of packages")
    parser.add_argument("--work", type=Path, help="a folder that is kept, for the packages")
    parser.add_argument("--results", type=Path, help="where the JSON goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
