"""The boot sectors of an installed disk, for machines with an old BIOS: pure functions on bytes.

The agent writes what these give, reads it back, and the station computes it again from the
release's own loader files and the disk's size: nothing in the first sector is left to chance.

Offsets are those of GRUB's boot.img and diskboot.img (include/grub/i386/pc/boot.h and
include/grub/offsets.h of GRUB 2.12).
"""

from __future__ import annotations

import struct

from provisioner.errors import ImageMismatchError

SECTOR = 512
BOOT_CODE = 440  # bytes before the disk signature and the partition table
TABLE = 446
MAGIC = b"\x55\xaa"
_KERNEL_SECTOR = 0x5C  # u64: where the BIOS part of GRUB begins
_DRIVE_CHECK = 0x66  # a jump over “trust only drive numbers that make sense”
_JUMP, _NOPS = b"\xeb\x05", b"\x90\x90"
_LIST = SECTOR - 12  # u64 start, u16 sectors, u16 segment: the rest of core.img
_SEGMENT = 0x820
_TYPE_PROTECTIVE = 0xEE


def protective_table(disk_sectors: int) -> bytes:
    """Bytes 440 to 511 of a GPT disk: no signature, the protective entry, an active one.

    The UEFI specification (5.2.3) wants the protective entry's boot indicator 0, and firmware
    built on EDK II does not see the GPT otherwise; many a BIOS before 2012 on the other hand
    starts no disk without an active entry. So a second entry of type 0 (“unused”) is active:
    it claims one sector, the first, and is ignored by everything else.
    """
    length = min(disk_sectors - 1, 0xFFFFFFFF)
    protective = struct.pack(
        "<B3sB3sII", 0, b"\x00\x02\x00", _TYPE_PROTECTIVE, b"\xff\xff\xff", 1, length
    )
    active = struct.pack("<B3sB3sII", 0x80, bytes(3), 0, bytes(3), 0, 1)
    return bytes(6) + protective + active + bytes(32) + MAGIC


def boot_sector(boot_img: bytes, *, core_lba: int, disk_sectors: int) -> bytes:
    """The disk's first sector: GRUB's boot.img that starts core.img at `core_lba`.

    `disk_sectors` counts sectors of 512 bytes. Like grub-install on a hard disk it lets GRUB
    mistrust the drive number that a faulty BIOS passes. Raises ImageMismatchError when
    `boot_img` is not GRUB's.
    """
    start = struct.unpack_from("<Q", boot_img, _KERNEL_SECTOR)[0] if len(boot_img) == SECTOR else 0
    check = boot_img[_DRIVE_CHECK : _DRIVE_CHECK + 2]
    if start != 1 or check not in (_JUMP, _NOPS) or boot_img[-2:] != MAGIC:
        raise ImageMismatchError(
            "The release's loader/boot.img is not GRUB's boot sector.", "Build the release again."
        )
    code = bytearray(boot_img[:BOOT_CODE])
    struct.pack_into("<Q", code, _KERNEL_SECTOR, core_lba)
    code[_DRIVE_CHECK : _DRIVE_CHECK + 2] = _NOPS
    return bytes(code) + protective_table(disk_sectors)


def core_sectors(core_img: bytes, *, first_lba: int) -> bytes:
    """core.img for the BIOS-boot partition that begins at `first_lba`, in whole sectors.

    Its first sector is told where the others are. Raises ImageMismatchError when `core_img`
    is not a core image for a BIOS.
    """
    sectors = -(-len(core_img) // SECTOR)
    told = struct.unpack_from("<QHH", core_img, _LIST) if len(core_img) > SECTOR else (0, 0, 0)
    if told[1:] != (sectors - 1, _SEGMENT):
        raise ImageMismatchError(
            "The release's loader/core.img is not a GRUB image for a BIOS.",
            "Build the release again.",
        )
    whole = bytearray(core_img.ljust(sectors * SECTOR, b"\0"))
    struct.pack_into("<Q", whole, _LIST, first_lba + 1)
    return bytes(whole)
