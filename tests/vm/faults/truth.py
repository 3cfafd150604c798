"""What is true about a medium: asked with cmp, sfdisk, mount and fsck, never with our own code.

Everything is read from the medium itself (a plain file), not through the disk that lies.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.vm.faults.shaky_disk import loop_device

LABELS = ("bios", "ESP", "system", "state")


def is_blank(medium: Path, size: int) -> bool:
    """Whether `size` bytes of zeros lie there."""
    return _ok("cmp", "--silent", f"--bytes={size}", medium, "/dev/zero")


def why_not_installed(
    medium: Path, folder: Path, wanted: Mapping[tuple[str, str], Path], sector: int = 512
) -> list[str]:
    """What is not as the release wants it. `wanted`: (partition, path there) to the right file."""
    wrong = []
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(_looped(medium, sector=sector))
        table = _partitions(whole)
        if table is None or tuple(name for name, _, _ in table) != LABELS:
            return [f"the partition table shows {table}"]
        for label, start, size in table[1:]:
            device = stack.enter_context(
                _looped(medium, start=start * sector, size=size * sector, sector=sector)
            )
            files = {path: file for (where, path), file in wanted.items() if where == label}
            wrong += [f"{label}: {reason}" for reason in _why_not_held(device, folder, files)]
    return wrong


def core_lies_there(medium: Path, core: Path, sector: int = 512) -> bool:
    """Whether GRUB's core image, but for the list in its first sector, is in its partition."""
    with _looped(medium, sector=sector) as whole:
        table = _partitions(whole)
    if not table:
        return False
    start, size = table[0][1] * sector, core.stat().st_size
    skip = ["--ignore-initial", f"{start + 512}:512"]
    return _ok("cmp", "--silent", *skip, f"--bytes={size - 512}", medium, core)


def _partitions(device: Path) -> list[tuple[str, int, int]] | None:
    """Name, start and length (sectors) of each partition, as sfdisk reads them."""
    told = subprocess.run(["sfdisk", "--json", device], capture_output=True, check=False)
    if told.returncode:
        return None
    rows = json.loads(told.stdout)["partitiontable"].get("partitions", [])
    return [(row.get("name", ""), row["start"], row["size"]) for row in rows]


def _why_not_held(device: Path, folder: Path, files: Mapping[str, Path]) -> list[str]:
    told = ["blkid", "--output", "value", "--match-tag", "TYPE", "--probe", str(device)]
    if subprocess.run(told, capture_output=True, check=False, text=True).stdout.strip() == "vfat":
        return _why_not_on_fat(device, folder, files)
    if not _ok("fsck.ext4", "-f", "-n", device):
        return ["the file system is not sound"]
    point = folder / "truth"
    point.mkdir(exist_ok=True)
    if not _ok("mount", "-t", "ext4", "-o", "ro,noload", device, point):
        return ["the file system cannot be mounted"]
    try:
        return [f"{path} differs" for path, file in files.items()
                if not _ok("cmp", "--silent", point / path, file)]  # fmt: skip
    finally:
        subprocess.run(["umount", point], check=True)


def _why_not_on_fat(device: Path, folder: Path, files: Mapping[str, Path]) -> list[str]:
    """With mtools: not every kernel knows FAT."""
    if not _ok("fsck.vfat", "-n", device):
        return ["the file system is not sound"]
    wrong, copy = [], folder / "copy"
    for path, file in files.items():
        copy.unlink(missing_ok=True)
        read = _ok("mcopy", "-n", "-i", device, f"::/{path}", copy)
        if not read or not _ok("cmp", "--silent", copy, file):
            wrong.append(f"{path} differs")
    return wrong


@contextlib.contextmanager
def _looped(medium: Path, start: int = 0, size: int = 0, sector: int = 512) -> Iterator[Path]:
    device = loop_device(medium, start=start, size=size, sector=sector, read_only=True)
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=False)


def _ok(*words: object) -> bool:
    done = subprocess.run([str(word) for word in words], capture_output=True, check=False)
    return done.returncode == 0
