"""A trial and the way back, by the release's own loaders in firmware: an old BIOS, and UEFI with
Secure Boot on. The entries say who they are and switch the machine off, so no kernel is needed.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from provisioner.lab.firmware import Firmware, choose_firmware
from provisioner.model.release import (
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_MOK,
    LOADER_SHIM,
)
from provisioner.release.bios import boot_sector, core_sectors
from provisioner.release.bootenv import pack_env
from provisioner.release.grubcfg import GRUB_ENV, entry_path, first_boot_files, kernel_folder
from provisioner.run import run
from tests.cached_release import cached_release

pytestmark = [pytest.mark.vm, pytest.mark.long]
OLD, NEW = "lab@2026.1", "lab@2026.2"
DISK_BYTES, ESP_SECTOR, ESP_SECTORS, BIOS_LBA = 140 << 20, 4096, 131072, 2048
LAYOUT = f"""label: gpt
start={BIOS_LBA}, size=2048, type=21686148-6449-6e6f-744e-656564454649
start={ESP_SECTOR}, size={ESP_SECTORS}, type=uefi
"""
START_S = 600.0
ENTRY = """\
serial --unit=0 --speed=115200
terminal_output serial
echo "[[{release} $classroom_trial]]"
sleep 1
halt
"""


@pytest.fixture(scope="module")
def loaders() -> Path:
    """The loaders of the lab's system release, from the cache or built now."""
    return cached_release("lab")


class Disk:
    """A disk with two releases that only say their names."""

    def __init__(self, folder: Path, release: Path) -> None:
        self.folder, self.image = folder, folder / "disk.img"
        with self.image.open("wb") as file:
            file.truncate(DISK_BYTES)
        run(["sfdisk", "--quiet", self.image], timeout_s=60, stdin=LAYOUT)
        words = ["mkfs.vfat", "-F", "32", "-s", "1", f"--offset={ESP_SECTOR}"]
        run([*words, self.image, str(ESP_SECTORS // 2)], timeout_s=60)
        self.esp = f"{self.image}@@{ESP_SECTOR * 512}"
        folders = ("/EFI", "/EFI/BOOT", "/EFI/debian", "/releases")
        for path in (*folders, kernel_folder(OLD), kernel_folder(NEW)):
            run(["mmd", "-i", self.esp, f"::{path}"], timeout_s=60)
        for path, data in first_boot_files(OLD, system_uuid="s", state_uuid="t").items():
            self.put(path, data)
        for name in (OLD, NEW):
            self.put(entry_path(name), ENTRY.format(release=name).encode())
        efi = {LOADER_SHIM: "BOOTX64.EFI", LOADER_GRUB: "grubx64.efi", LOADER_MOK: "mmx64.efi"}
        for name, place in efi.items():
            self.put(f"/EFI/BOOT/{place}", (release / name).read_bytes())
        boot_img, core_img = (
            (release / n).read_bytes() for n in (LOADER_BOOT_IMG, LOADER_CORE_IMG)
        )
        with self.image.open("r+b") as file:
            sectors = DISK_BYTES // 512
            file.write(boot_sector(boot_img, core_lba=BIOS_LBA, disk_sectors=sectors))
            file.seek(BIOS_LBA * 512)
            file.write(core_sectors(core_img, first_lba=BIOS_LBA))

    def put(self, path: str, data: bytes) -> None:
        (self.folder / "put").write_bytes(data)
        run(["mcopy", "-o", "-i", self.esp, self.folder / "put", f"::{path}"], timeout_s=60)

    def start(self, firmware: Firmware, *, secure_boot: bool) -> str:
        """What the machine said before it switched itself off."""
        said = self.folder / "said"
        said.unlink(missing_ok=True)
        words = [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-accel", "tcg", "-m", "256", "-no-reboot", "-serial", f"file:{said}",
            *self._board(firmware, secure_boot=secure_boot),
            "-drive", f"if=none,id=disk,format=raw,file={self.image}",
            "-device", "ide-hd,bus=ide.0,drive=disk",
        ]  # fmt: skip
        run(words, timeout_s=START_S)
        found = re.search(r"\[\[(.*?)\]\]", said.read_text(errors="replace"))
        return found[1].strip() if found else said.read_text(errors="replace")[-500:]

    def _board(self, firmware: Firmware, *, secure_boot: bool) -> list[str]:
        files = choose_firmware(firmware, secure_boot=secure_boot)
        if files is None:
            return ["-machine", "q35"]
        variables = self.folder / "variables.fd"
        shutil.copyfile(files.variables, variables)
        secure = ["-global", "driver=cfi.pflash01,property=secure,value=on"] if files.smm else []
        return [
            "-machine", f"q35,smm={'on' if files.smm else 'off'}", *secure,
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={files.code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("firmware", "secure_boot"), [(Firmware.BIOS, False), (Firmware.UEFI64, True)]
)
def test_a_trial_twice_and_then_the_old_release(
    tmp_path: Path, loaders: Path, firmware: Firmware, secure_boot: bool
) -> None:
    disk = Disk(tmp_path, loaders)
    disk.put(GRUB_ENV, pack_env({"good": OLD, "try": NEW, "left": "2"}))
    starts = [disk.start(firmware, secure_boot=secure_boot) for _ in range(4)]
    trial = f"{NEW} classroom.trial=1"
    assert starts == [trial, trial, OLD, OLD]
