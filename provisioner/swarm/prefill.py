"""What a machine has already goes into the new file before anything is fetched.

The old releases on the disk carry their own chunk maps, so nothing is cut here: the maps say
where to look. They are only hints. Each piece is hashed as it is copied and must be what the
*new* release's map says, which the signed manifest vouches for; so a damaged disk or a foreign
map costs bytes on the wire and never gives a wrong one. The new file has its full size from the
start, with holes where pieces are missing; a run that was cut short looks at every piece anew.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import DiskChoiceError, ProvisionerError
from provisioner.model.release import SYSTEM
from provisioner.release.chunks import (
    CHUNKS,
    MAX_MAP_BYTES,
    ChunkMap,
    Copy,
    Span,
    digest_of,
    merge,
    plan_prefill,
    read_chunk_map,
)

# So much is written between two flushes: reads and writes of one slow disk take turns by it.
FLUSH_EVERY = 32 * 1024 * 1024
# A disk is told what will be read so far ahead of the piece that is hashed, in requests that no
# kernel cuts short (it reads no more at once than the device's read_ahead_kb, often 128).
AHEAD, AHEAD_STEP = 4 * 1024 * 1024, 128 * 1024
# What lies between two pieces is read over where that costs less than a seek of an old disk.
NEAR = 128 * 1024
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Report = Callable[[int], None]  # bytes of the new file that are right now


@dataclass(frozen=True)
class OldRelease:
    """A system image on this disk, and its own map of what lies where."""

    file: Path
    chunks: ChunkMap


@dataclass(frozen=True)
class Prefilled:
    """What came of it: bytes found right in the begun file, bytes copied from old releases,
    pieces that an old release should have had and did not, and what is left to be fetched."""

    kept: int
    copied: int
    damaged: int
    missing: tuple[Span, ...]

    @property
    def missing_bytes(self) -> int:
        return sum(span.size for span in self.missing)


def old_releases(folder: Path, but: str = "", image: str = SYSTEM) -> list[OldRelease]:
    """The releases below `folder` (`NAME@VERSION/`) that have a readable map, newest first.

    `but` is the one that is being fetched; `image` is what is looked for in each.
    """
    found = (path.parent for path in folder.glob(f"*/{image}") if path.parent.name != but)
    newest_first = sorted(found, key=_age, reverse=True)
    olds = (_old_release(path / image, path / CHUNKS) for path in newest_first)
    return [old for old in olds if old is not None]


def _age(folder: Path) -> tuple[int, ...]:
    parts = folder.name.partition("@")[2].split(".")
    return tuple(int(part) for part in parts if part.isascii() and part.isdigit())


def _old_release(file: Path, map_file: Path) -> OldRelease | None:
    try:
        with map_file.open("rb") as opened:
            data = opened.read(MAX_MAP_BYTES + 1)
        return OldRelease(file, read_chunk_map(data))
    except (ProvisionerError, OSError):
        return None  # released before there were maps, or damaged: its bytes are fetched instead


def prefill(
    new: ChunkMap, olds: Sequence[OldRelease], part: Path, report: Report = lambda _have: None
) -> Prefilled:
    """Make `part` the new file as far as this machine has it.

    Raises DiskChoiceError when the disk has no room for the whole file.
    """
    with room_explained(part, new.size):
        handle = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.ftruncate(handle, new.size)
            have = list(survey(handle, new, report))
            kept = sum(span.size for span in have)
            damaged = _copy_all(new, olds, handle, have, report)
            os.fsync(handle)
        finally:
            os.close(handle)
    missing = plan_prefill(new, (), have).missing
    return Prefilled(kept, sum(span.size for span in have) - kept, damaged, missing)


def survey(handle: int, new: ChunkMap, report: Report = lambda _have: None) -> Iterator[Span]:
    """The pieces of a begun file that are right, by reading them."""
    right, data = 0, Span(0, 0)
    for span, digest in new.pieces():
        if data.stop <= span.start:
            data = _next_data(handle, span.start)
        if span.stop <= data.start:
            continue  # a hole: never written
        if digest_of(os.pread(handle, span.size, span.start)) == digest:
            right += span.size
            report(right)
            yield span


def _next_data(handle: int, start: int) -> Span:
    """The next stretch that is no hole; an empty one at the very end when there is none."""
    try:
        first = os.lseek(handle, start, os.SEEK_DATA)
        return Span(first, os.lseek(handle, first, os.SEEK_HOLE))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return Span(1 << 62, 1 << 62)


def _copy_all(
    new: ChunkMap, olds: Sequence[OldRelease], out: int, have: list[Span], report: Report
) -> int:
    """Copy from one old release after the other what is not right yet; adds to `have`.

    Returns how many pieces an old release did not hold as its map says.
    """
    damaged = 0
    for old in olds:
        plan = plan_prefill(new, [old.chunks], have)
        try:
            source = os.open(old.file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            damaged += len(plan.copies[0])
            continue
        try:
            os.posix_fadvise(source, 0, 0, os.POSIX_FADV_RANDOM)  # only what is asked for
            damaged += _copy(plan.copies[0], source, out, have, report)
        finally:
            os.close(source)
    return damaged


def _copy(copies: Sequence[Copy], source: int, out: int, have: list[Span], report: Report) -> int:
    damaged = unflushed = 0
    right = sum(span.size for span in have)
    ahead = steps_ahead(Span(one.start, one.start + one.length) for one in copies)
    step = next(ahead, None)
    for copy in copies:
        while step and step.start < copy.start + AHEAD:
            will_need(source, step)
            step = next(ahead, None)
        data = _read(source, copy)
        if data is None:
            damaged += 1
            continue
        for target in copy.targets:
            write_at(out, data, target)
            have.append(Span(target, target + copy.length))
        right += copy.length * len(copy.targets)
        unflushed += copy.length * len(copy.targets)
        if unflushed >= FLUSH_EVERY:
            os.fdatasync(out)
            unflushed = 0
        report(right)
    return damaged


def steps_ahead(spans: Iterable[Span]) -> Iterator[Span]:
    """What will be read, in order and in steps for `will_need`: a disk that read everything would
    read in vain what changed."""
    for span in merge(spans, NEAR):
        for start in range(span.start, span.stop, AHEAD_STEP):
            yield Span(start, min(start + AHEAD_STEP, span.stop))


def will_need(source: int, step: Span) -> None:
    """Have the disk begin to read it; returns at once."""
    os.posix_fadvise(source, step.start, step.size, os.POSIX_FADV_WILLNEED)


def _read(source: int, copy: Copy) -> bytes | None:
    """A piece of an old file, or nothing when the disk no longer gives it as it was."""
    try:
        data = os.pread(source, copy.length, copy.start)
    except OSError:
        return None
    return data if digest_of(data) == copy.digest else None


def write_at(out: int, data: bytes | memoryview, at: int) -> None:
    """All of `data` to byte `at` of a file."""
    view = memoryview(data)
    while view:
        wrote = os.pwrite(out, view, at)
        view, at = view[wrote:], at + wrote


@contextlib.contextmanager
def room_explained(part: Path, size: int) -> Iterator[None]:
    """Look for room before the first byte, and say plainly when it runs out all the same."""
    try:
        taken = part.stat().st_blocks * 512 if part.exists() else 0
        room = os.statvfs(part.parent)
        free = room.f_bavail * room.f_frsize
        if size - taken > free:
            raise _no_room(part, size - taken - free)
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _no_room(part, 0) from error


def _no_room(part: Path, lacking: int) -> DiskChoiceError:
    more = f" {lacking / 1e6:.0f} MB more are needed." if lacking else ""
    return DiskChoiceError(
        f"The disk is full: {part.name} does not fit.{more}",
        "Remove an old release from this machine, or give it a larger disk.",
    )
