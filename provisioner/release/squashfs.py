"""Packing a tree into a squashfs that comes out the same, byte for byte, each time."""

from __future__ import annotations

import struct
from pathlib import Path

from provisioner.errors import CommandError, ProofMissingError
from provisioner.run import run
from provisioner.swarm.zstd import LIBRARY, Zstd

PACK_S = 7200
LIBRARY_FOLDER = "usr/lib/x86_64-linux-gnu"
# Superblock of squashfs 4.0: magic, inodes, time, block size, fragments, compressor, …, bytes used
_SUPER = struct.Struct("<IIIIIHHHHHHQQ")
_MAGIC, _ZSTD = 0x73717368, 6


def pack(
    root: Path, out: Path, *, level: int, block_kib: int, epoch: int, library: Path | None = None
) -> None:
    """Pack `root` with zstd; no time in it is later than `epoch` (seconds since 1970).

    Times before it stay: Python's compiled files name their source's time. `library` is the
    libzstd to pack with, when it is not the station's: who has the same one can pack the same
    blocks again, which patches build on (`swarm.patching`). Raises ProofMissingError when what
    came out is not such a file.
    """
    run(
        [
            "mksquashfs", root, out, "-noappend", "-no-progress", "-no-exports",
            "-comp", "zstd", "-Xcompression-level", str(level), "-b", f"{block_kib}K",
        ],
        timeout_s=PACK_S,
        env={"SOURCE_DATE_EPOCH": str(epoch), **({"LD_PRELOAD": str(library)} if library else {})},
    )  # fmt: skip
    check(out, block_kib=block_kib, epoch=epoch)


def check(path: Path, *, block_kib: int, epoch: int) -> None:
    """Look at the superblock: what was asked for, and nothing cut off."""
    if not path.is_file():
        raise ProofMissingError(f"{path.name} was not packed.", "Look at mksquashfs's own message.")
    with path.open("rb") as file:
        start = file.read(_SUPER.size)
    size = path.stat().st_size
    fields = _SUPER.unpack(start) if len(start) == _SUPER.size else (0,) * 13
    if (fields[0], fields[2], fields[3], fields[5]) != (_MAGIC, epoch, block_kib * 1024, _ZSTD):
        raise ProofMissingError(f"{path.name} is not the file system that was to be packed.")
    if not 0 < fields[12] <= size:
        raise ProofMissingError(f"{path.name} is cut off.", "Is the disk full?")


def own_library(tree: Path) -> Path | None:
    """The tree's own libzstd, when this station's programs can use it; else None."""
    path = tree / LIBRARY_FOLDER / LIBRARY
    try:
        Zstd(path)
    except CommandError:
        return None
    return path
