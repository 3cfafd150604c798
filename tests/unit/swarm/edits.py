"""Made-up releases that differ as real ones do: something put in, taken out, changed."""

from __future__ import annotations

import functools
import random


@functools.cache
def made_up(size: int, seed: int) -> bytes:
    """Bytes that do not shrink or repeat, like a packed image's; the same for the same seed."""
    return random.Random(seed).randbytes(size)


def edited(old: bytes, seed: int) -> tuple[bytes, int, int]:
    """`old` with up to six edits; how many bytes are new in it, and how many edits there were."""
    chance = random.Random(seed)
    new, changed = bytearray(old), 0
    edits = chance.randint(0, 6)
    for _ in range(edits):
        at, length = chance.randrange(len(new)), chance.choice((1, 100, 5_000, 100_000))
        match chance.choice(("insert", "remove", "change", "move")):
            case "insert":
                new[at:at] = chance.randbytes(length)
                changed += length
            case "remove":
                del new[at : at + length]
            case "change":
                new[at : at + length] = chance.randbytes(length)
                changed += length
            case _:
                moved = new[at : at + length]
                del new[at : at + length]
                to = chance.randrange(len(new))
                new[to:to] = moved
                changed += length
    return bytes(new), changed, edits
