"""What a power cut left: judged by other programs than those that wrote it.

GRUB says which system it would start (grub-emu), mtools and debugfs read the files, coreutils and
the signed manifests say whether they are right, fsck whether the file systems are. A disk that
nothing would start is well while it is being imaged (the machine starts from the network and
begins anew), and a brick afterwards.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_SHIM,
    MANIFEST,
    SYSTEM,
    Manifest,
)
from provisioner.model.signed import open_envelope
from provisioner.release.bios import SECTOR, core_sectors
from provisioner.release.grubcfg import kernel_folder
from provisioner.run import run
from tests import real_grub
from tests.integration.side_world import SideWorld
from tests.powercuts.in_guest import DRAWING
from tests.powercuts.record import DRAWING as DRAWN
from tests.powercuts.write_log import copy_sparse

TOOL_S = 300
ENTRY_BYTES, ENTRIES = 128, 128


@dataclass(frozen=True)
class Verdict:
    """`started`: a release, or nothing for a machine that would start from the network."""

    started: str
    trial: bool
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    start: int
    size: int


class Judge:
    """Looks at disks; `folder` is for what it takes out of them."""

    def __init__(self, world: SideWorld, folder: Path) -> None:
        self._world, self._folder = world, folder
        folder.mkdir(parents=True, exist_ok=True)

    def look(self, disk: Path, *, imaging: bool) -> Verdict:
        parts = partitions(disk)
        if len(parts) != 4:
            return self._nothing(imaging, "there is no partition table")
        esp = self._folder / "esp.img"
        copy_sparse(disk, esp, parts[1].start, parts[1].size)
        if not self._startable(disk, parts[0], esp):
            return self._nothing(imaging, "no loader can be started")
        problems = self._mended(esp)
        found = real_grub.start(esp, self._folder / "grub")
        if not found.release:
            return Verdict("", False, (*problems, f"GRUB starts nothing: {found.said[-300:]}"))
        problems += self._release(disk, parts, esp, found.release)
        if found.trial:  # whatever becomes of it, this one is next
            problems += self._release(disk, parts, esp, self._after_trial(esp))
        if not imaging:
            problems += self._pupils_file(disk, parts[3])
        return Verdict(found.release, found.trial, tuple(problems))

    def _nothing(self, imaging: bool, why: str) -> Verdict:
        return Verdict("", False, () if imaging else (why,))

    def _startable(self, disk: Path, bios: Part, esp: Path) -> bool:
        return self._by_bios(disk, bios) or self._read(esp, "/EFI/BOOT/BOOTX64.EFI") is not None

    def _by_bios(self, disk: Path, bios: Part) -> bool:
        with disk.open("rb") as file:
            return any(file.read(440))

    def _mended(self, esp: Path) -> list[str]:
        """What a machine does before it writes there again must not make anything worse."""
        done = run(["fsck.vfat", "-a", esp], timeout_s=TOOL_S, check=False)
        again = run(["fsck.vfat", "-n", esp], timeout_s=TOOL_S, check=False)
        if done.code > 1 or again.code != 0:
            return [f"the FAT cannot be mended: {again.stdout[-300:]}"]
        return []

    def _after_trial(self, esp: Path) -> str:
        for _ in range(3):
            found = real_grub.start(esp, self._folder / "grub")
            if not found.trial:
                return found.release
        return ""

    def _release(self, disk: Path, parts: list[Part], esp: Path, release: str) -> list[str]:
        """Everything of a release that is started, against the manifest that our key signed."""
        if not release:
            return ["GRUB does not come back from a trial"]
        path = self._world.catalog.folder(release) / MANIFEST
        manifest, _ = open_envelope(path.read_bytes(), Manifest, trusted=self._world.key)
        problems = self._loaders(disk, parts[0], esp, manifest)
        for name in (KERNEL, INITRD):
            found = self._read(esp, f"{kernel_folder(release)}/{name}")
            if found is None or _sha256(found) != manifest.file(name).sha256:
                problems.append(f"{release}: {name} is not right")
        return problems + self._system(disk, parts[2], manifest)

    def _loaders(self, disk: Path, bios: Part, esp: Path, manifest: Manifest) -> list[str]:
        """A loader that firmware would start is whole."""
        problems = []
        if self._read(esp, "/EFI/BOOT/BOOTX64.EFI") is not None:
            for name, place in ((LOADER_SHIM, "BOOTX64.EFI"), (LOADER_GRUB, "grubx64.efi")):
                found = self._read(esp, f"/EFI/BOOT/{place}")
                if found is None or _sha256(found) != manifest.file(name).sha256:
                    problems.append(f"{place} is not right")
        if self._by_bios(disk, bios):
            core = (self._world.catalog.folder(manifest.id) / LOADER_CORE_IMG).read_bytes()
            with disk.open("rb") as file:
                lba = struct.unpack_from("<Q", file.read(SECTOR), 0x5C)[0]
                file.seek(lba * SECTOR)
                wanted = core_sectors(core, first_lba=lba)
                if file.read(len(wanted)) != wanted:
                    problems.append("the first sector starts a loader that is not whole")
        return problems

    def _system(self, disk: Path, part: Part, manifest: Manifest) -> list[str]:
        where, out = self._taken(disk, part, "system"), self._folder / "system.squashfs"
        # as the kernel does when it mounts: the journal, and nothing else
        run(["e2fsck", "-E", "journal_only", "-y", where], timeout_s=TOOL_S, check=False)
        problems = []
        for moment in ("after the journal", "after fsck"):
            path = f"/releases/{manifest.id}/{SYSTEM}"
            right = manifest.file(SYSTEM).sha256
            if not dumped(where, path, out) or _sha256(out.read_bytes()) != right:
                problems.append(f"{manifest.id}: the system is not right {moment}")
            problems += mended_ext4(where)
        return problems

    def _pupils_file(self, disk: Path, part: Part) -> list[str]:
        where, out = self._taken(disk, part, "state"), self._folder / "drawing"
        if problems := mended_ext4(where):
            return problems
        if not dumped(where, f"/{DRAWING}", out) or out.read_text() != DRAWN:
            return ["the pupil's file is gone"]
        return []

    def _taken(self, disk: Path, part: Part, name: str) -> Path:
        """A partition as a file of its own: e2fsck forgets an offset once it has replayed."""
        image = self._folder / f"{name}.img"
        copy_sparse(disk, image, part.start, part.size)
        return image

    def _read(self, esp: Path, path: str) -> bytes | None:
        target = self._folder / "file"
        target.unlink(missing_ok=True)
        run(["mcopy", "-n", "-o", "-i", esp, f"::{path}", target], timeout_s=TOOL_S, check=False)
        return target.read_bytes() if target.exists() else None


def partitions(disk: Path) -> list[Part]:
    """The entries of the first GPT (UEFI specification 5.3) that hold something."""
    with disk.open("rb") as file:
        file.seek(SECTOR)
        if file.read(8) != b"EFI PART":
            return []
        file.seek(2 * SECTOR)
        table = file.read(ENTRY_BYTES * ENTRIES)
    found = []
    for at in range(0, len(table), ENTRY_BYTES):
        if any(table[at : at + 16]):
            first, last = struct.unpack_from("<QQ", table, at + 32)
            found.append(Part(first * SECTOR, (last - first + 1) * SECTOR))
    return found


def mended_ext4(where: Path) -> list[str]:
    """A mounted file system's counts and its mark of orphans are behind when the power fails; what
    fsck does about it must leave nothing to be done."""
    run(["e2fsck", "-f", "-y", where], timeout_s=TOOL_S, check=False)
    looked = run(["e2fsck", "-f", "-n", where], timeout_s=TOOL_S, check=False)
    return [f"ext4 cannot be mended: {looked.stdout[-300:]}"] if looked.code else []


def dumped(where: Path, path: str, out: Path) -> bool:
    out.unlink(missing_ok=True)
    run(["debugfs", "-R", f"dump {path} {out}", where], timeout_s=TOOL_S, check=False)
    return out.exists()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
