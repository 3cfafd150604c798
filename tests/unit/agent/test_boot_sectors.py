"""The first sector and GRUB's core image, on bytes and on a file in the place of a disk."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from provisioner.agent import layout
from provisioner.agent.bootloader import write_boot_sectors
from provisioner.agent.disk import OpenDisk
from provisioner.errors import ImageMismatchError
from provisioner.release.bios import boot_sector, core_sectors, protective_table

REAL = Path("/usr/lib/grub/i386-pc/boot.img")


def boot_img() -> bytes:
    """GRUB's own where it is installed, else bytes of the same form."""
    if REAL.exists():
        return REAL.read_bytes()
    made = bytearray(range(256)) * 2
    struct.pack_into("<Q", made, 0x5C, 1)
    made[0x64], made[0x66:0x68], made[510:] = 0xFF, b"\xeb\x05", b"\x55\xaa"
    return bytes(made)


def core_img(size: int = 200_001) -> bytes:
    made = bytearray(b"\x01" * size)
    struct.pack_into("<QHH", made, 500, 2, -(-size // 512) - 1, 0x820)
    return bytes(made)


def test_the_first_sector_starts_the_core_image() -> None:
    sector = boot_sector(boot_img(), core_lba=2048, disk_sectors=1000)
    assert len(sector) == 512
    assert struct.unpack_from("<Q", sector, 0x5C) == (2048,)
    assert sector[0x66:0x68] == b"\x90\x90"
    assert sector[:0x5C] == boot_img()[:0x5C]
    assert sector[0x68:440] == boot_img()[0x68:440]


@pytest.mark.parametrize(("sectors", "told"), [(1000, 999), (2**33, 2**32 - 1)])
def test_the_protective_entry_covers_the_disk(sectors: int, told: int) -> None:
    table = protective_table(sectors)
    assert len(table) == 512 - 440
    assert table[6] == 0  # UEFI 5.2.3: the protective entry itself is not active
    assert table[10] == 0xEE
    assert struct.unpack_from("<II", table, 14) == (1, told)
    assert table[-2:] == b"\x55\xaa"


def test_one_entry_is_active_and_means_nothing() -> None:
    table = protective_table(1000)
    active = [entry for entry in range(4) if table[6 + 16 * entry] == 0x80]
    assert active == [1]
    assert table[6 + 16 + 4] == 0  # type: unused


def test_the_core_image_is_told_where_it_lies() -> None:
    core = core_sectors(core_img(), first_lba=2048)
    assert len(core) % 512 == 0
    assert struct.unpack_from("<QHH", core, 500) == (2049, len(core) // 512 - 1, 0x820)
    assert core[512:200_001] == core_img()[512:]


@pytest.mark.parametrize("wrong", [b"", bytes(512), boot_img()[:-1], boot_img() + b"x"])
def test_what_is_not_grubs_boot_sector_is_refused(wrong: bytes) -> None:
    with pytest.raises(ImageMismatchError):
        boot_sector(wrong, core_lba=2048, disk_sectors=1000)


@pytest.mark.parametrize("wrong", [b"", bytes(512), bytes(5000), core_img()[:-600]])
def test_what_is_no_core_image_is_refused(wrong: bytes) -> None:
    with pytest.raises(ImageMismatchError):
        core_sectors(wrong, first_lba=2048)


SLOTS = (layout.Slot(1, "bios", layout.TYPE_BIOS, 2048, 2048),)


def test_they_are_read_back_from_the_disk(target: OpenDisk) -> None:
    before = target.path.read_bytes()
    proofs = write_boot_sectors(target, SLOTS, 512, boot_img(), core_img())
    after = target.path.read_bytes()
    assert after[:512] == boot_sector(boot_img(), core_lba=2048, disk_sectors=target.size // 512)
    core = core_sectors(core_img(), first_lba=2048)
    assert after[2**20 : 2**20 + len(core)] == core
    assert after[512 : 2**20] == before[512 : 2**20]
    assert after[2**20 + len(core) :] == before[2**20 + len(core) :]
    assert proofs["disk:core"].size == len(core)
    assert all(proof.direct for proof in proofs.values())


def test_a_disk_that_does_not_keep_them_is_found(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.agent.bootloader.write_exactly", lambda *_: None)
    with pytest.raises(ImageMismatchError):
        write_boot_sectors(target, SLOTS, 512, boot_img(), core_img())
