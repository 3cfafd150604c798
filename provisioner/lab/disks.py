"""Disks of the virtual PCs, with what donors leave on them.

Raw sparse files: holes cost no room, QEMU needs no metadata of its own, and the host can look
at every byte. Donors' disks carry an old Windows-like layout and marks that can be searched for
after wiping; the USB stick carries somebody's files; bystanders' disks are compared whole.
"""

from __future__ import annotations

import hashlib
import os
import random
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProofMissingError
from provisioner.run import run

SECTOR = 512
CHUNK = 1024 * 1024
TOOL_TIMEOUT_S = 60.0
PARTITION_START = 2048  # sectors; where Windows and every partitioner since 2007 begin
NTFS, FAT32 = 0x07, 0x0C  # partition types of an MBR
MARKS = 48
MARK_BYTES = 64 * 1024
_ZEROES = memoryview(bytes(CHUNK))


@dataclass(frozen=True)
class MbrPartition:
    """One row of an MBR partition table; places in sectors of 512 bytes."""

    type: int
    first: int
    sectors: int
    active: bool = False


def mbr(partitions: list[MbrPartition], disk_id: int) -> bytes:
    """A first sector as Windows writes it: up to four partitions, no code that could boot."""
    table = b"".join(_mbr_row(row) for row in partitions).ljust(64, b"\0")
    return bytes(440) + struct.pack("<IH", disk_id, 0) + table + b"\x55\xaa"


def _mbr_row(row: MbrPartition) -> bytes:
    # Cylinders, heads and sectors at their maximum: "see the numbers in sectors instead".
    beyond = b"\xfe\xff\xff"
    flag = b"\x80" if row.active else b"\0"
    return flag + beyond + bytes([row.type]) + beyond + struct.pack("<II", row.first, row.sectors)


def ntfs_boot_sector(sectors: int, serial: int) -> bytes:
    """The first sector of an NTFS file system of 4 KiB clusters, its MFT in cluster 4."""
    # Bytes a sector, sectors a cluster, media (hard disk), sectors a track, heads, hidden sectors
    geometry = (512, 8, 0, 0, 0, 0, 0xF8, 0, 63, 255, PARTITION_START, 0)
    head = b"\xeb\x52\x90NTFS    " + struct.pack("<HBHBHHBHHHII", *geometry)
    body = struct.pack("<IQQQIIQ", 0x00800080, sectors - 1, 4, 2, 0xF6, 1, serial)
    return (head + body).ljust(510, b"\0") + b"\x55\xaa"


def create_disk(path: Path, size_bytes: int) -> None:
    """An empty disk. `size_bytes` is a multiple of 512, as on a real one."""
    if size_bytes % SECTOR:
        raise ValueError(f"{size_bytes} is no whole number of sectors")
    with path.open("wb") as disk:
        disk.truncate(size_bytes)


def create_donor_disk(path: Path, size_bytes: int, serial: str) -> None:
    """A disk as a company hands it over: an NTFS-like partition and data all over it."""
    create_disk(path, size_bytes)
    sectors = size_bytes // SECTOR - PARTITION_START
    chance = random.Random(serial)  # noqa: S311 - the same disk each time, not a secret
    layout = [MbrPartition(NTFS, PARTITION_START, sectors, active=True)]
    with path.open("r+b") as disk:
        disk.write(mbr(layout, disk_id=chance.getrandbits(32)))
        start = PARTITION_START * SECTOR
        _write_at(disk.fileno(), start, ntfs_boot_sector(sectors, chance.getrandbits(64)))
        for record in (0, 1, 2, 3):  # enough of an MFT for blkid to believe it
            _write_at(disk.fileno(), start + 4 * 4096 + record * 1024, b"FILE0\0\x03\0")
        for number in range(MARKS):
            _write_at(disk.fileno(), _mark_place(number, size_bytes), _mark(serial, chance))
    if not donor_data(path, serial):
        raise ProofMissingError(f"The donor's data do not stand on {path}.")


def donor_data(path: Path, serial: str, limit: int = 10) -> list[int]:
    """Where the donor's marks still stand on a disk, in bytes from its start; at most `limit`."""
    wanted = _mark_head(serial)
    found: list[int] = []
    for offset, data in _data(path, overlap=len(wanted)):
        place = data.find(wanted)
        while place >= 0 and len(found) < limit:
            if offset + place not in found:
                found.append(offset + place)
            place = data.find(wanted, place + 1)
    return found


