"""Mounting the target's file systems, and proving that the right device is mounted there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, ProofMissingError
from provisioner.run import run

ROOT = Path("/run/classroom-imaging")
MOUNTINFO = Path("/proc/self/mountinfo")
# ext4 would begin at once to zero its inode tables (`partition.format_command` left that to the
# first start), while a slow disk has a release to write.
OPTIONS = {
    "vfat": "noatime,umask=0077,shortname=mixed",
    "ext4": "noatime,nodev,nosuid,noinit_itable",
}


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    device: tuple[int, int]
    root: str
    point: str
    options: frozenset[str]
    kind: str


def parse_mountinfo(text: str) -> list[Mount]:
    """Format: Documentation/filesystems/proc.rst, section 3.5."""
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        words, more = before.split(), after.split()
        if len(words) < 6 or not more:
            continue
        major, _, minor = words[2].partition(":")
        found.append(
            Mount((int(major), int(minor)), words[3], _plain(words[4]),
                  frozenset(words[5].split(",")), more[0])
        )  # fmt: skip
    return found


def mounts_below(root: Path, text: str) -> list[str]:
    """Mount points at or below `root`, deepest last mounted first."""
    inside = [mount.point for mount in parse_mountinfo(text)]
    return [p for p in reversed(inside) if p == str(root) or p.startswith(f"{root}/")]


@contextlib.contextmanager
def mounted(device: Path, kind: str, name: str, *, read_only: bool = False) -> Iterator[Path]:
    """`device` at ROOT/name, proved; unmounted and that proved at the end."""
    point = ROOT / name
    point.mkdir(parents=True, exist_ok=True)
    options = f"{'ro' if read_only else 'rw'},{OPTIONS[kind]}"
    run(["mount", "-t", kind, "-o", options, device, point], timeout_s=120)
    try:
        status = device.stat()
        number = (os.major(status.st_rdev), os.minor(status.st_rdev))
        prove_mounted(MOUNTINFO.read_text(), point, number, kind, read_only)
        yield point
    finally:
        unmount(point)


def prove_mounted(
    text: str, point: Path, device: tuple[int, int], kind: str, read_only: bool
) -> None:
    """Raises ProofMissingError unless exactly `device` is what one finds at `point`."""
    here = [mount for mount in parse_mountinfo(text) if mount.point == str(point)]
    if not here or (here[-1].device, here[-1].root, here[-1].kind) != (device, "/", kind):
        raise ProofMissingError(
            f"The disk is not mounted at {point}, so nothing was written there.",
            "Restart this machine and try again.",
        )
    if read_only != ("ro" in here[-1].options):
        raise ProofMissingError(f"{point} is mounted in the wrong mode.", "Restart and try again.")


def unmount(point: Path, tries: int = 10) -> None:
    """Unmount and prove it. Raises ProofMissingError when it stays."""
    for _ in range(tries):
        if not mounts_below(point, MOUNTINFO.read_text()):
            return
        run(["umount", point], timeout_s=300, check=False)
        if not mounts_below(point, MOUNTINFO.read_text()):
            return
        time.sleep(0.5)
    raise ProofMissingError(
        f"{point} cannot be unmounted, so it is not sure what is on the disk.",
        "Restart this machine and try again.",
    )


def release_leftovers() -> None:
    """Unmount what an agent that was killed left behind in this same system."""
    for point in mounts_below(ROOT, MOUNTINFO.read_text()):
        with contextlib.suppress(CommandError):
            run(["umount", point], timeout_s=300, check=False)


def _plain(word: str) -> str:
    """mountinfo writes blanks and backslashes as octal escapes."""
    return word.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")
