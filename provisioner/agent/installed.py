"""The disk that an installed machine runs from: its releases, its loader, its own files.

In service the releases and the EFI system partition are read-only; `writable` opens both for
as long as a renewal works on them. Everything is found from what the kernel has mounted, never
by a label that a second disk might carry as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent import layout
from provisioner.agent.mounting import MOUNTINFO, OPTIONS, Mount, parse_mountinfo
from provisioner.errors import ProofMissingError
from provisioner.run import run

CLASSROOM = Path("/run/classroom")  # made by the initramfs: system, state, release
SYSTEM, STATE, ESP = CLASSROOM / "system", CLASSROOM / "state", CLASSROOM / "esp"
SYS = Path("/sys")
# What a power cut may leave on a FAT is mended before it is written to again.
MEND_S = 120


@dataclass(frozen=True)
class Installed:
    """Where things are on this machine. `running` is the release that runs, from the kernel's
    command line; `trial` whether the loader is only trying it."""

    running: str
    trial: bool
    arguments: str
    system: Path = SYSTEM
    state: Path = STATE
    esp: Path = ESP

    @contextlib.contextmanager
    def writable(self) -> Iterator[Mapping[str, Path]]:
        """Both file systems, writable, by label."""
        device = esp_device(MOUNTINFO.read_text(), self.system)
        with _remounted(self.system), _esp(device, self.esp):
            yield {layout.SYSTEM: self.system, layout.ESP: self.esp}

    @contextlib.contextmanager
    def loader(self) -> Iterator[Path]:
        """The EFI system partition alone, writable."""
        with _esp(esp_device(MOUNTINFO.read_text(), self.system), self.esp):
            yield self.esp


def show_esp(machine: Installed) -> None:
    """Mount the EFI system partition read-only, so that the classroom may take kernels from it."""
    if not _mounted(machine.esp):
        _mount(esp_device(MOUNTINFO.read_text(), machine.system), machine.esp, "ro")


def esp_device(mountinfo: str, system: Path, sys: Path = SYS) -> Path:
    """The EFI system partition of the disk that `system` is mounted from.

    Raises ProofMissingError when that disk has no partition of that name.
    """
    here = [mount for mount in parse_mountinfo(mountinfo) if mount.point == str(system)]
    if here:
        major, minor = here[-1].device
        disk = (sys / f"dev/block/{major}:{minor}").resolve().parent
        for found in sorted(disk.glob("*/uevent")):
            words = dict(line.partition("=")[::2] for line in found.read_text().splitlines())
            if words.get("PARTNAME") == layout.ESP:
                return Path("/dev") / words["DEVNAME"]
    raise ProofMissingError(
        "This machine's EFI system partition cannot be found.", "Restart it and try again."
    )


def _mounted(point: Path) -> Mount | None:
    here = [m for m in parse_mountinfo(MOUNTINFO.read_text()) if m.point == str(point)]
    return here[-1] if here else None


@contextlib.contextmanager
def _remounted(point: Path) -> Iterator[None]:
    run(["mount", "-o", "remount,rw", point], timeout_s=MEND_S)
    try:
        yield
    finally:
        os.sync()
        run(["mount", "-o", "remount,ro", point], timeout_s=MEND_S)


@contextlib.contextmanager
def _esp(device: Path, point: Path) -> Iterator[None]:
    _unmount(point)
    # its exit code says whether there was something to mend, not whether it is right now
    run(["fsck.vfat", "-a", device], timeout_s=MEND_S, check=False)
    _mount(device, point, "rw")
    try:
        yield
    finally:
        _unmount(point)
        _mount(device, point, "ro")


def _mount(device: Path, point: Path, mode: str) -> None:
    point.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "vfat", "-o", f"{mode},{OPTIONS['vfat']}", device, point], timeout_s=60)


def _unmount(point: Path) -> None:
    if _mounted(point):
        run(["umount", point], timeout_s=MEND_S)
