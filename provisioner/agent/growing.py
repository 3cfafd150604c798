"""Proof while a file grows: pieces that have arrived are read back while others still come.

Reading a whole image back after it was written costs as much time again as the disk needs for
it. Here each piece is read past the page cache soon after it was written (the kernel writes it
out first) and compared with the release's torrent, which the signed manifest vouches for. The
root over what was read is the evidence. Later, with everything mounted anew, the file must lie
in the same places of the disk, and pieces chosen at random are read once more.
"""

from __future__ import annotations

import mmap
import os
import queue
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.agent.direct import ALIGN, buffer, opened_for_proof
from provisioner.agent.extents import Extent, extents
from provisioner.errors import DiskFaultError
from provisioner.swarm.torrent import TorrentFile

# libtorrent says that it has a piece when its hash is right, which may be a moment before the
# last of its bytes are handed to the kernel.
PATIENCE_S = 30.0
PAUSE_S = 0.2
SAMPLES = 64  # of a whole release; a file has its share
# A disk that reads back each piece as it comes moves its heads twice for each: so much at a time
# costs one or two of its seeks, and what is left at the end is read within a second.
BATCH_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Grown:
    """What was read back of one file: bytes, root, whether past the page cache, and where."""

    entry: TorrentFile
    direct: bool
    places: tuple[Extent, ...] | None


@dataclass
class _Work:
    entry: TorrentFile
    path: Path
    todo: queue.Queue[list[int] | None] = field(default_factory=queue.Queue)
    known: set[int] = field(default_factory=set)
    proved: dict[int, bytes] = field(default_factory=dict)
    direct: bool = False
    dropped: bool = False
    trouble: Exception | None = None


class GrowingProof:
    """The carrier's watcher: one file at a time, read in a thread of its own."""

    def __init__(self) -> None:
        self.grown: dict[str, Grown] = {}
        self._work: _Work | None = None
        self._thread: threading.Thread | None = None
        self._looked = 0.0

    def begin(self, path: Path, entry: TorrentFile) -> None:
        """`path` will become the torrent's file `entry`."""
        self.drop()
        self._work = _Work(entry, path)
        self._thread = threading.Thread(
            target=_prove, args=(self._work,), name="proof", daemon=True
        )
        self._thread.start()

    def turn(self, right: Callable[[], set[int]]) -> None:
        """Take up the pieces that came since the last time, in the order of the disk."""
        work = self._work
        assert work is not None
        if work.trouble:
            raise work.trouble
        if time.monotonic() - self._looked > PAUSE_S:
            self._looked = time.monotonic()
            fresh = right() - work.known
            if len(fresh) * work.entry.piece_bytes >= BATCH_BYTES:
                _take_up(work, fresh)

    def end(self) -> bool:
        """The file is complete and flushed: wait for the last pieces. Raises DiskFaultError."""
        work = self._work
        assert work is not None
        everything = set(range(len(work.entry.pieces)))
        _take_up(work, everything)
        self._join()
        if work.trouble:
            raise work.trouble
        read = [work.proved[piece] for piece in sorted(work.proved)]
        if set(work.proved) != everything or not work.entry.is_root_of(read):
            return False
        places = extents(work.path, work.entry.size)
        self.grown[work.entry.path] = Grown(work.entry, work.direct, places)
        return True

    def drop(self) -> None:
        """Let go of the file at once; harmless after `end`."""
        if self._work is not None:
            self._work.dropped = True
            self._join()
            self._work = None

    def _join(self) -> None:
        if self._work is not None and self._thread is not None:
            self._work.todo.put(None)
            self._thread.join()
        self._thread = None


def _take_up(work: _Work, right: set[int]) -> None:
    fresh = right - work.known
    work.known |= fresh
    work.todo.put(sorted(fresh))


def still_there(
    grown: Grown, path: Path, samples: int = SAMPLES, choose: random.Random | None = None
) -> bool:
    """Whether the file, mounted anew, lies where it was proved and sampled pieces are right."""
    entry = grown.entry
    if grown.places is None or path.stat().st_size != entry.size:
        return False
    if extents(path, entry.size) != grown.places:
        return False
    pieces = range(len(entry.pieces))
    chosen = (choose or random.SystemRandom()).sample(pieces, min(samples, len(pieces)))
    with opened_for_proof(path) as (handle, direct):
        room = buffer(-(-entry.piece_bytes // ALIGN) * ALIGN)
        return direct and all(_read(handle, entry, piece, room) for piece in sorted(chosen))


def _prove(work: _Work) -> None:
    try:
        with opened_for_proof(work.path) as (handle, work.direct):
            room = buffer(-(-work.entry.piece_bytes // ALIGN) * ALIGN)
            while (batch := work.todo.get()) is not None and not work.dropped:
                os.fdatasync(handle)  # in the disk's order, before it is read in that order
                for piece in batch:
                    if not _prove_piece(work, handle, piece, room):
                        return
    except (OSError, DiskFaultError) as error:
        work.trouble = error


def _prove_piece(work: _Work, handle: int, piece: int, room: mmap.mmap) -> bool:
    """Wait until a piece is right on the disk; false when nobody wants to know any more."""
    until = time.monotonic() + PATIENCE_S
    while not (found := _read(handle, work.entry, piece, room)):
        if work.dropped:
            return False
        if time.monotonic() > until:
            raise _faulty(work, piece)
        time.sleep(PAUSE_S)
    work.proved[piece] = found
    return not work.dropped


def _read(handle: int, entry: TorrentFile, piece: int, room: mmap.mmap) -> bytes:
    """The hash of a piece as it lies on the disk, when it is right; nothing when it is not."""
    start, stop = entry.span(piece)
    with memoryview(room) as view:
        got = os.preadv(handle, [view[: -(-(stop - start) // ALIGN) * ALIGN]], start)
        right = entry.holds(piece, view[: min(got, stop - start)])
    return entry.pieces[piece] if right else b""


def _faulty(work: _Work, piece: int) -> DiskFaultError:
    start, _ = work.entry.span(piece)
    return DiskFaultError(
        f"{work.entry.path} came back from the disk otherwise than it was written, at byte "
        f"{start}.",
        "Replace the disk.",
    )
