"""What a machine is made of, as it tells us itself: untrusted text within limits."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from provisioner.model.base import Mac, Model, ShortText

MAX_DISKS = 64
MAX_NICS = 32


class Firmware(StrEnum):
    """What started the machine, and with which word size."""

    BIOS = "bios"
    UEFI32 = "uefi32"
    UEFI64 = "uefi64"


class Transport(StrEnum):
    """How a disk is attached; what we do not know is never a target by itself."""

    SATA = "sata"
    IDE = "ide"
    NVME = "nvme"
    VIRTIO = "virtio"
    SCSI = "scsi"
    SAS = "sas"
    MMC = "mmc"
    USB = "usb"
    UNKNOWN = "unknown"


class Disk(Model):
    """A block device that holds data. Sizes are in bytes."""

    name: ShortText = Field(description="kernel name, for example sda; it changes between starts")
    serial: ShortText = ""
    wwn: ShortText = ""
    model: ShortText = ""
    size_bytes: int = Field(ge=0, lt=2**63)
    logical_sector_bytes: int = Field(ge=0, le=65536)
    physical_sector_bytes: int = Field(ge=0, le=1048576)
    transport: Transport
    removable: bool
    read_only: bool = False
    rotational: bool = False
    in_use: bool = Field(False, description="mounted, or part of something that is in use")
    content: tuple[ShortText, ...] = Field((), max_length=64, description="signatures found on it")


class DiskRef(Model):
    """Enough to recognise one disk again, whatever name the kernel gives it next time."""

    serial: ShortText
    wwn: ShortText
    model: ShortText
    size_bytes: int = Field(gt=0, lt=2**63)
    transport: Transport

    @classmethod
    def of(cls, disk: Disk) -> DiskRef:
        return cls(
            serial=disk.serial,
            wwn=disk.wwn,
            model=disk.model,
            size_bytes=disk.size_bytes,
            transport=disk.transport,
        )

    def matches(self, disk: Disk) -> bool:
        """Whether `disk` is the one meant: every property must be the same."""
        return self == DiskRef.of(disk)


class Nic(Model):
    """A network interface; `mac` is the permanent address."""

    name: ShortText
    mac: Mac
    driver: ShortText = ""
    usb: bool = False
    wireless: bool = False
    link: bool = False
    speed_mbit: int | None = Field(None, ge=0, le=1_000_000)


class Smbios(Model):
    """What the board's maker wrote, placeholders included: "To be filled by O.E.M." is common."""

    uuid: ShortText = ""
    system_vendor: ShortText = ""
    system_product: ShortText = ""
    system_serial: ShortText = ""
    board_vendor: ShortText = ""
    board_product: ShortText = ""
    board_serial: ShortText = ""
    chassis_serial: ShortText = ""
    chassis_type: ShortText = ""
    bios_vendor: ShortText = ""
    bios_version: ShortText = ""
    bios_date: ShortText = ""


class Hardware(Model):
    """One machine as it registered."""

    smbios: Smbios
    firmware: Firmware
    secure_boot: bool | None = Field(None, description="None where the firmware has no such thing")
    cpu: ShortText = ""
    cpu_threads: int = Field(ge=0, le=4096)
    memory_mib: int = Field(ge=0, le=2**24)
    disks: tuple[Disk, ...] = Field((), max_length=MAX_DISKS)
    nics: tuple[Nic, ...] = Field((), max_length=MAX_NICS)
