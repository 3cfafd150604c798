"""What an update costs: this system beside casync, zsync and rsync, on the same packages.

    python -m tests.bench.delta [--small] [--repeat 3] [--work FOLDER] [--results FILE]

Pairs of trees are unpacked from Debian's packages (`pairs`), packed as a release's system
image, and brought from old to new by each system; whatever comes out is compared. Bytes are
those that cross the wire: for casync the chunk files and the index that an extract with the
old tree as its seed has to fetch, for the others what the program itself counted. RAUC's adaptive
mode mounts its bundle with dm-verity from an NBD, so it is not run: its bytes are counted as its
block-hash-index finds them, and it has no seconds.

`seconds` are of this machine; `machine_seconds` those of the same work on a slow disk
(`slow_disk`), for what the goal compares: copying the old file once, and this system.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.agent.direct import drop_caches
from provisioner.release import chunking
from provisioner.release.chunks import CHUNKS, ChunkMap, read_chunk_map
from provisioner.release.patch import make_patch
from provisioner.run import run
from provisioner.swarm import patching
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import HttpCarrier, Wanted
from provisioner.swarm.prefill import OldRelease, prefill
from tests.bench import adaptive, pairs
from tests.bench.loops import attached, end_cleanly, mounted
from tests.bench.pairs import Pair
from tests.bench.serving import serving
from tests.bench.slow_disk import slow_disk

LONGEST_S = 900


@dataclass(frozen=True)
class Row:
    """One system on one pair: bytes fetched, their share of the image, seconds on the machine."""

    pair: str
    system: str
    image_bytes: int
    bytes: int
    share: float
    seconds: float | None
    cpu_seconds: float
    machine_seconds: float | None = None
    package_bytes: int = 0  # of the newer packages


@dataclass(frozen=True)
class Spent:
    bytes: int
    seconds: float | None
    cpu_seconds: float


@dataclass(frozen=True)
class Ready:
    """A pair as trees, as images with maps, and served over HTTP."""

    pair: Pair
    work: Path
    old: Path
    new: Path
    url: str
    store: Path  # where a patch lies; the station's side
    maps: tuple[ChunkMap, ChunkMap]  # the old one's and the new one's, as releases carry them

    @property
    def size(self) -> int:
        return self.new.stat().st_size


def main() -> None:
    options = _options()
    end_cleanly()
    with contextlib.ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rows = delta(work, small=options.small, repeat=options.repeat)
    if options.results:
        options.results.write_text(json.dumps({"delta": rows}, indent=2) + "\n")


def delta(work: Path, *, small: bool = False, repeat: int = 1) -> list[dict[str, Any]]:
    """The section's rows."""
    rows = [row for pair in chosen(work, small) for row in measure(pair, work, repeat)]
    show(rows)
    return [dataclasses.asdict(row) for row in rows]


def chosen(work: Path, small: bool) -> Iterator[Pair]:
    """One package; in the long form also a point release, and two steps at once."""
    base = pairs.available(pairs.UNCHANGED, 1)
    if small:
        few = pairs.available(pairs.SMALL, 1)
        yield pairs.make_pair(work, "one package, small", pairs.available(pairs.ONE_PACKAGE), few)
        return
    for name, names in (
        ("one package", pairs.ONE_PACKAGE),
        ("point release", pairs.POINT_RELEASE),
        ("two steps", pairs.TWO_STEPS),
    ):
        yield pairs.make_pair(work, name, pairs.available(names), base)


def measure(pair: Pair, work: Path, repeat: int) -> Iterator[Row]:
    """Every system on one pair; medians of `repeat` runs. The slow disk is used once."""
    with ready(pair, work) as images:
        slow = on_slow_disk(images)
        for name, system in SYSTEMS.items():
            spent = [system(images) for _ in range(repeat)]
            row = _row(images, name, spent, slow.get(name))
            print(json.dumps(dataclasses.asdict(row)), file=sys.stderr, flush=True)
            yield row


