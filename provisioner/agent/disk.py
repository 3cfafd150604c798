"""Finding the one disk that an order means, and opening it so that nobody else writes to it.

Never by the kernel's name: by serial, WWN, model, size and transport together, among the disks
that are there at this moment; and checked again on the open device, right before the first byte
is written, because cables are changed while machines run.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.direct import device_size, opened
from provisioner.agent.lsblk import read_disks
from provisioner.errors import DiskChoiceError
from provisioner.model.hardware import Disk, DiskRef, Transport

DEV = Path("/dev")
SYS_DEV_BLOCK = Path("/sys/dev/block")


@dataclass(frozen=True)
class OpenDisk:
    """A disk held exclusively: its device node and a descriptor for direct reading and writing."""

    disk: Disk
    path: Path
    handle: int

    @property
    def size(self) -> int:
        return self.disk.size_bytes


def choose_disk(ref: DiskRef, disks: tuple[Disk, ...]) -> Disk:
    """The one disk that `ref` means. Raises DiskChoiceError for none, several, or a wrong kind."""
    fitting = [disk for disk in disks if ref.matches(disk)]
    if not fitting:
        raise DiskChoiceError(
            f"The disk of this order ({_told(ref)}) is not here now.", _hint(ref, disks)
        )
    if len(fitting) > 1:
        names = ", ".join(disk.name for disk in fitting)
        raise DiskChoiceError(
            f"{len(fitting)} disks look the same ({_told(ref)}: {names}).",
            "Unplug all but one of them, then try again.",
        )
    disk = fitting[0]
    if reason := why_untouchable(disk):
        raise DiskChoiceError(
            f"The disk {disk.name} ({_told(ref)}) must not be written: it is {reason}.",
            "Nothing was written. Choose another disk or remove the cause.",
        )
    return disk


def why_untouchable(disk: Disk) -> str:
    """Why a disk is never written to, whatever an order says; '' when it may be."""
    reasons = {
        "removable": disk.removable,
        "attached by USB": disk.transport is Transport.USB,
        "read-only": disk.read_only,
        "in use": disk.in_use,
    }
    return ", ".join(reason for reason, true in reasons.items() if true)


def find_disk(ref: DiskRef) -> Disk:
    """Look at this machine's disks now and choose. Raises DiskChoiceError."""
    return choose_disk(ref, read_disks())


@contextlib.contextmanager
def opened_exclusively(
    ref: DiskRef, find: Callable[[DiskRef], Disk] = find_disk, dev: Path = DEV
) -> Iterator[OpenDisk]:
    """The disk that `ref` means, for writing; nobody else may use it meanwhile.

    O_EXCL makes the kernel refuse when any part of it is mounted or held. The choice is made
    again with the device open. Raises DiskChoiceError.
    """
    disk = find(ref)
    path = dev / disk.name
    try:
        flags = os.O_RDWR | os.O_DIRECT | os.O_EXCL
        with opened(path, flags) as handle:
            check_open(handle, disk, find(ref))
            yield OpenDisk(disk, path, handle)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise DiskChoiceError(
            f"The disk {disk.name} is in use.", "Restart this machine and try again."
        ) from error


def check_open(handle: int, chosen: Disk, again: Disk, sys: Path = SYS_DEV_BLOCK) -> None:
    """Whether the open device is the disk that was chosen. Raises DiskChoiceError."""
    if (again.name, again.serial) != (chosen.name, chosen.serial):
        raise DiskChoiceError("The disks changed while the order began.", "Try again.")
    size = device_size(handle)
    if size != chosen.size_bytes:
        raise DiskChoiceError(
            f"The disk {chosen.name} has {size} bytes, not {chosen.size_bytes}.",
            "It was exchanged, or it is faulty.",
        )
    status = os.fstat(handle)
    if stat.S_ISBLK(status.st_mode):
        number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        name = (sys / number).resolve().name
        if name != chosen.name:
            raise DiskChoiceError(f"/dev/{chosen.name} is in truth {name}.", "Restart and retry.")


def _told(ref: DiskRef) -> str:
    serial = f"serial {ref.serial}" if ref.serial else "no serial"
    return f"{ref.model or 'unnamed'}, {serial}, {ref.size_bytes / 1e9:.1f} GB"


def _hint(ref: DiskRef, disks: tuple[Disk, ...]) -> str:
    for disk in disks:
        if ref.serial and disk.serial == ref.serial and disk.size_bytes != ref.size_bytes:
            return (
                f"The disk {disk.name} has its serial but {disk.size_bytes} bytes instead of "
                f"{ref.size_bytes}; it may be faulty."
            )
    return "Nothing was written. Was the disk exchanged, or is its cable loose?"
