"""The QEMU command line is the PC: what a description says must stand in it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.classroom import PCS
from provisioner.lab.machine import Bus, Smbios, VirtualDisk, VirtualPC, Wiring, qemu_command
from provisioner.model.hardware import Firmware

WIRING = Wiring(
    tap="tap0", serial_log=Path("/x/serial.log"), qmp_socket=Path("/x/q"), variables=Path("/x/v")
)


def disk(bus: Bus, **changes: Any) -> VirtualDisk:
    return VirtualDisk(path=Path("/x/d"), size_bytes=512, bus=bus, serial="S1", **changes)


def pc(**changes: Any) -> VirtualPC:
    values = {"name": "pc", "firmware": Firmware.BIOS, "mac": "52:54:00:00:00:01"}
    return VirtualPC.model_validate({**values, **changes})


def option(command: list[str], name: str) -> list[str]:
    """Every value of one option."""
    return [value for key, value in pairwise(command) if key == name]


def device(command: list[str], kind: str) -> str:
    return next(value for value in option(command, "-device") if value.startswith(kind))


def test_network_comes_first_and_the_disk_second() -> None:
    command = qemu_command(pc(disks=(disk(Bus.SATA, boots=True),)), WIRING)
    assert "bootindex=0" in device(command, "virtio-net-pci")
    assert "bootindex=1" in device(command, "ide-hd")


def test_secure_boot_needs_protected_flash_and_microsofts_keys() -> None:
    command = qemu_command(pc(firmware=Firmware.UEFI64, secure_boot=True), WIRING)
    assert option(command, "-machine") == ["q35,smm=on"]
    assert "driver=cfi.pflash01,property=secure,value=on" in option(command, "-global")
    assert any("OVMF_CODE_4M.ms.fd" in drive for drive in option(command, "-drive"))


def test_secure_boot_is_not_on_by_mistake() -> None:
    command = qemu_command(pc(firmware=Firmware.UEFI64), WIRING)
    assert any("OVMF_CODE_4M.fd" in drive for drive in option(command, "-drive"))


def test_uefi_uses_the_firmwares_network_driver_and_bios_the_cards() -> None:
    """QEMU's option ROM breaks shim's second download; a BIOS has nothing else."""
    uefi = qemu_command(pc(firmware=Firmware.UEFI64), WIRING)
    bios = qemu_command(pc(nic="e1000"), WIRING)
    assert device(uefi, "virtio-net-pci").endswith("romfile=")
    assert "romfile" not in device(bios, "e1000")


def test_a_bios_has_no_secure_boot() -> None:
    with pytest.raises(ValueError, match="no Secure Boot"):
        qemu_command(pc(secure_boot=True), WIRING)


@pytest.mark.parametrize(
    ("bus", "word"),
    [
        (Bus.SATA, "ide-hd,bus=ide.0"),
        (Bus.IDE, "ide-hd,bus=ide.0,unit=0"),
        (Bus.NVME, "nvme,"),
        (Bus.VIRTIO, "virtio-blk-pci,"),
        (Bus.USB, "usb-storage,bus=xhci.0,removable=on"),
    ],
)
def test_disks_are_attached_as_described(bus: Bus, word: str) -> None:
    devices = option(qemu_command(pc(disks=(disk(bus),)), WIRING), "-device")
    found = next(value for value in devices if "drive=disk0" in value)
    assert found.startswith(word)
    assert "serial=S1" in found


def test_only_a_hard_disk_turns() -> None:
    assert "rotation_rate=7200" in device(
        qemu_command(pc(disks=(disk(Bus.SATA, rotational=True),)), WIRING), "ide-hd"
    )
    assert "rotation_rate=1," in device(
        qemu_command(pc(disks=(disk(Bus.SATA, boots=True),)), WIRING), "ide-hd"
    )


def test_a_comma_in_a_value_does_not_end_it() -> None:
    tables = (Smbios(type=1, fields=(("manufacturer", "Gigabyte Co., Ltd."),)),)
    command = qemu_command(pc(smbios=tables), WIRING)
    assert option(command, "-smbios") == ["type=1,manufacturer=Gigabyte Co.,, Ltd."]


def test_a_dead_clock_battery() -> None:
    command = qemu_command(pc(clock="2009-01-01T00:00:00"), WIRING)
    assert option(command, "-rtc") == ["base=2009-01-01T00:00:00"]


def test_the_classroom_is_the_one_of_the_issue(tmp_path: Path) -> None:
    a, b, c, d = (describe(tmp_path) for describe in PCS)
    assert (a.firmware, a.memory_mib) == (Firmware.BIOS, 1024)
    assert [item.bus for item in a.disks] == [Bus.SATA, Bus.USB]
    assert 15.9e9 < a.disks[0].size_bytes < 16.1e9
    assert (b.firmware, b.secure_boot) == (Firmware.UEFI64, True)
    assert [item.bus for item in b.disks] == [Bus.NVME, Bus.SATA]
    assert b.disks[1].size_bytes > b.disks[0].size_bytes and b.disks[1].bystander
    assert (c.firmware, c.secure_boot, c.disks[0].bus) == (Firmware.UEFI64, False, Bus.VIRTIO)
    assert d.firmware is Firmware.UEFI32


def test_no_two_machines_are_alike(tmp_path: Path) -> None:
    pcs = [describe(tmp_path) for describe in PCS]
    serials = [item.serial for one in pcs for item in one.disks]
    assert len({one.mac for one in pcs}) == len(pcs)
    assert len(set(serials)) == len(serials)
    assert len({str(one.smbios) for one in pcs}) == len(pcs)


def test_a_disk_that_fails_and_one_with_large_sectors() -> None:
    odd = disk(Bus.VIRTIO, faults=Path("/x/f,1"), sector_bytes=4096)
    words = " ".join(qemu_command(pc(disks=(odd,)), WIRING))
    assert "file=blkdebug:/x/f,,1:/x/d" in words
    assert "logical_block_size=4096,physical_block_size=4096" in words
    plain = " ".join(qemu_command(pc(disks=(disk(Bus.VIRTIO),)), WIRING))
    assert "file=/x/d" in plain
    assert "block_size" not in plain
