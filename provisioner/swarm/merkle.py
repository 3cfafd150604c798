"""Hash trees over files, as version 2 of BitTorrent has them (BEP 52).

A file's leaves are the SHA-256 of its blocks of 16 KiB; a piece's hash is the root over its
leaves, missing ones being 32 zero bytes; the file's root is the root over its pieces. So any
piece can be judged by itself, in any order, and all of them together give one value that the
manifest can promise.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

BLOCK = 16 * 1024
HASH_BYTES = 32
NO_LEAF = bytes(HASH_BYTES)


def leaves_of(data: bytes | memoryview) -> list[bytes]:
    """SHA-256 of each block of 16 KiB; the last one may be shorter."""
    view = memoryview(data)
    return [hashlib.sha256(view[at : at + BLOCK]).digest() for at in range(0, len(view), BLOCK)]


def root_of(hashes: Sequence[bytes], width: int, filler: bytes = NO_LEAF) -> bytes:
    """The root over `hashes`, filled up with `filler` to `width`, which is a power of two."""
    layer = list(hashes)
    while width > 1:
        if len(layer) % 2:
            layer.append(filler)
        layer = [
            hashlib.sha256(layer[at] + layer[at + 1]).digest() for at in range(0, len(layer), 2)
        ]
        filler = hashlib.sha256(filler + filler).digest()
        width //= 2
    return layer[0] if layer else filler


def piece_hash(data: bytes | memoryview, piece_bytes: int) -> bytes:
    """What the piece layer of a torrent holds for a piece with this content."""
    return root_of(leaves_of(data), piece_bytes // BLOCK)


def file_root(pieces: Sequence[bytes], piece_bytes: int) -> bytes:
    """The root of a file longer than one piece, from the hashes of its pieces."""
    filler = root_of([], piece_bytes // BLOCK)
    return root_of(pieces, 1 << (len(pieces) - 1).bit_length(), filler)
