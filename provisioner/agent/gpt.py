"""Reading a GPT and the identities of file systems straight from the disk's bytes.

What a tool says it did is not asked: these functions look at what came back from the medium.
Layouts: UEFI specification 2.10, chapter 5.3; ext4 super block (Documentation/filesystems/ext4
in the kernel); Microsoft's FAT32 specification, “boot sector”.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from dataclasses import dataclass

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_EXT4_AT, _EXT4_MAGIC = 1024, 0xEF53
PROBE_BYTES = 4096  # enough of a partition's start for its identity


@dataclass(frozen=True)
class GptPartition:
    """One entry; `start` and `length` in logical sectors, GUIDs in lower case."""

    number: int
    type_guid: str
    guid: str
    start: int
    length: int
    label: str


@dataclass(frozen=True)
class FileSystem:
    """What a file system says of itself: kind as `mount` names it, UUID, label."""

    kind: str
    uuid: str
    label: str


def parse_gpt(head: bytes, sector: int) -> tuple[GptPartition, ...] | None:
    """The partitions of a disk whose first bytes are `head`; None when there is no sound GPT.

    Both checksums must be right and the header must stand where it says. `head` has to cover
    the entries: 34 sectors of 512 or 6 of 4096 bytes.
    """
    if len(head) < sector + _HEADER.size:
        return None
    fields = _HEADER.unpack_from(head, sector)
    magic, _, length, crc, _, here, _, _, _, _, entries_at, count, size, entries_crc = fields
    if magic != b"EFI PART" or here != 1 or not _HEADER.size <= length <= sector:
        return None
    header = bytearray(head[sector : sector + length])
    header[16:20] = bytes(4)
    entries = head[entries_at * sector : entries_at * sector + count * size]
    if zlib.crc32(header) != crc or len(entries) != count * size or size < _ENTRY.size:
        return None
    if zlib.crc32(entries) != entries_crc:
        return None
    found = (_entry(number, entries[number * size :]) for number in range(count))
    return tuple(part for part in found if part)


def _entry(index: int, data: bytes) -> GptPartition | None:
    kind, guid, first, last, _, name = _ENTRY.unpack_from(data)
    if kind == bytes(16):
        return None
    return GptPartition(
        number=index + 1,
        type_guid=str(uuid.UUID(bytes_le=kind)),
        guid=str(uuid.UUID(bytes_le=guid)),
        start=first,
        length=max(last - first + 1, 0),
        label=name.decode("utf-16-le", "replace").split("\0")[0],
    )


def parse_file_system(start: bytes) -> FileSystem | None:
    """The identity of the ext4 or FAT32 file system whose first 4 KiB are `start`."""
    return _ext4(start) or _fat32(start)


def _ext4(start: bytes) -> FileSystem | None:
    block = start[_EXT4_AT : _EXT4_AT + 1024]
    if len(block) < 1024 or struct.unpack_from("<H", block, 0x38)[0] != _EXT4_MAGIC:
        return None
    label = block[0x78:0x88].split(b"\0")[0].decode("utf-8", "replace")
    return FileSystem("ext4", str(uuid.UUID(bytes=block[0x68:0x78])), label)


def _fat32(start: bytes) -> FileSystem | None:
    if len(start) < 512 or start[510:512] != b"\x55\xaa" or start[0x52:0x5A] != b"FAT32   ":
        return None
    number = struct.unpack_from("<I", start, 0x43)[0]
    label = start[0x47:0x52].decode("ascii", "replace").rstrip()
    return FileSystem("vfat", f"{number >> 16:04X}-{number & 0xFFFF:04X}", label)
