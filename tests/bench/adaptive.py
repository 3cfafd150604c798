"""What RAUC's adaptive mode (block-hash-index) would fetch of an update; counted, not run.

RAUC mounts its bundle with dm-verity from a block device of NBD, which a kernel in a container or
a small virtual machine seldom has. What it fetches follows from its method: its images are ext4,
as its handbook advises; an index of one SHA-256 for each 4 KiB of the new image comes first, then
each block that is not found in the old one. Missing blocks are counted packed in one run, which
is less than a bundle's own blocks of 128 KiB can be: a lower bound.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from provisioner.run import run

BLOCK, HASH_BYTES = 4096, 32
LONGEST_S = 900


def fetched(old: Path, new: Path, work: Path) -> int:
    """Bytes over the wire from one tree to the other; `work` holds the images meanwhile."""
    image, missing, packed = (work / f"adaptive.{end}" for end in ("img", "missing", "zst"))
    known = set(_blocks(_ext4(old, image)))
    with missing.open("wb") as file:
        for digest, block in _blocks(_ext4(new, image)).items():
            if digest not in known:
                file.write(block)
    run(["zstd", "-q", "-9", "-f", missing, "-o", packed], timeout_s=LONGEST_S)
    index = HASH_BYTES * image.stat().st_size // BLOCK
    size = packed.stat().st_size
    for path in (image, missing, packed):
        path.unlink()
    return size + index


def _ext4(tree: Path, image: Path) -> Path:
    """The tree as an ext4 image in which the same files make the same blocks."""
    image.unlink(missing_ok=True)
    used = int(run(["du", "-s", "-B1", tree], timeout_s=LONGEST_S).stdout.split()[0])
    with image.open("wb") as file:
        file.truncate((used * 6 // 5 + (64 << 20)) >> 20 << 20)
    same = "00000000-0000-4000-8000-000000000001"
    words = ["mkfs.ext4", "-q", "-F", "-U", same, "-E", f"hash_seed={same}"]
    run([*words, "-d", tree, image], timeout_s=LONGEST_S)
    return image


def _blocks(image: Path) -> dict[bytes, bytes]:
    """The different blocks of an image by their digest; holes are one block of zeros."""
    found: dict[bytes, bytes] = {}
    with image.open("rb") as file:
        while block := file.read(BLOCK):
            found.setdefault(hashlib.sha256(block).digest(), block)
    return found
