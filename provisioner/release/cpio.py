"""Initramfs archives: the `newc` form of cpio, written byte for byte the same every time.

The kernel unpacks several archives that stand one after the other; each uncompressed one has to
start at a multiple of four bytes, with zeros before it (kernel documentation,
`driver-api/early-userspace/buffer-format`).
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

ALIGNMENT = 4
MAX_FILE_BYTES = 0xFFFFFFFF
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Entry:
    """One name in the archive: a folder, a file (bytes or a path to read) or a link."""

    name: str
    mode: int
    content: bytes | Path = b""

    @property
    def size(self) -> int:
        if isinstance(self.content, bytes):
            return len(self.content)
        return self.content.stat().st_size


def folder(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def file(name: str, content: bytes | Path, *, executable: bool = False) -> Entry:
    return Entry(name, stat.S_IFREG | (0o755 if executable else 0o644), content)


def link(name: str, target: str) -> Entry:
    return Entry(name, stat.S_IFLNK | 0o777, target.encode())


def write_archive(out: BinaryIO, entries: Iterable[Entry]) -> None:
    """Append an archive to `out`, padded in front and behind to the alignment.

    Raises ValueError when a file is larger than the form can say (4 GiB).
    """
    _pad(out)
    for number, entry in enumerate(with_folders(entries), start=1):
        _write_entry(out, entry, number)
    _write_entry(out, Entry(_TRAILER, 0), 0)


def with_folders(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries, each after the folders that it lies in."""
    seen: set[str] = set()
    for entry in entries:
        for parent in reversed(PurePosixPath(entry.name).parents):
            name = str(parent)
            if name != "." and name not in seen:
                seen.add(name)
                yield folder(name)
        if entry.name not in seen:
            seen.add(entry.name)
            yield entry


def _write_entry(out: BinaryIO, entry: Entry, number: int) -> None:
    size = entry.size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"{entry.name} is larger than 4 GiB")
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    # magic, inode, mode, uid, gid, links, time, size, device ×2, special ×2, name length, check
    fields = (number, entry.mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name), 0)
    out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name)
    _pad(out)
    if isinstance(entry.content, bytes):
        out.write(entry.content)
    else:
        with entry.content.open("rb") as source:
            shutil.copyfileobj(source, out, 1024 * 1024)
    _pad(out)


def _pad(out: BinaryIO) -> None:
    out.write(b"\0" * (-out.tell() % ALIGNMENT))