def _row(images: Ready, name: str, spent: list[Spent], slow: float | None) -> Row:
    middle = int(statistics.median(one.bytes for one in spent))
    seconds = [one.seconds for one in spent if one.seconds is not None]
    return Row(
        pair=images.pair.name, system=name, image_bytes=images.size, bytes=middle,
        share=round(middle / images.size, 4),
        seconds=round(statistics.median(seconds), 2) if seconds else None,
        cpu_seconds=round(statistics.median(one.cpu_seconds for one in spent), 2),
        machine_seconds=slow, package_bytes=images.pair.package_bytes,
    )  # fmt: skip


def on_slow_disk(images: Ready) -> dict[str, float]:
    """Seconds that a machine with the old image on a slow disk needs; the wire costs nothing.

    Nothing of the disk is in memory when a system begins.
    """
    size = 4 * max(images.size, images.old.stat().st_size) + (128 << 20)
    took = {}
    with slow_disk(images.work, size >> 20 << 20) as slow, attached(slow.path) as node:
        run(["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", node], timeout_s=LONGEST_S)
        with mounted(node, images.work / "school") as root:
            old = root / "old"
            shutil.copy(images.old, old)
            there = dataclasses.replace(images, old=old, work=root)
            for name in ON_SLOW_DISK:
                drop_caches()
                seconds = SYSTEMS[name](there).seconds
                assert seconds is not None
                took[name] = round(seconds, 2)
    return took


@contextlib.contextmanager
def ready(pair: Pair, work: Path) -> Iterator[Ready]:
    served = work / "served"
    shutil.rmtree(served, ignore_errors=True)
    for name, tree in (("old", pair.old), ("new", pair.new)):
        (served / name).mkdir(parents=True)
        pairs.pack(tree, served / name / "system.squashfs")
        chunking.add_chunk_map(served / name)
    old, new = (served / name / "system.squashfs" for name in ("old", "new"))
    with serving(served) as url:
        maps = [read_chunk_map(image.with_name(CHUNKS).read_bytes()) for image in (old, new)]
        yield Ready(pair, work, old, new, url, work, (maps[0], maps[1]))


def timed(work: Callable[[], int]) -> Spent:
    """Bytes, wall time and the CPU time of this process and its children."""
    began, cpu = time.monotonic(), _cpu()
    fetched = work()
    return Spent(fetched, time.monotonic() - began, _cpu() - cpu)


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def copy(images: Ready) -> Spent:
    """No system: the old image copied once and flushed, the yardstick for time."""
    into = images.work / "copy"

    def work() -> int:
        shutil.copyfile(images.old, into)
        _flush(into)
        return 0

    return _afterwards(timed(work), into)


def pieces(images: Ready) -> Spent:
    """This system without a patch: what the old image has is copied, the rest comes by ranges."""
    wanted = _wanted(images.new)
    into = images.work / "machine/system.squashfs"
    shutil.rmtree(into.parent, ignore_errors=True)
    into.parent.mkdir()
    http = HttpCarrier(f"{images.url}/new")
    olds = [OldRelease(images.old, images.maps[0])]
    chunks = _wanted(images.new.with_name(CHUNKS))

    def work() -> int:
        carrier = DeltaCarrier(http, chunks, olds)
        got = carrier.fetch(wanted, into, lambda _have: None)
        assert not carrier.savings.whole
        return got.fetched + chunks.size

    return _checked(timed(work), images, into)


def patch(images: Ready) -> Spent:
    """This system with a patch: the time is the machine's, making it is the station's."""
    made, part = images.store / "patch", images.work / "part"
    maps = images.maps
    if not made.exists() or made.stat().st_mtime < images.new.stat().st_mtime:
        served = images.new.parent.with_name("old") / images.new.name
        make_patch((served, maps[0]), (images.new, maps[1]), made)
    part.unlink(missing_ok=True)

    def work() -> int:
        prefill(maps[1], [OldRelease(images.old, maps[0])], part)
        assert patching.apply(made, images.old, part)
        assert not prefill(maps[1], [], part).missing
        _flush(part)
        return made.stat().st_size + images.new.with_name(CHUNKS).stat().st_size

    return _checked(timed(work), images, part)


