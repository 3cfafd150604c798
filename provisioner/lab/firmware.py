"""Which firmware a virtual PC has, and the files QEMU needs for it.

UEFI comes from Debian's `ovmf` and `ovmf-ia32`. With Secure Boot on, the variable store already
holds Microsoft's keys, as on a PC from a shop, and the flash may only be written from system
management mode, so that a running system cannot switch it off.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from provisioner.errors import StationError
from provisioner.model.base import Model
from provisioner.model.hardware import Firmware

OVMF = Path("/usr/share/OVMF")

__all__ = ["Firmware", "FirmwareFiles", "choose_firmware", "prepare_variables"]


class FirmwareFiles(Model):
    """UEFI's code, the template of its variables, and whether the code relies on SMM."""

    code: Path
    variables: Path
    smm: bool


def choose_firmware(
    firmware: Firmware, *, secure_boot: bool, folder: Path = OVMF
) -> FirmwareFiles | None:
    """The files for a UEFI machine; None for BIOS, which QEMU brings itself.

    Raises ValueError for a combination that no PC has.
    """
    if firmware is Firmware.BIOS:
        if secure_boot:
            raise ValueError("a BIOS machine has no Secure Boot")
        return None
    if firmware is Firmware.UEFI32:
        if secure_boot:
            raise ValueError("there is no 32-bit shim that Microsoft signed for Debian 13")
        return FirmwareFiles(
            code=folder / "OVMF32_CODE_4M.secboot.fd",
            variables=folder / "OVMF32_VARS_4M.fd",
            smm=True,
        )
    if secure_boot:
        return FirmwareFiles(
            code=folder / "OVMF_CODE_4M.ms.fd", variables=folder / "OVMF_VARS_4M.ms.fd", smm=True
        )
    return FirmwareFiles(
        code=folder / "OVMF_CODE_4M.fd", variables=folder / "OVMF_VARS_4M.fd", smm=False
    )


def prepare_variables(files: FirmwareFiles, target: Path) -> None:
    """Give a machine its own variable store once; later starts keep what it remembers.

    Raises StationError when the firmware's package is not installed.
    """
    for path in (files.code, files.variables):
        if not path.is_file():
            package = "ovmf-ia32" if "OVMF32" in path.name else "ovmf"
            raise StationError(f"{path} is missing.", f"Run: apt-get install {package}")
    if not target.exists():
        shutil.copyfile(files.variables, target)
