"""PCs with several disks: firmware, kernel, agent and QEMU's disks are the real ones.

Each PC meets the rule of its own batch. What is not the one disk that the rule names keeps every
byte, through the wipe and the imaging; and where the rule names two, nothing is written at all.
The many orders of enumeration are in tests/integration/agent/test_topologies.py, without firmware.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab import disks
from provisioner.lab.machine import Bus, Machine, VirtualDisk
from provisioner.lab.workshop import VirtualWorkshop
from provisioner.lifecycle import Milestone
from provisioner.model.batch import DiskRule
from provisioner.settings import load_settings
from tests.vm.waiting import wait

pytestmark = [pytest.mark.vm, pytest.mark.long]

LARGE, MIDDLE, SMALL = (size * 10**9 // 4096 * 4096 for size in (14, 11, 8))
STICK = 64 * 1024 * 1024


@dataclass(frozen=True)
class Part:
    """One disk of an arrangement; `size` 0 is a card reader without a card."""

    bus: Bus
    size: int
    turns: bool = False


READER, USB_STICK = Part(Bus.USB, 0), Part(Bus.USB, STICK)
# The PC's place in the virtual classroom (each has another firmware), the rule, the disks in the
# order in which they are plugged in, and which of them is meant.
ARRANGEMENTS: dict[str, tuple[int, DiskRule, tuple[Part, ...], int | None]] = {
    "sata behind a reader, bios": (
        0, DiskRule.SMALLEST,
        (READER, Part(Bus.SATA, LARGE, turns=True), USB_STICK, Part(Bus.SATA, SMALL)), 3,
    ),
    "nvme among hard disks, secure boot": (
        1, DiskRule.SOLID_STATE,
        (Part(Bus.SATA, SMALL, turns=True), Part(Bus.NVME, LARGE),
         Part(Bus.SATA, MIDDLE, turns=True), USB_STICK), 1,
    ),
    "virtio, the largest of five, uefi": (
        2, DiskRule.LARGEST,
        (USB_STICK, Part(Bus.NVME, MIDDLE), Part(Bus.SATA, SMALL), READER,
         Part(Bus.VIRTIO, LARGE)), 4,
    ),
    "only one, but there are two, 32-bit": (
        3, DiskRule.ONLY, (Part(Bus.SATA, MIDDLE), Part(Bus.NVME, SMALL), USB_STICK), None,
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def workshop() -> Iterator[VirtualWorkshop]:
    with VirtualWorkshop(load_settings(), machines=4) as made:
        yield made


def build(folder: Path, parts: tuple[Part, ...], meant: int | None) -> tuple[VirtualDisk, ...]:
    """The disks, each with somebody's data on it."""
    made = []
    for number, part in enumerate(parts):
        path, serial = folder / f"part{number}.raw", f"PART-{number}"
        if part.size == 0:
            path.touch()
        elif part.bus is Bus.USB:
            path.write_bytes(os.urandom(part.size))
        else:
            disks.create_donor_disk(path, part.size, serial)
        made.append(
            VirtualDisk(path=path, size_bytes=part.size, bus=part.bus, serial=serial,
                        rotational=part.turns, boots=number == meant)
        )  # fmt: skip
    return tuple(made)


def tile(workshop: VirtualWorkshop, batch: str) -> dict[str, Any]:
    found = list(workshop.station.get("machines", batch=batch))
    return dict(found[0]) if found else {}


def arrived(workshop: VirtualWorkshop, batch: str, *, refused: bool) -> bool:
    seen = tile(workshop, batch)
    if not seen:
        return False
    if refused:
        return bool(seen["needs_hand"])
    assert not seen["needs_hand"], seen["needs_hand"]
    return Milestone(seen["milestone"]).rank >= Milestone.IMAGED.rank


@pytest.mark.parametrize("name", ARRANGEMENTS)
def test_only_the_disk_that_was_meant_is_written(workshop: VirtualWorkshop, name: str) -> None:
    number, rule, parts, meant = ARRANGEMENTS[name]
    machine: Machine = workshop.machines[number]
    built = build(machine.folder, parts, meant)
    machine.change(disks=built)
    before = [disks.sha256(disk.path) for disk in built]
    batch = f"disks-{number}"
    workshop.open_batch(batch, policy={"disk": rule})
    machine.start()
    try:
        wait(lambda: arrived(workshop, batch, refused=meant is None), "its end", 1500)
    finally:
        machine.kill()
        workshop.station.post(f"batches/{batch}/close")
    after = [disks.sha256(disk.path) for disk in built]
    written = [place for place in range(len(built)) if before[place] != after[place]]
    assert written == ([] if meant is None else [meant])
    hardware = workshop.station.get(f"machines/{tile(workshop, batch)['asset_tag']}")["hardware"]
    seen = {disk["serial"] for disk in hardware["disks"]}
    assert {disk.serial for disk in built if disk.size_bytes} <= seen
    if meant is not None:
        assert disks.donor_data(built[meant].path, built[meant].serial) == []
    else:
        said = tile(workshop, batch)["needs_hand"]["message"]
        assert all(disk.serial in said for disk in built)
