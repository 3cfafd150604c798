"""Making the disk startable, last of all: loaders on the ESP, core image, first sector.

Until this has run no firmware finds anything to start, so a machine whose imaging was cut short
starts from the network again. Everything is read back past the page cache.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from provisioner.agent import layout
from provisioner.agent.direct import ALIGN, Digest, buffer, digest_of_range, write_exactly
from provisioner.agent.disk import OpenDisk
from provisioner.agent.layout import Slot
from provisioner.errors import ImageMismatchError, ProofMissingError
from provisioner.model.release import LOADER_GRUB, LOADER_IA32, LOADER_MOK, LOADER_SHIM
from provisioner.release.bios import SECTOR, boot_sector, core_sectors

# What firmware starts when nothing else is set up: UEFI specification 3.5.1.1. Shim looks for
# grubx64.efi and mmx64.efi beside itself.
EFI_BOOT = "EFI/BOOT"
ESP_PLACES = {
    LOADER_GRUB: f"{EFI_BOOT}/grubx64.efi",
    LOADER_MOK: f"{EFI_BOOT}/mmx64.efi",
    LOADER_IA32: f"{EFI_BOOT}/BOOTIA32.EFI",
    LOADER_SHIM: f"{EFI_BOOT}/BOOTX64.EFI",  # the last: with it the ESP can be started
}


def place_loaders(esp: Path, waiting: Path) -> None:
    """Give the loaders that lie in the folder `waiting` of the ESP their names, shim last."""
    (esp / EFI_BOOT).mkdir(parents=True, exist_ok=True)
    for name, place in ESP_PLACES.items():
        source = waiting / Path(name).name
        if source.exists():
            source.replace(esp / place)
    os.sync()


def write_boot_sectors(
    target: OpenDisk, slots: tuple[Slot, ...], sector: int, boot_img: bytes, core_img: bytes
) -> dict[str, Digest]:
    """core.img, then the first sector; returns what came back from the disk.

    Raises ImageMismatchError when it differs. A disk with sectors of 4096 bytes cannot be
    started by any BIOS; it gets the same first sector all the same, harmless there.
    """
    place = next(slot for slot in slots if slot.label == layout.BIOS)
    start = place.start * sector
    core = core_sectors(core_img, first_lba=start // SECTOR)
    if len(core) > place.length * sector:
        raise ImageMismatchError("core.img is larger than its partition.")
    first = boot_sector(boot_img, core_lba=start // SECTOR, disk_sectors=target.size // SECTOR)
    _put(target, start, core, sector)
    _put(target, 0, first, sector)
    return {
        "disk:core": _proved(target.path, start, core),
        "disk:boot-sector": _proved(target.path, 0, first),
    }


def _put(target: OpenDisk, start: int, data: bytes, sector: int) -> None:
    """Whole sectors; what lies behind `data` in the last one stays as it is."""
    length = -(-len(data) // sector) * sector
    room = buffer(-(-length // ALIGN) * ALIGN)
    os.preadv(target.handle, [memoryview(room)[:length]], start)
    room[: len(data)] = data
    write_exactly(target.handle, start, memoryview(room)[:length])
    os.fsync(target.handle)


def _proved(disk: Path, start: int, data: bytes) -> Digest:
    found = digest_of_range(disk, start, len(data))
    if found.sha256 != hashlib.sha256(data).hexdigest():
        raise ImageMismatchError(
            f"The disk did not keep the boot loader at byte {start}.", "Replace the disk."
        )
    if not found.direct:
        raise ProofMissingError("The disk cannot be read past the page cache.")
    return found