def create_usb_stick(path: Path, size_bytes: int, serial: str) -> None:
    """Somebody's USB stick: one FAT partition with files on it."""
    create_disk(path, size_bytes)
    chance = random.Random(serial)  # noqa: S311
    sectors = size_bytes // SECTOR - PARTITION_START
    with path.open("r+b") as disk:
        disk.write(mbr([MbrPartition(FAT32, PARTITION_START, sectors)], chance.getrandbits(32)))
    run(
        ["mkfs.vfat", "-F", "32", "-n", "HOLIDAY", "-i", f"{chance.getrandbits(32):08x}",
         f"--offset={PARTITION_START}", path, str(sectors // 2)],
        timeout_s=TOOL_TIMEOUT_S,
    )  # fmt: skip
    image = f"{path}@@{PARTITION_START * SECTOR}"
    with tempfile.TemporaryDirectory() as folder:
        for name, content in _somebodys_files(chance):
            (Path(folder) / name).write_bytes(content)
            run(["mcopy", "-i", image, Path(folder) / name, f"::{name}"], timeout_s=TOOL_TIMEOUT_S)
    listing = run(["mdir", "-b", "-i", image, "::"], timeout_s=TOOL_TIMEOUT_S).stdout
    if "letter.txt" not in listing:
        raise ProofMissingError(f"The files do not stand on the USB stick {path}.")


def sha256(path: Path) -> str:
    """The digest of every byte of a disk, holes included."""
    digest, done = hashlib.sha256(), 0
    for offset, data in _data(path, overlap=0):
        _feed_zeroes(digest, offset - done)
        digest.update(data)
        done = offset + len(data)
    _feed_zeroes(digest, path.stat().st_size - done)
    return digest.hexdigest()


def flip_bit(path: Path, offset: int) -> None:
    """Damage one bit of a disk, as a failing medium does without a word."""
    with path.open("r+b") as disk:
        byte = os.pread(disk.fileno(), 1, offset)
        _write_at(disk.fileno(), offset, bytes([byte[0] ^ 0x10]))
        os.fsync(disk.fileno())


def _feed_zeroes(digest: hashlib._Hash, count: int) -> None:
    while count > 0:
        digest.update(_ZEROES[: min(count, CHUNK)])
        count -= CHUNK


def _data(path: Path, *, overlap: int) -> Iterator[tuple[int, bytes]]:
    """The parts of a sparse file that are not holes, in chunks that overlap by some bytes."""
    size = path.stat().st_size
    with path.open("rb") as disk:
        end = 0
        while (start := _seek(disk.fileno(), end, os.SEEK_DATA)) is not None:
            end = _seek(disk.fileno(), start, os.SEEK_HOLE) or size
            for place in range(start, end, CHUNK):
                yield place, os.pread(disk.fileno(), min(CHUNK + overlap, end - place), place)


def _seek(descriptor: int, offset: int, what: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, what)
    except OSError:  # ENXIO: nothing more of that kind
        return None


def _mark_place(number: int, size_bytes: int) -> int:
    """Marks stand at the start, at the very end, and evenly between; on whole 4 KiB blocks."""
    first, last = 8 * CHUNK, (size_bytes - MARK_BYTES) // 4096 * 4096
    return (first + (last - first) * number // (MARKS - 1)) // 4096 * 4096


def _mark_head(serial: str) -> bytes:
    return f"DONOR-DATA {serial} ".encode()


def _mark(serial: str, chance: random.Random) -> bytes:
    head = _mark_head(serial) + b"salaries, customers, holiday pictures\n"
    return (head * (4096 // len(head))).ljust(4096, b".") + chance.randbytes(MARK_BYTES - 4096)


def _somebodys_files(chance: random.Random) -> list[tuple[str, bytes]]:
    letter = b"Dear grandmother,\n\nthe pictures of the summer are on this stick.\n"
    pictures = [(f"img{number:04d}.jpg", chance.randbytes(700_000)) for number in range(1, 6)]
    return [("letter.txt", letter), *pictures]


def _write_at(descriptor: int, offset: int, data: bytes) -> None:
    if os.pwrite(descriptor, data, offset) != len(data):
        raise ProofMissingError("The host's disk took less than was written.")
