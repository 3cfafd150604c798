"""The four PCs of the virtual classroom, as workshops get them: none like another.

    A  BIOS, one SATA SSD, 1 GiB of memory, a dead clock battery, somebody's USB stick
    B  UEFI with Secure Boot on, NVMe, and a second, larger hard disk that is not ours to touch
    C  UEFI without Secure Boot, a virtio disk; the board's maker filled nothing in
    D  32-bit UEFI firmware, SATA; all-placeholder SMBIOS data

Firmware settings, SMBIOS data, network addresses and serials differ; some are the placeholders
of real white-box boards. Each boots from the network first and from its disk second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from provisioner.lab import disks
from provisioner.lab.firmware import Firmware
from provisioner.lab.machine import Bus, Machine, Smbios, VirtualDisk, VirtualPC
from provisioner.lab.network import LabNetwork

FILLER = "To be filled by O.E.M."
MB = 1000 * 1000
USB_STICK_BYTES = 256 * 1024 * 1024


def _whole_sectors(megabytes: int) -> int:
    return megabytes * MB // 4096 * 4096


class Classroom:
    """PCs on a network, with their disks in `folder`; use as a context manager.

    Leaving it switches every machine off. The disks stay in `folder`, which is the caller's.
    """

    def __init__(self, network: LabNetwork, folder: Path, *, count: int = 2) -> None:
        if not 1 <= count <= len(PCS):
            raise ValueError(f"the classroom has 1 to {len(PCS)} machines, not {count}")
        self.network, self.folder, self._count = network, folder, count
        self.machines: list[Machine] = []

    def __enter__(self) -> Classroom:
        for number, describe in enumerate(PCS[: self._count]):
            folder = self.folder / chr(ord("a") + number)
            folder.mkdir(parents=True, exist_ok=True)
            self.machines.append(Machine(describe(folder), self.network, folder, number))
        for disk in self._disks():
            _fill(disk)
        return self

    def __exit__(self, *_: object) -> None:
        for machine in self.machines:
            machine.kill()

    def bystander_digests(self) -> dict[str, str]:
        """SHA-256 of every disk that nobody may write to, by serial."""
        return {disk.serial: disks.sha256(disk.path) for disk in self._disks() if disk.bystander}

    def donor_data_left(self) -> list[str]:
        """Marks of donors on the target disks, in words; empty when all are gone."""
        return [
            f"{disk.serial}: byte {place}"
            for disk in self._disks()
            if not disk.bystander
            for place in disks.donor_data(disk.path, disk.serial)
        ]

    def _disks(self) -> list[VirtualDisk]:
        return [disk for machine in self.machines for disk in machine.pc.disks]


def _fill(disk: VirtualDisk) -> None:
    if disk.path.exists():
        return
    make = disks.create_usb_stick if disk.bus is Bus.USB else disks.create_donor_disk
    make(disk.path, disk.size_bytes, disk.serial)


def pc_a(folder: Path) -> VirtualPC:
    """A seven-year-old office PC whose clock battery is dead."""
    return VirtualPC(
        name="a",
        firmware=Firmware.BIOS,
        memory_mib=1024,
        mac="00:14:22:8a:31:5c",
        nic="e1000",
        clock="2009-01-01T00:00:17",
        disks=(
            VirtualDisk(path=folder / "ssd.raw", bus=Bus.SATA, serial="S16GXA0041739", boots=True,
                        model="SanDisk SSD U110 16GB", size_bytes=_whole_sectors(16_000)),
            VirtualDisk(path=folder / "stick.raw", bus=Bus.USB, serial="4C530001230817119",
                        size_bytes=USB_STICK_BYTES, bystander=True),
        ),
        smbios=(
            _bios("Dell Inc.", "A17", "03/11/2011"),
            _system("Dell Inc.", "OptiPlex 380", "7XK4M4J", "44454c4c-5800-104b-8034-b7c04f4d344a"),
            _board("Dell Inc.", "0HN7XN", "..CN7016606F00QH."),
            _chassis("Dell Inc.", "7XK4M4J"),
        ),
    )  # fmt: skip


def pc_b(folder: Path) -> VirtualPC:
    """A later one with Secure Boot; its second disk is somebody's archive."""
    return VirtualPC(
        name="b",
        firmware=Firmware.UEFI64,
        secure_boot=True,
        memory_mib=1536,
        mac="6c:0b:84:3f:9e:21",
        disks=(
            VirtualDisk(path=folder / "nvme.raw", bus=Bus.NVME, serial="S3EUNX0J403129",
                        boots=True, size_bytes=_whole_sectors(12_000)),
            VirtualDisk(path=folder / "archive.raw", bus=Bus.SATA, serial="WD-WCC6Y7HL2P0N",
                        model="WDC WD5000AAKX-60U6AA0", size_bytes=_whole_sectors(14_000),
                        rotational=True, bystander=True),
        ),
        smbios=(
            _bios("LENOVO", "M1AKT38A", "09/04/2017"),
            _system("LENOVO", "10MQS3N700", "PC0MVJQ2", "9d1f7be6-4c0e-11e8-8f7d-6c0b843f9e21"),
            _board("LENOVO", "310B", FILLER),
            _chassis("LENOVO", "PC0MVJQ2"),
        ),
    )  # fmt: skip


