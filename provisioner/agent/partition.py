"""Dividing and formatting the target disk; each step proved by reading the disk itself.

`sfdisk` and `mkfs` do the work, but what counts is the partition table and the super blocks as
they come back from the medium, and the partitions as the kernel sees them in sysfs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent import layout
from provisioner.agent.direct import (
    ALIGN,
    buffer,
    forget_pages,
    opened,
    read_exactly,
    write_exactly,
)
from provisioner.agent.disk import OpenDisk
from provisioner.agent.gpt import (
    PROBE_BYTES,
    FileSystem,
    GptPartition,
    parse_file_system,
    parse_gpt,
)
from provisioner.agent.layout import Slot
from provisioner.agent.text import clean, read_int
from provisioner.errors import CommandError, DiskFaultError, ProofMissingError
from provisioner.run import run

SYS_BLOCK = Path("/sys/class/block")
GPT_SECTORS = {512: 34, 4096: 6}
KERNEL_WAIT_S = 20.0
MIB = 1024 * 1024
# Looking only, at everything; and what they print when they have come to the end.
CHECKERS = {
    "ext4": (("fsck.ext4", "-f", "-n"), "Pass 5: "),
    "vfat": (("fsck.vfat", "-n"), " clusters"),
}
KINDS = {layout.ESP: "vfat", layout.SYSTEM: "ext4", layout.STATE: "ext4"}
Seen = dict[int, tuple[int, int]]  # partition number: start and length, sectors of 512 bytes


@dataclass(frozen=True)
class Part:
    """A partition that stands: as planned, as on the disk, and its file system."""

    slot: Slot
    guid: str
    device: Path
    system: FileSystem | None = None


def partition_device(disk: Path, number: int) -> Path:
    """The device node of a partition: sda1, but nvme0n1p1."""
    joint = "p" if disk.name[-1].isdigit() else ""
    return disk.with_name(f"{disk.name}{joint}{number}")


def read_table(handle: int, sector: int) -> tuple[GptPartition, ...] | None:
    """The partition table as it is on the medium now."""
    return parse_gpt(read_exactly(handle, 0, GPT_SECTORS[sector] * sector), sector)


def clear(target: OpenDisk, ranges: list[tuple[int, int]]) -> None:
    """Zeros over ranges (start, length in bytes), flushed and read back.

    Raises DiskFaultError when the disk still holds something there.
    """
    for start, length in ranges:
        write_exactly(target.handle, start, memoryview(buffer(length)))
    os.fsync(target.handle)
    for start, length in ranges:
        if any(read_exactly(target.handle, start, length)):
            raise DiskFaultError(
                f"The disk kept its old content at byte {start}.", "Replace the disk."
            )


def ranges_to_clear(slots: tuple[Slot, ...], size: int, sector: int) -> list[tuple[int, int]]:
    """Where old boot loaders, tables and file systems would be found: the edges of the disk and
    the start of every partition."""
    starts = [slot.start * sector for slot in slots]
    tail = (size - MIB) // ALIGN * ALIGN
    return [(at, MIB) for at in (0, *starts)] + [(tail, (size - tail) // sector * sector)]


def unboot(slots: tuple[Slot, ...], sector: int) -> list[tuple[int, int]]:
    """What makes a disk of ours startable, without its partition table: GRUB's core image and
    the ESP. (The boot code of the first sector is harmless without the core image.)"""
    return [(slot.start * sector, MIB) for slot in slots if slot.label in (layout.BIOS, layout.ESP)]


def divide(disk: Path, slots: tuple[Slot, ...], sector: int) -> None:
    """Write the partition table."""
    settle()
    wipe = ["--wipe", "always", "--wipe-partitions", "always"]
    command = ["sfdisk", "--quiet", "--lock=yes", *wipe, str(disk)]
    with opened(disk, os.O_RDONLY) as handle:  # the kernel forgets what it read when all close
        _look_at_edges(handle, slots, sector)
        run(command, timeout_s=60, stdin=layout.sfdisk_script(slots))


def _look_at_edges(handle: int, slots: tuple[Slot, ...], sector: int) -> None:
    """Have what sfdisk looks at in memory.

    It seeks old signatures (libblkid) at some fifty places in the first MiB and the last two of
    the disk and of each partition: on a hard disk a second and a half, read in a stretch a third.
    """
    for at in (0, *(slot.start * sector for slot in slots)):
        os.pread(handle, MIB, at)
    ends = ((slot.start + slot.length) * sector for slot in slots)
    for end in (*ends, os.lseek(handle, 0, os.SEEK_END)):
        os.pread(handle, 2 * MIB, max(end - 2 * MIB, 0))


@contextlib.contextmanager
def pinned(disk: Path, slots: tuple[Slot, ...], sector: int) -> Iterator[None]:
    """Keep the kernel's partitions as they are.

    When a whole disk that was open for writing is closed, udev makes the kernel read its
    partition table again, some time later, and for a moment there are no partitions. The kernel
    refuses that (EBUSY) while one of them is open. Raises ProofMissingError.
    """
    until = time.monotonic() + KERNEL_WAIT_S
    while True:
        wait_for_kernel(disk, slots, sector)
        try:
            handle = os.open(partition_device(disk, slots[0].number), os.O_RDONLY | os.O_CLOEXEC)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        os.close(handle)


def settle() -> None:
    """Let udev finish with what just changed; whether it did is seen elsewhere."""
    with contextlib.suppress(CommandError):
        run(["udevadm", "settle", "--timeout=20"], timeout_s=30, check=False)


def prove_division(disk: Path, slots: tuple[Slot, ...], sector: int) -> list[Part]:
    """The partitions as they are on the medium and as the kernel sees them.

    Raises ProofMissingError when either differs from the plan.
    """
    with opened(disk, os.O_RDONLY | os.O_DIRECT) as handle:
        table = read_table(handle, sector)
    if table is None or not layout.matches_plan(slots, table):
        raise ProofMissingError(
            "The partition table on the disk is not the one that was to be written.",
            "Try again; if it happens again, replace the disk.",
        )
    wait_for_kernel(disk, slots, sector)
    return [
        Part(slot, found.guid, partition_device(disk, slot.number))
        for slot, found in zip(slots, table, strict=True)
    ]


def wait_for_kernel(
    disk: Path, slots: tuple[Slot, ...], sector: int, patience_s: float = KERNEL_WAIT_S
) -> Seen:
    """Wait until the kernel shows exactly these partitions, and return them as it did.

    Raises ProofMissingError.
    """
    wanted = {
        slot.number: (slot.start * sector // 512, slot.length * sector // 512) for slot in slots
    }
    until = time.monotonic() + patience_s
    while (seen := kernel_partitions(disk.name)) != wanted or not _nodes(disk, slots):
        if time.monotonic() > until:
            raise ProofMissingError(
                f"The kernel sees other partitions on {disk.name} than were written: {seen}.",
                "Restart this machine and try again.",
            )
        time.sleep(0.2)
    return seen


def _nodes(disk: Path, slots: tuple[Slot, ...]) -> bool:
    return all(partition_device(disk, slot.number).exists() for slot in slots)


def kernel_partitions(name: str, sys: Path = SYS_BLOCK) -> Seen:
    """The partitions of a disk as the kernel sees them now."""
    seen: Seen = {}
    for folder in (sys / name).glob(f"{name}*"):
        number = read_int(folder / "partition")
        start, length = read_int(folder / "start"), read_int(folder / "size")
        if number is not None and start is not None and length is not None:
            seen[number] = (start, length)
    return seen


def make_file_system(part: Part) -> Part:
    """Format a partition with an identity that no other machine has, and prove it."""
    wanted = _new_identity(part.slot.label)
    run(format_command(part.device, wanted), timeout_s=600)
    found = read_file_system(part.device)
    if found != wanted:
        raise ProofMissingError(
            f"{part.device.name} holds {found or 'no file system'} instead of {wanted}.",
            "Try again; if it happens again, replace the disk.",
        )
    return Part(part.slot, part.guid, part.device, found)


def read_file_system(device: Path) -> FileSystem | None:
    """What is on a partition, read past the page cache."""
    with opened(device, os.O_RDONLY | os.O_DIRECT) as handle:
        return parse_file_system(read_exactly(handle, 0, PROBE_BYTES))


def prove_file_systems(parts: Iterable[Part]) -> None:
    """That each file system's own tables came back whole from the disk, which no file shows.

    Nothing of them may be mounted. Raises DiskFaultError when one is damaged, ProofMissingError
    when the program that looks did not come to its end.
    """
    for part in parts:
        if part.system is None:
            continue
        with opened(part.device, os.O_RDONLY) as handle:
            forget_pages(handle)
        command, at_the_end = CHECKERS[part.system.kind]
        done = run([*command, part.device], timeout_s=1800, check=False)
        if done.code != 0:
            raise DiskFaultError(
                f"The file system “{part.slot.label}” came back damaged from the disk: "
                f"{clean(done.stdout[-300:] + done.stderr[-300:], 600)}",
                "Try again; if it happens again, replace the disk.",
            )
        if at_the_end not in done.stdout:
            raise ProofMissingError(
                f"{command[0]} did not look at the file system “{part.slot.label}”.",
                "Restart this machine and try again.",
            )


def format_command(device: Path, wanted: FileSystem) -> list[str | Path]:
    """mkfs for one of our partitions.

    ext4 leaves empty inode tables to the first start (minutes on a large slow disk), and keeps
    nothing back for root: there is no root who would clean up.
    """
    if wanted.kind == "vfat":
        number = wanted.uuid.replace("-", "")
        return ["mkfs.vfat", "-F", "32", "-n", wanted.label, "-i", number, device]
    lazy = "lazy_itable_init=1,lazy_journal_init=1"
    return [
        "mkfs.ext4", "-q", "-F", "-m", "0", "-L", wanted.label, "-U", wanted.uuid,
        "-E", lazy, device,
    ]  # fmt: skip


def _new_identity(label: str) -> FileSystem:
    kind = KINDS[label]
    if kind == "vfat":
        number = f"{secrets.randbits(32):08X}"
        return FileSystem(kind, f"{number[:4]}-{number[4:]}", label)
    return FileSystem(kind, str(uuid.uuid4()), label)
