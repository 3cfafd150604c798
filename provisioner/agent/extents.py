"""Where a file lies on its medium: the link between what was proved and what is mounted later.

While a file grows, its pieces are read back past the page cache; after everything is mounted
anew it must still lie in the same places. FIEMAP tells (linux/fiemap.h).
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

FS_IOC_FIEMAP = 0xC020660B
SYNC, LAST = 0x1, 0x1
# An extent that says nothing firm: unknown, delayed, encoded, inline, not aligned, unwritten.
VAGUE = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800
AT_ONCE = 256
_HEAD, _EXTENT = struct.Struct("=QQLLLL"), struct.Struct("=QQQQQLLLL")

Extent = tuple[int, int, int]  # first byte in the file, first byte on the medium, bytes


def extents(path: Path, size: int) -> tuple[Extent, ...] | None:
    """The extents that hold all `size` bytes of a file, neighbours joined; None when the file
    system does not say, or not firmly, or leaves out a byte."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = _read(handle)
    except OSError:
        return None
    finally:
        os.close(handle)
    return join(found, size) if found is not None else None


def join(found: list[Extent], size: int) -> tuple[Extent, ...] | None:
    """Neighbours as one; None when they do not cover the file from its first byte on."""
    joined: list[Extent] = []
    end = 0
    for logical, physical, length in found:
        if logical != end:
            return None
        end = logical + length
        if joined and joined[-1][1] + joined[-1][2] == physical:
            logical, physical, before = joined.pop()
            length += before
        joined.append((logical, physical, length))
    return tuple(joined) if end >= size else None


def _read(handle: int) -> list[Extent] | None:
    found: list[Extent] = []
    start = 0
    while True:
        room = bytearray(_HEAD.size + AT_ONCE * _EXTENT.size)
        _HEAD.pack_into(room, 0, start, 2**64 - 1 - start, SYNC, 0, AT_ONCE, 0)
        fcntl.ioctl(handle, FS_IOC_FIEMAP, room)
        count = _HEAD.unpack_from(room)[3]
        for number in range(count):
            at = _HEAD.size + number * _EXTENT.size
            logical, physical, length, _, _, flags, *_ = _EXTENT.unpack_from(room, at)
            if flags & VAGUE:
                return None
            found.append((logical, physical, length))
            if flags & LAST:
                return found
        if not count:
            return found
        start = found[-1][0] + found[-1][2]
