"""What this machine is made of: sysfs, procfs, lsblk and ethtool read into one value."""

from __future__ import annotations

import re
from pathlib import Path

from provisioner.agent.lsblk import read_disks
from provisioner.agent.nic import read_nics
from provisioner.agent.text import clean, read_int, read_line
from provisioner.model.hardware import Firmware, Hardware, Smbios

ROOT = Path("/")
# Attributes (4 bytes) and one byte of value; UEFI specification, "SecureBoot" global variable
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
MIB = 1024 * 1024
_DMI_FILES = {
    "uuid": "product_uuid",
    "system_vendor": "sys_vendor",
    "system_product": "product_name",
    "system_serial": "product_serial",
    "board_vendor": "board_vendor",
    "board_product": "board_name",
    "board_serial": "board_serial",
    "chassis_serial": "chassis_serial",
    "chassis_type": "chassis_type",
    "bios_vendor": "bios_vendor",
    "bios_version": "bios_version",
    "bios_date": "bios_date",
}


def read_hardware(root: Path = ROOT) -> Hardware:
    """Everything that is told at registration, read now. Raises CommandError without lsblk."""
    cpu, threads = parse_cpuinfo(_text(root / "proc/cpuinfo"))
    return Hardware(
        smbios=read_smbios(root),
        firmware=read_firmware(root),
        secure_boot=read_secure_boot(root),
        cpu=cpu,
        cpu_threads=threads,
        memory_mib=read_memory_mib(root),
        disks=read_disks(),
        nics=read_nics(root),
    )


def read_smbios(root: Path = ROOT) -> Smbios:
    """What the kernel decoded of the firmware's tables, placeholders included."""
    folder = root / "sys/class/dmi/id"
    return Smbios(**{field: read_line(folder / name) for field, name in _DMI_FILES.items()})


def read_firmware(root: Path = ROOT) -> Firmware:
    """What started this machine, and with which word size."""
    efi = root / "sys/firmware/efi"
    if not efi.is_dir():
        return Firmware.BIOS
    narrow = read_int(efi / "fw_platform_size") == 32
    return Firmware.UEFI32 if narrow else Firmware.UEFI64


def read_secure_boot(root: Path = ROOT) -> bool | None:
    """Whether Secure Boot is on; None where the firmware has no such thing."""
    try:
        return parse_secure_boot((root / SECURE_BOOT).read_bytes())
    except OSError:
        return None


def parse_secure_boot(value: bytes) -> bool | None:
    """The variable as efivarfs shows it; None when it has an unknown form."""
    return value[4] == 1 if len(value) == 5 and value[4] in (0, 1) else None


def parse_cpuinfo(text: str) -> tuple[str, int]:
    """The processor's name and the number of threads."""
    names = re.findall(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    threads = len(re.findall(r"^processor\s*:", text, re.MULTILINE))
    return clean(names[0]) if names else "", min(threads, 4096)


def parse_meminfo(text: str, field: str = "MemTotal") -> int:
    """A figure of /proc/meminfo in MiB. MemTotal is less than what is plugged in."""
    match = re.search(rf"^{field}:\s*(\d{{1,15}}) kB", text, re.MULTILINE)
    return min(int(match[1]) // 1024, 2**24) if match else 0


def choose_memory_mib(usable_mib: int, blocks_mib: int) -> int:
    """What is plugged in: the kernel's memory blocks, where they are plausible.

    MemTotal lacks what kernel and firmware keep (a 1024 MiB machine shows some 970); the
    memory blocks are whole, but may count a hole, so they are believed within an eighth.
    """
    plausible = usable_mib <= blocks_mib <= usable_mib * 9 // 8 + 128
    return blocks_mib if plausible else usable_mib


def read_memory_mib(root: Path = ROOT) -> int:
    """Installed memory in MiB, without what an on-board graphics card keeps for itself."""
    folder = root / "sys/devices/system/memory"
    try:
        block = int(read_line(folder / "block_size_bytes") or "0", 16)
    except ValueError:
        block = 0
    online = sum(read_line(path) == "online" for path in folder.glob("memory*/state"))
    return choose_memory_mib(parse_meminfo(_text(root / "proc/meminfo")), online * block // MIB)


def _text(path: Path) -> str:
    """A file of procfs; at most 4 MiB of it."""
    try:
        with path.open("rb") as file:
            return file.read(4 * MIB).decode("utf-8", "replace")
    except OSError:
        return ""
