"""What was written to a disk, in order, and the disk as a power cut would have left it.

QEMU's blklogwrites writes the log in the form of the kernel's dm-log-writes: a super block, then
for each write a sector of description and its data (Documentation/admin-guide/device-mapper/
log-writes.rst).
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
FLUSH, DISCARD = 1, 4
SECTOR = 512
_ZEROS = bytes(1 << 20)


@dataclass(frozen=True)
class Write:
    """One entry: bytes from the disk's start, where its data lie in the log, and their length.

    `zeros`: a discard or a write of zeros, which the log keeps without data.
    """

    start: int
    length: int
    at: int
    flush: bool
    zeros: bool


def read_log(log: Path) -> list[Write]:
    """Every entry of a log. Raises ValueError when it is none."""
    found: list[Write] = []
    with log.open("rb") as file:
        magic, version, count, unit = struct.unpack("<QQQI", file.read(28))
        if (magic, version) != (MAGIC, 1):
            raise ValueError("no log of writes")
        place = unit
        for _ in range(count):
            file.seek(place)
            sector, sectors, flags, _ = struct.unpack("<QQQQ", file.read(32))
            length, zeros = sectors * unit, bool(flags & DISCARD)
            flush = bool(flags & FLUSH)  # a write by force (FUA) covers nothing but itself
            found.append(Write(sector * unit, length, place + unit, flush, zeros))
            place += unit + (0 if zeros else length)
    return found


class Replay:
    """The disk at any moment of the log; moves forward only."""

    def __init__(self, log: Path, base: Path, size: int) -> None:
        self._log = log.open("rb")
        self.writes = read_log(log)
        self.base, self._done = base, 0
        with base.open("wb") as file:
            file.truncate(size)

    def close(self) -> None:
        self._log.close()

    def data(self, write: Write) -> bytes:
        if write.zeros:
            return bytes(write.length)
        return os.pread(self._log.fileno(), write.length, write.at)

    def durable(self, cut: int) -> int:
        """Up to which entry everything must be on the disk when power fails before entry `cut`:
        the last flush. (A flush covers what was written before it.)"""
        for at in range(cut - 1, self._done - 1, -1):
            if self.writes[at].flush:
                return at + 1
        return self._done

    def advance(self, to: int) -> None:
        """Bring the base file up to entry `to`."""
        with self.base.open("r+b", buffering=0) as disk:
            while self._done < to:
                put(disk.fileno(), self.writes[self._done], self.data(self.writes[self._done]))
                self._done += 1

    def cut(self, point: int, disk: Path, chance: random.Random) -> str:
        """Make `disk` what is left when power fails before entry `point`; says how."""
        safe = self.durable(point)
        self.advance(safe)
        copy_sparse(self.base, disk)
        lost = torn = kept = 0
        with disk.open("r+b", buffering=0) as file:
            pending = self.writes[safe:point]
            style = chance.choice(("all", "some", "none", "torn"))
            for number, write in enumerate(pending):
                fate = style
                if style == "some":
                    fate = chance.choice(("all", "none", "torn"))
                elif style == "torn":  # in order, and the last one in parts
                    fate = "torn" if number == len(pending) - 1 else "all"
                if fate == "none":
                    lost += 1
                elif fate == "all":
                    kept += 1
                    put(file.fileno(), write, self.data(write))
                else:
                    torn += 1
                    for piece, data in _pieces(write, self.data(write)):
                        if chance.random() < 0.5:
                            put(file.fileno(), piece, data)
        return f"{kept} kept, {lost} lost, {torn} torn of {point - safe}"


def _pieces(write: Write, data: bytes) -> Iterator[tuple[Write, bytes]]:
    for at in range(0, write.length, SECTOR):
        piece = Write(write.start + at, SECTOR, 0, False, write.zeros)
        yield piece, data[at : at + SECTOR]


def put(handle: int, write: Write, data: bytes) -> None:
    """Zeros where zeros are need no room."""
    for at in range(0, len(data), len(_ZEROS)):
        part, place = data[at : at + len(_ZEROS)], write.start + at
        blank = _ZEROS[: len(part)]
        if part != blank or os.pread(handle, len(part), place) != blank:
            os.pwrite(handle, part, place)


def copy_sparse(source: Path, target: Path, start: int = 0, size: int | None = None) -> None:
    """A copy of a file, or of `size` bytes of it from `start`, without its holes."""
    with source.open("rb") as reading, target.open("wb") as writing:
        stop = source.stat().st_size if size is None else start + size
        writing.truncate(stop - start)
        place = start
        while place < stop:
            try:
                place = os.lseek(reading.fileno(), place, os.SEEK_DATA)
            except OSError:
                return
            end = min(os.lseek(reading.fileno(), place, os.SEEK_HOLE), stop)
            while place < end:
                place += os.copy_file_range(
                    reading.fileno(), writing.fileno(), end - place, place, place - start
                )
