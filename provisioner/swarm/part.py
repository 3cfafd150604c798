"""A file on its way: `NAME.part`, of which any pieces may be right already.

What is on the disk counts, not what somebody remembers: an interrupted run, the chunks of an
older release or a power cut may have left anything. Only one process works on it at a time.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ImageMismatchError, WrongStateError
from provisioner.swarm.fetch import FLUSH_EVERY, Report, Wanted
from provisioner.swarm.torrent import TorrentFile

READ_BYTES = 1024 * 1024


@dataclass
class Part:
    """The file `path` while it is locked; `handle` reads and writes it."""

    path: Path
    handle: int
    entry: TorrentFile

    def right_pieces(self, report: Report) -> set[int]:
        """Read everything and tell which pieces are right."""
        right: set[int] = set()
        have = 0
        size = os.fstat(self.handle).st_size
        for piece in range(len(self.entry.pieces)):
            start, stop = self.entry.span(piece)
            if start >= size:
                break
            if self.entry.holds(piece, os.pread(self.handle, stop - start, start)):
                right.add(piece)
                have += stop - start
                report(have)
        return right

    def write(self, piece: int, data: bytes) -> None:
        """Put a piece, which the caller has checked, at its place."""
        at, _ = self.entry.span(piece)
        view = memoryview(data)
        while view:
            wrote = os.pwrite(self.handle, view, at)
            view, at = view[wrote:], at + wrote

    def flush(self) -> None:
        """What was written so far outlives a power cut."""
        os.fdatasync(self.handle)


@contextmanager
def opened(into: Path, entry: TorrentFile) -> Iterator[Part]:
    """Take up `into`.part, or begin it; a file that is complete already is checked again.

    Raises WrongStateError while another process works on it, OSError when the disk has no room.
    """
    path = into.with_name(into.name + ".part")
    if into.exists():
        into.replace(path)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _claim(handle, into.name)
        if os.fstat(handle).st_size > entry.size:
            os.ftruncate(handle, entry.size)
        _check_room(path, handle, entry.size)
        yield Part(path, handle, entry)
    finally:
        os.close(handle)


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Keep other programs from bringing `name` to this folder. Raises WrongStateError.

    The folder is locked, not the begun file, which `opened` may lock itself.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _claim(handle, name)
        yield
    finally:
        os.close(handle)


def _claim(handle: int, name: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise WrongStateError(
            f"Another program is bringing {name} to this disk.", "Let it end."
        ) from error


def flush_step(size: int) -> int:
    """How many bytes may be lost to a power cut: 1 % of the file, at most what HTTP risks."""
    return max(min(FLUSH_EVERY, size // 100), 1)


def runs(pieces: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Rising numbers as ranges: 1, 2, 3, 7 are (1, 4) and (7, 8)."""
    first = last = -1
    for piece in pieces:
        if piece != last or first < 0:
            if first >= 0:
                yield first, last
            first = piece
        last = piece + 1
    if first >= 0:
        yield first, last


def check_whole(path: Path, wanted: Wanted, beat: Callable[[], None] = lambda: None) -> None:
    """Read the whole file and compare its digest. Raises ImageMismatchError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
            size += len(data)
            beat()
    if (size, digest.hexdigest()) != (wanted.size, wanted.sha256):
        raise ImageMismatchError(
            f"{wanted.path} did not arrive as its signed manifest says.",
            "If it happens again on this machine only, its memory is suspect: test it or "
            "replace it.",
        )


def _check_room(path: Path, handle: int, size: int) -> None:
    """A disk that is too full is found before the wire is used for nothing."""
    disk = os.fstatvfs(handle)
    missing = size - os.fstat(handle).st_blocks * 512
    if missing > disk.f_bavail * disk.f_frsize:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
