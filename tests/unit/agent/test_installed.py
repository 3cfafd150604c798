"""Finding an installed machine's own disk, from what its kernel was told and has mounted."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.agent.field import find_installed
from provisioner.agent.installed import esp_device
from provisioner.errors import ProofMissingError

LINE = ("BOOT_IMAGE=/x boot=classroom release=lab@2026.1 system=UUID=a state=UUID=b panic=20 "
        "{}console=ttyS0,115200 quiet\n")  # fmt: skip
MOUNTED = "30 25 8:3 / /run/classroom/system ro,relatime - ext4 /dev/sda3 ro\n"


def test_what_the_kernel_was_told() -> None:
    machine = find_installed(LINE.format("classroom.trial=1 "))
    assert (machine.running, machine.trial) == ("lab@2026.1", True)
    assert machine.arguments == "console=ttyS0,115200 quiet"  # and no more: the rest is made anew
    assert not find_installed(LINE.format("")).trial


def make_sys(folder: Path, *names: str) -> Path:
    """sda with three partitions, as sysfs shows them."""
    disk = folder / "devices/sda"
    for number, name in enumerate(names, 1):
        part = disk / f"sda{number}"
        part.mkdir(parents=True)
        (part / "uevent").write_text(f"DEVNAME=sda{number}\nPARTN={number}\nPARTNAME={name}\n")
    (folder / "dev/block").mkdir(parents=True)
    (folder / "dev/block/8:3").symlink_to(disk / "sda3")
    return folder


def test_the_partition_is_on_the_disk_that_the_system_runs_from(tmp_path: Path) -> None:
    sys = make_sys(tmp_path, "bios", "ESP", "system")
    found = esp_device(MOUNTED, Path("/run/classroom/system"), sys)
    assert found == Path("/dev/sda2")


def test_a_disk_without_one_is_not_guessed_at(tmp_path: Path) -> None:
    sys = make_sys(tmp_path, "bios", "data", "system")
    with pytest.raises(ProofMissingError):
        esp_device(MOUNTED, Path("/run/classroom/system"), sys)
    with pytest.raises(ProofMissingError):
        esp_device("", Path("/run/classroom/system"), sys)
