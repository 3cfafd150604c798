"""Disks of the lab: marks that wiping must remove, digests of every byte."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from provisioner.lab.disks import (
    MARKS,
    NTFS,
    MbrPartition,
    create_disk,
    create_donor_disk,
    donor_data,
    flip_bit,
    mbr,
    ntfs_boot_sector,
    sha256,
)

SIZE = 64 * 1024 * 1024
SERIAL = "S16GXA0041739"


@pytest.fixture
def donor(tmp_path: Path) -> Path:
    path = tmp_path / "donor.raw"
    create_donor_disk(path, SIZE, SERIAL)
    return path


def test_a_partition_table_of_512_bytes() -> None:
    table = mbr([MbrPartition(NTFS, first=2048, sectors=4096, active=True)], disk_id=0x11223344)
    assert len(table) == 512
    assert table[510:] == b"\x55\xaa"
    assert table[446] == 0x80
    assert table[450] == NTFS
    assert table[454:462] == (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")


def test_an_ntfs_boot_sector_says_so() -> None:
    sector = ntfs_boot_sector(1000, 1)
    assert len(sector) == 512
    assert sector[3:11] == b"NTFS    "


def test_donor_marks_stand_at_both_ends_and_between(donor: Path) -> None:
    found = donor_data(donor, SERIAL, limit=10**6)
    blocks = {place // 4096 for place in found}
    assert len(blocks) == MARKS
    assert max(found) > SIZE - 128 * 1024


def test_no_mark_is_found_of_another_disk(donor: Path) -> None:
    assert donor_data(donor, "S16GXA0041730") == []


def test_a_single_mark_that_was_left_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wiped.raw"
    create_disk(path, SIZE)
    # Across the border of two reads
    place = 5 * 1024 * 1024 - 7
    with path.open("r+b") as disk:
        disk.seek(place)
        disk.write(f"DONOR-DATA {SERIAL} x".encode())
    assert donor_data(path, SERIAL) == [place]


def test_the_digest_covers_holes_and_data(donor: Path, tmp_path: Path) -> None:
    assert sha256(donor) == hashlib.sha256(donor.read_bytes()).hexdigest()
    empty = tmp_path / "empty.raw"
    create_disk(empty, SIZE)
    assert sha256(empty) == hashlib.sha256(bytes(SIZE)).hexdigest()


@pytest.mark.parametrize("place", [0, 3 * 1024 * 1024 + 5, SIZE - 1])
def test_one_flipped_bit_changes_the_digest(donor: Path, place: int) -> None:
    before = sha256(donor)
    flip_bit(donor, place)
    assert sha256(donor) != before
    flip_bit(donor, place)
    assert sha256(donor) == before


def test_disks_cost_only_what_is_on_them(donor: Path) -> None:
    assert donor.stat().st_size == SIZE
    assert donor.stat().st_blocks * 512 < SIZE / 8


def test_a_disk_has_whole_sectors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sectors"):
        create_disk(tmp_path / "odd.raw", 1000)
