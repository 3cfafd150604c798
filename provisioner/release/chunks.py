"""A release's chunk map: where its system image may be cut, and what each piece must be.

Two releases that share a piece share its digest, whatever moved in between. The station makes
the map when it builds (`chunking`); a machine reads the maps of the releases that it has and
copies what the new one needs, without cutting anything itself. Imported by the agent: nothing
here goes beyond Python's own library.

The digest is SHA-256 cut to 16 bytes. The map is named in the signed manifest, so an attacker
would need a second preimage (2^128 work); and the whole file's SHA-256 is checked in the end,
so that even a collision costs a second fetch and never a wrong byte.

Form, little-endian: magic, version, length of the path, file's size, its SHA-256, count of
pieces, bytes of packed lengths; the path; the lengths as LEB128 numbers, deflated; the digests
as they are. Digests do not shrink, whatever the packer: of a 141 MB image's 6,992 pieces this
makes 127.8 kB, zstd -19 over lengths and digests 128.0 kB, xz -9e 127.6 kB; and deflate is in
Python's own library on every machine.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provisioner.errors import ImageMismatchError

CHUNKS = "system.chunks"
DIGEST_BYTES = 16
MAX_PIECES = 1 << 21  # a map of more would not fit a small machine's memory
MAX_PIECE_BYTES = 1 << 20
MAX_FILE_BYTES = 1 << 40
MAX_MAP_BYTES = 48 << 20
_MAGIC, _VERSION = b"CHNKMAP\n", 1
_HEAD = struct.Struct("<8sHHQ32sII")


@dataclass(frozen=True, order=True)
class Span:
    """Bytes `start` up to, but not including, `stop` of a file."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class ChunkMap:
    """The pieces of one file in order; they cover it from its first to its last byte."""

    path: str
    size: int
    sha256: str
    lengths: tuple[int, ...]
    digests: bytes  # DIGEST_BYTES for each piece

    def pieces(self) -> Iterator[tuple[Span, bytes]]:
        """Where each piece lies, and its digest."""
        start = 0
        for number, length in enumerate(self.lengths):
            at = number * DIGEST_BYTES
            yield Span(start, start + length), self.digests[at : at + DIGEST_BYTES]
            start += length


@dataclass(frozen=True)
class Copy:
    """A piece that an old file has: read it at `start`, write it at each of `targets`."""

    start: int
    length: int
    digest: bytes
    targets: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What is copied from each old file, by rising place in it, and what nobody here has."""

    copies: tuple[tuple[Copy, ...], ...]
    missing: tuple[Span, ...]

    @property
    def missing_bytes(self) -> int:
        return sum(span.size for span in self.missing)


def digest_of(data: bytes | memoryview) -> bytes:
    """A piece's digest."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def write_chunk_map(chunk_map: ChunkMap) -> bytes:
    """The map as it lies in the release."""
    path = chunk_map.path.encode()
    packed = zlib.compress(b"".join(leb128(n) for n in chunk_map.lengths), 9)
    head = _HEAD.pack(
        _MAGIC, _VERSION, len(path), chunk_map.size, bytes.fromhex(chunk_map.sha256),
        len(chunk_map.lengths), len(packed),
    )  # fmt: skip
    return head + path + packed + chunk_map.digests


def read_chunk_map(data: bytes) -> ChunkMap:
    """Read and check a map. Raises ImageMismatchError for anything that we would not write."""
    if len(data) > MAX_MAP_BYTES:
        raise _malformed(f"it has {len(data)} bytes")
    if len(data) < _HEAD.size:
        raise _malformed("it is cut off")
    magic, version, path_bytes, size, sha256, count, packed = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        raise _malformed("it does not begin as one")
    if version != _VERSION:
        raise _malformed(f"its version is {version}, known here is {_VERSION}")
    if count > MAX_PIECES or size > MAX_FILE_BYTES:
        raise _malformed(f"it speaks of {count} pieces and {size} bytes")
    if len(data) != _HEAD.size + path_bytes + packed + count * DIGEST_BYTES:
        raise _malformed("its length is not what its head says")
    at = _HEAD.size + path_bytes
    try:
        path = data[_HEAD.size : at].decode("ascii")
    except UnicodeDecodeError as error:
        raise _malformed("it names no file") from error
    lengths = _read_lengths(data[at : at + packed], count)
    if sum(lengths) != size:
        raise _malformed(f"its pieces have {sum(lengths)} bytes together, the file {size}")
    return ChunkMap(path, size, sha256.hex(), lengths, data[at + packed :])


def check_is_of(chunk_map: ChunkMap, path: str, size: int, sha256: str) -> None:
    """Whether a map describes this very file. Raises ImageMismatchError."""
    if (chunk_map.path, chunk_map.size, chunk_map.sha256) != (path, size, sha256):
        raise ImageMismatchError(
            f"The chunk map is of another file ({chunk_map.path[:100]!r}, {chunk_map.size} bytes) "
            f"than {path}, {size} bytes.",
            "The release on the station is mixed up; build it again.",
        )


def plan_prefill(new: ChunkMap, olds: Sequence[ChunkMap], have: Iterable[Span] = ()) -> Plan:
    """What of `new` can be copied from old files, and what must be fetched.

    `have` are the places of pieces that are right already. A piece that several old files have
    is taken from the first of them.
    """
    here = {span.start for span in have}
    wanted: dict[bytes, list[Span]] = {}
    for span, digest in new.pieces():
        if span.start not in here:
            wanted.setdefault(digest, []).append(span)
    copies = tuple(tuple(_take(old, wanted)) for old in olds)
    return Plan(copies, merge(span for spans in wanted.values() for span in spans))


def merge(spans: Iterable[Span], gap: int = 0) -> tuple[Span, ...]:
    """The same bytes as few spans, by rising place; gaps of up to `gap` bytes are closed."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].stop + gap:
            merged[-1] = Span(merged[-1].start, max(merged[-1].stop, span.stop))
        else:
            merged.append(span)
    return tuple(merged)


def _take(old: ChunkMap, wanted: dict[bytes, list[Span]]) -> Iterator[Copy]:
    """What `old` has of `wanted`, which it is taken out of."""
    for place, digest in old.pieces():
        spans = wanted.get(digest)
        if spans and spans[0].size == place.size:
            yield Copy(place.start, place.size, digest, tuple(span.start for span in spans))
            del wanted[digest]


def _read_lengths(packed: bytes, count: int) -> tuple[int, ...]:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(packed, max_length=3 * count + 1)
    except zlib.error as error:
        raise _malformed("its lengths cannot be unpacked") from error
    if not unpacker.eof or unpacker.unused_data:
        raise _malformed("its lengths do not end where they should")
    lengths = tuple(_numbers(raw))
    if len(lengths) != count:
        raise _malformed(f"it has {len(lengths)} lengths for {count} pieces")
    if count and not 0 < min(lengths) <= max(lengths) <= MAX_PIECE_BYTES:
        raise _malformed("a piece in it is empty or too long")
    return lengths


def _numbers(raw: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield value
            value = shift = 0
        elif shift >= 21:
            raise _malformed("a length in it has no end")
    if shift:
        raise _malformed("its last length is cut off")


def leb128(value: int) -> bytes:
    """A number in as few bytes as it needs."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _malformed(why: str) -> ImageMismatchError:
    return ImageMismatchError(
        f"This is no chunk map that can be used: {why}.",
        "The whole file is fetched instead; “provisioner image verify” looks at the station's.",
    )