def zsync(images: Ready) -> Spent:
    """zsync over the images; its control file counts."""
    control, into = images.new.with_name("system.zsync"), images.work / "zsynced"
    _run("zsyncmake", "-q", "-u", f"{images.url}/new/system.squashfs", "-o", control, images.new)

    def work() -> int:
        words = ("zsync", "-i", images.old, "-o", into, f"{images.url}/new/system.zsync")
        said = _run(*words, cwd=images.work)
        found = re.search(r"fetched (\d+)", said)
        assert found, said
        return int(found[1]) + control.stat().st_size

    return _checked(timed(work), images, into)


def rsync(images: Ready) -> Spent:
    """rsync -z over the trees, both directions counted."""
    into = images.work / "rsynced"
    shutil.rmtree(into, ignore_errors=True)
    _run("cp", "-a", images.pair.old, into)

    def work() -> int:
        words = ("rsync", "-az", "--delete", "--no-whole-file", "--stats")
        said = _run(*words, f"{images.pair.new}/", f"{into}/")
        found = re.findall(r"Total bytes (?:sent|received): ([\d,]+)", said)
        return sum(int(number.replace(",", "")) for number in found)

    spent = timed(work)
    _run("diff", "-r", "--no-dereference", images.pair.new, into)
    shutil.rmtree(into)
    return spent


def casync(images: Ready) -> Spent:
    """casync over the trees: the time is that of an extract with the old tree as its seed."""
    stores = [images.work / f"castore-{name}" for name in ("old", "new")]
    index, into = images.work / "new.caidx", images.work / "casynced"
    for store, tree, out in (
        (stores[0], images.pair.old, images.work / "old.caidx"),
        (stores[1], images.pair.new, index),
    ):
        shutil.rmtree(store, ignore_errors=True)
        _run("casync", "make", *CASYNC_KEEPS, f"--store={store}", out, tree)
    shutil.rmtree(into, ignore_errors=True)
    known = {path.name for path in stores[0].rglob("*.cacnk")}
    lacking = [path for path in stores[1].rglob("*.cacnk") if path.name not in known]

    def work() -> int:
        _run("casync", "extract", *CASYNC_KEEPS, f"--store={stores[1]}",
             f"--seed={images.pair.old}", index, into)  # fmt: skip
        return sum(path.stat().st_size for path in lacking) + index.stat().st_size

    spent = timed(work)
    _run("diff", "-r", "--no-dereference", images.pair.new, into)
    shutil.rmtree(into)
    return spent


def rauc(images: Ready) -> Spent:
    """What RAUC's adaptive mode would fetch; it is not run."""
    cpu = _cpu()
    fetched = adaptive.fetched(images.pair.old, images.pair.new, images.work)
    return Spent(fetched, None, _cpu() - cpu)


CASYNC_KEEPS = ("--with=unix",)
System = Callable[[Ready], Spent]
SYSTEMS: dict[str, System] = {
    "copy": copy, "pieces": pieces, "patch": patch, "zsync": zsync, "casync": casync,
    "rsync -z": rsync, "rauc adaptive, counted": rauc,
}  # fmt: skip
ON_SLOW_DISK = ("copy", "pieces", "patch")


def show(rows: Sequence[Row]) -> None:
    """The table as docs/delta.md has it."""
    print("| pair | system | bytes | of the image | seconds | on a slow disk | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        print(f"| {row.pair} ({row.image_bytes / 1e6:.1f} MB) | {row.system} | {row.bytes:,} "
              f"| {row.share:.2%} | {_plain(row.seconds)} | {_plain(row.machine_seconds)} "
              f"| {row.cpu_seconds:.1f} |")  # fmt: skip


def _plain(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _checked(spent: Spent, images: Ready, made: Path) -> Spent:
    assert sha256sum(made) == sha256sum(images.new), f"{made.name} is not the new image"
    return _afterwards(spent, made)


def _afterwards(spent: Spent, made: Path) -> Spent:
    made.unlink()
    return spent


def _wanted(path: Path) -> Wanted:
    return Wanted(path.name, path.stat().st_size, sha256sum(path))


def sha256sum(path: Path) -> str:
    """As coreutils count it, not our own code."""
    return _run("sha256sum", path).split()[0]


def _run(*words: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, cwd=cwd, timeout=LONGEST_S,
        errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="one package and a small base")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--work", type=Path, help="a folder that is kept, for the packages")
    parser.add_argument("--results", type=Path, help="where the JSON goes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