def pc_c(folder: Path) -> VirtualPC:
    """A white box: board, system and chassis say nothing."""
    return VirtualPC(
        name="c",
        firmware=Firmware.UEFI64,
        memory_mib=1024,
        mac="40:8d:5c:b4:77:02",
        disks=(
            VirtualDisk(path=folder / "disk.raw", bus=Bus.VIRTIO, serial="VB0c94e1f7", boots=True,
                        size_bytes=_whole_sectors(10_000)),
        ),
        smbios=(
            _bios("American Megatrends Inc.", "F6", "06/12/2014"),
            _system(FILLER, FILLER, FILLER, "03000200-0400-0500-0006-000700080009"),
            _board("Gigabyte Technology Co., Ltd.", "H81M-S2PV", FILLER),
            _chassis(FILLER, FILLER),
        ),
    )  # fmt: skip


def pc_d(folder: Path) -> VirtualPC:
    """A small PC of the Atom kind: 64-bit processor behind 32-bit firmware."""
    return VirtualPC(
        name="d",
        firmware=Firmware.UEFI32,
        memory_mib=1024,
        mac="00:e0:4c:68:01:d9",
        disks=(
            VirtualDisk(path=folder / "ssd.raw", bus=Bus.SATA, serial="AA000000000000001327",
                        boots=True, model="Generic SATA SSD", size_bytes=_whole_sectors(10_000)),
        ),
        smbios=(
            _bios("INSYDE Corp.", "0.1", "01/01/2013"),
            _system("System manufacturer", "System Product Name", "System Serial Number",
                    "ffffffff-ffff-ffff-ffff-ffffffffffff"),
            _board("Default string", "Default string", "Default string"),
            _chassis("Default string", "0123456789"),
        ),
    )  # fmt: skip


PCS: tuple[Callable[[Path], VirtualPC], ...] = (pc_a, pc_b, pc_c, pc_d)


def _bios(vendor: str, version: str, date: str) -> Smbios:
    return _table(0, vendor=vendor, version=version, date=date)


def _system(maker: str, product: str, serial: str, uuid: str) -> Smbios:
    return _table(1, manufacturer=maker, product=product, serial=serial, uuid=uuid)


def _board(maker: str, product: str, serial: str) -> Smbios:
    return _table(2, manufacturer=maker, product=product, serial=serial)


def _chassis(maker: str, serial: str) -> Smbios:
    return _table(3, manufacturer=maker, serial=serial)


def _table(number: int, **fields: str) -> Smbios:
    return Smbios(type=number, fields=tuple(fields.items()))
