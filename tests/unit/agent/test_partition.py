"""Layouts, and what tools left on a disk as read from its bytes; real sfdisk and mkfs on files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from provisioner.agent import layout, partition
from provisioner.agent.direct import read_exactly
from provisioner.agent.disk import OpenDisk
from provisioner.agent.gpt import FileSystem, parse_file_system, parse_gpt
from provisioner.errors import DiskChoiceError, DiskFaultError, ProofMissingError
from provisioner.run import Finished
from tests.unit.agent.conftest import make_disk, open_file_disk

GB, MIB = 10**9, 2**20
IMAGE = 142 * MIB
sfdisk = pytest.mark.skipif(not shutil.which("sfdisk"), reason="sfdisk is not installed")


@pytest.mark.parametrize("size", [8 * GB, 16 * GB, 500 * GB, 4000 * GB, 8 * 2**30 + 512])
@pytest.mark.parametrize("sector", [512, 4096])
def test_partitions_follow_one_another_on_whole_mebibytes(size: int, sector: int) -> None:
    slots = layout.plan_layout(size, sector, IMAGE)
    assert [slot.label for slot in slots] == ["bios", "ESP", "system", "state"]
    ends = [(slot.start + slot.length) * sector for slot in slots]
    assert all(slot.start * sector % MIB == 0 for slot in slots)
    assert [slot.start * sector for slot in slots[1:]] == ends[:-1]
    assert ends[-1] <= size - layout.TAIL
    assert slots[2].length * sector >= 3 * IMAGE
    assert slots[2].length * sector <= max(layout.SYSTEM_MAX, 3 * IMAGE + layout.SPARE)


def test_a_disk_that_is_too_small_is_refused_with_numbers() -> None:
    with pytest.raises(DiskChoiceError, match=r"4\.0 GB"):
        layout.plan_layout(4 * GB, 512, 1500 * MIB)


def test_guids_differ_each_time() -> None:
    slots = layout.plan_layout(8 * GB, 512, IMAGE)
    assert layout.sfdisk_script(slots) != layout.sfdisk_script(slots)


@pytest.mark.parametrize(
    ("disk", "part"), [("sda", "sda4"), ("vdb", "vdb4"), ("nvme0n1", "nvme0n1p4"),
                       ("mmcblk0", "mmcblk0p4")],
)  # fmt: skip
def test_partition_names(disk: str, part: str) -> None:
    assert partition.partition_device(Path("/dev") / disk, 4) == Path("/dev") / part


@pytest.fixture
def big(tmp_path: Path) -> OpenDisk:
    disk = make_disk(size=8 * GB)
    with (tmp_path / disk.name).open("wb") as file:
        file.truncate(disk.size_bytes)
    with open_file_disk(tmp_path, disk) as opened:
        return OpenDisk(disk, opened.path, os.open(opened.path, os.O_RDWR | os.O_DIRECT))


@sfdisk
def test_what_sfdisk_writes_is_what_was_planned(big: OpenDisk) -> None:
    slots = layout.plan_layout(big.size, 512, IMAGE)
    assert partition.read_table(big.handle, 512) is None
    partition.divide(big.path, slots, 512)
    found = partition.read_table(big.handle, 512)
    assert layout.matches_plan(slots, found)
    assert found is not None
    assert len({part.guid for part in found}) == 4


@sfdisk
@pytest.mark.parametrize("at", [512 + 60, 1024 + 40, 512 + 16])
def test_a_table_with_a_flipped_bit_is_none(big: OpenDisk, at: int) -> None:
    partition.divide(big.path, layout.plan_layout(big.size, 512, IMAGE), 512)
    head = bytearray(read_exactly(big.handle, 0, 34 * 512))
    assert parse_gpt(bytes(head), 512)
    head[at] ^= 1
    assert parse_gpt(bytes(head), 512) is None


def do_nothing(*_: object, **__: object) -> Finished:
    return Finished((), 0, "", "")


def test_an_sfdisk_that_does_nothing_is_found(
    big: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "run", do_nothing)
    slots = layout.plan_layout(big.size, 512, IMAGE)
    partition.divide(big.path, slots, 512)
    with pytest.raises(ProofMissingError):
        partition.prove_division(big.path, slots, 512)


@sfdisk
def test_a_kernel_that_sees_something_else_is_found(big: OpenDisk) -> None:
    slots = layout.plan_layout(big.size, 512, IMAGE)
    partition.divide(big.path, slots, 512)
    with pytest.raises(ProofMissingError, match="kernel"):
        partition.wait_for_kernel(big.path, slots, 512, patience_s=0)


@pytest.mark.parametrize("label", ["ESP", "system"])
def test_file_systems_are_proved_from_their_own_bytes(tmp_path: Path, label: str) -> None:
    made = partition.make_file_system(part_on_file(tmp_path, label))
    assert made.system is not None
    assert made.system.label == label
    assert made.system == partition.read_file_system(made.device)


@pytest.mark.parametrize("label", ["ESP", "system"])
def test_an_mkfs_that_does_nothing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, label: str
) -> None:
    part = part_on_file(tmp_path, label)
    partition.make_file_system(part)  # an older one is there
    monkeypatch.setattr(partition, "run", do_nothing)
    with pytest.raises(ProofMissingError):
        partition.make_file_system(part)


def part_on_file(folder: Path, label: str) -> partition.Part:
    path = folder / label
    with path.open("wb") as file:
        file.truncate(512 * MIB)
    kind = layout.TYPE_ESP if label == "ESP" else layout.TYPE_LINUX
    return partition.Part(layout.Slot(2, label, kind, 0, 2**20), "", path)


def test_clearing_removes_old_loaders_and_tables(target: OpenDisk) -> None:
    slots = (layout.Slot(1, "bios", layout.TYPE_BIOS, 2048, 2048),)
    ranges = partition.ranges_to_clear(slots, target.size, 512)
    partition.clear(target, ranges)
    data = target.path.read_bytes()
    assert not any(data[: 2 * MIB])
    assert not any(data[-MIB:])
    assert any(data[2 * MIB : 3 * MIB])


def test_clearing_that_does_nothing_is_found(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "write_exactly", lambda *_: None)
    with pytest.raises(DiskFaultError):
        partition.clear(target, [(0, MIB)])


@pytest.mark.parametrize(
    "start", [b"", bytes(4096), os.urandom(4096), b"\xff" * 4096],
    ids=["nothing", "zeros", "chance", "ones"],
)  # fmt: skip
def test_noise_is_no_file_system(start: bytes) -> None:
    assert parse_file_system(start) is None
    assert parse_gpt(start, 512) is None


def test_what_a_file_system_says_of_itself_is_compared_whole() -> None:
    assert FileSystem("ext4", "a", "system") != FileSystem("ext4", "a", "state")


@pytest.mark.parametrize("label", ["ESP", "state"])
def test_a_file_system_whose_tables_were_lost_is_found(tmp_path: Path, label: str) -> None:
    part = partition.make_file_system(part_on_file(tmp_path, label))
    partition.prove_file_systems([part])
    with part.device.open("r+b") as file:  # its first tables, but not the super block that names it
        file.seek(8192 if label == "state" else 32 * 512)
        file.write(bytes(8192))
    assert partition.read_file_system(part.device) == part.system
    with pytest.raises(DiskFaultError, match=f"{label}.* damaged"):
        partition.prove_file_systems([part])


def test_an_fsck_that_does_nothing_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = partition.make_file_system(part_on_file(tmp_path, "state"))
    monkeypatch.setattr(partition, "run", do_nothing)
    with pytest.raises(ProofMissingError, match="did not look"):
        partition.prove_file_systems([part])
