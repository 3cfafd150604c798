"""Made-up system images: rows of zstd frames behind a superblock, as mksquashfs makes them."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from provisioner.swarm.zstd import Zstd

BLOCK = 128 * 1024
LEVEL = 3


def texts(count: int, seed: int, size: int = 100_000) -> list[bytes]:
    """Files that shrink when they are packed, no two alike."""
    chance = random.Random(seed)
    words = [chance.randbytes(chance.randint(2, 9)) for _ in range(2000)]
    return [b"".join(chance.choices(words, k=size // 6)) for _ in range(count)]


def image_of(files: Sequence[bytes], tail: bytes = b"") -> bytes:
    """An image of these files; `tail` stands for tables that are no frames."""
    zstd = Zstd()
    head = struct.pack("<4sIIIIHHH", b"hsqs", 0, 0, BLOCK, 0, 6, 17, 0x400).ljust(96, b"\0")
    options = struct.pack("<HI", 0x8004, LEVEL)
    blocks = [file[at : at + BLOCK] for file in files for at in range(0, len(file), BLOCK)]
    return head + options + b"".join(zstd.pack(block, LEVEL) for block in blocks) + tail


def small_edits(files: Sequence[bytes], which: Sequence[int], seed: int) -> list[bytes]:
    """The same files, a few words changed in some of them."""
    chance, changed = random.Random(seed), list(files)
    for number in which:
        file = bytearray(changed[number])
        for _ in range(3):
            at = chance.randrange(len(file))
            file[at:at] = chance.randbytes(20)
        changed[number] = bytes(file)
    return changed
