"""A patch between two releases, and its use on a machine that has the older one.

A squashfs is a row of small zstd frames: one changed byte in a file changes a whole frame, so
that two images differ by far more than their files do. A patch says what the *unpacked* frames
of the new image are, given unpacked frames of the old one; the machine unpacks, applies, and
packs again with the same libzstd. Nothing depends on this coming out right: whoever applies a
patch looks at every piece of the file afterwards (`prefill.survey`) and fetches what is wrong.

A patch is a row of sections, each applied on its own in bounded memory: at most
`MAX_REFERENCE` of old and `MAX_SECTION` of new bytes unpacked, and as many packed.

Form, little-endian: a head (magic, version, libzstd's version, zstd level, and of both images
size and SHA-256); then each section: bytes of its index, bytes of its payload; the index
(deflated LEB128 numbers), the payload (zstd against the reference).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from provisioner.errors import ImageMismatchError
from provisioner.release.chunks import Span, leb128
from provisioner.swarm.prefill import steps_ahead, will_need, write_at
from provisioner.swarm.zstd import Zstd

MAX_REFERENCE = 24 << 20
MAX_SECTION = 8 << 20
MAX_FRAME = 1 << 20  # squashfs' largest block
_MAGIC, _VERSION = b"CHNKDIFF", 1
_HEAD = struct.Struct("<8sHHIQ32sQ32s")
_SECTION = struct.Struct("<II")
_MAX_INDEX = 1 << 20

Report = Callable[[int, int], None]  # bytes of the patch that are applied, bytes in all


@dataclass(frozen=True)
class PatchHead:
    """What a patch is between, and what is needed to apply it."""

    zstd: int
    level: int
    old_size: int
    old_sha256: str
    new_size: int
    new_sha256: str

    def encode(self) -> bytes:
        return _HEAD.pack(
            _MAGIC, _VERSION, self.level, self.zstd,
            self.old_size, bytes.fromhex(self.old_sha256),
            self.new_size, bytes.fromhex(self.new_sha256),
        )  # fmt: skip


@dataclass(frozen=True)
class Stretch:
    """Bytes of an image: one zstd frame, or bytes as they are when `packed` is 0."""

    start: int
    packed: int
    unpacked: int

    @property
    def size(self) -> int:
        """Bytes in the image."""
        return self.packed or self.unpacked


@dataclass(frozen=True)
class Section:
    """Some stretches of the new image, given some of the old."""

    old: tuple[Stretch, ...]
    new: tuple[Stretch, ...]
    payload: bytes

    def encode(self) -> bytes:
        numbers = [len(self.old), *_flat(self.old), len(self.new), *_flat(self.new)]
        index = zlib.compress(b"".join(leb128(n) for n in numbers), 9)
        return _SECTION.pack(len(index), len(self.payload)) + index + self.payload


def read_head(file: BinaryIO) -> PatchHead:
    """Raises ImageMismatchError for what is no patch that we would make."""
    data = file.read(_HEAD.size)
    if len(data) < _HEAD.size:
        raise _malformed("it is cut off")
    magic, version, level, zstd, old_size, old, new_size, new = _HEAD.unpack(data)
    if magic != _MAGIC or version != _VERSION or not 0 < level <= 22:
        raise _malformed("it does not begin as one that is known here")
    return PatchHead(zstd, level, old_size, old.hex(), new_size, new.hex())


def read_sections(file: BinaryIO, head: PatchHead) -> Iterator[Section]:
    """One section after the other; each is checked against the limits before it is unpacked."""
    while start := file.read(_SECTION.size):
        if len(start) < _SECTION.size:
            raise _malformed("it is cut off")
        index_size, payload_size = _SECTION.unpack(start)
        if index_size > _MAX_INDEX or payload_size > 2 * MAX_SECTION:
            raise _malformed("a section is too large")
        index, payload = file.read(index_size), file.read(payload_size)
        if len(index) < index_size or len(payload) < payload_size:
            raise _malformed("it is cut off")
        yield _section(index, payload, head)


def apply(
    patch: Path,
    old: Path,
    part: Path,
    report: Report = lambda _done, _all: None,
    library: Path | None = None,
) -> bool:
    """Write into `part` (of full size already) what the patch says; nothing is proved by it.

    False, and nothing written, when this machine's libzstd is another than the patch wants;
    `library` names one other than the system's own.
    Raises ImageMismatchError when patch and old image do not fit each other.
    """
    zstd = Zstd(library) if library else Zstd()
    with patch.open("rb") as file, ThreadPoolExecutor(os.cpu_count()) as pool:
        head = read_head(file)
        if head.zstd != zstd.version:
            return False
        size = patch.stat().st_size
        with old.open("rb") as source, part.open("r+b", buffering=0) as out:
            for section in _read_ahead(read_sections(file, head), source):
                frames = _remade(section, source, zstd, head.level, pool)
                for stretch, data in zip(section.new, frames, strict=True):
                    if len(data) == stretch.size:
                        write_at(out.fileno(), data, stretch.start)
                report(file.tell(), size)
            os.fsync(out.fileno())
    return True


def _read_ahead(sections: Iterator[Section], source: BinaryIO) -> Iterator[Section]:
    """The same sections; the disk reads for the next one while one is worked on."""
    before: Section | None = None
    for section in sections:
        for step in steps_ahead(Span(one.start, one.start + one.size) for one in section.old):
            will_need(source.fileno(), step)
        if before:
            yield before
        before = section
    if before:
        yield before


def _remade(
    section: Section, source: BinaryIO, zstd: Zstd, level: int, pool: ThreadPoolExecutor
) -> Iterator[bytes]:
    reference = b"".join(read_stretch(source, stretch, zstd) for stretch in section.old)
    total = sum(stretch.unpacked for stretch in section.new)
    data = memoryview(zstd.unpack_against(section.payload, reference, total))
    parts, at = list[tuple[Stretch, bytes]](), 0
    for stretch in section.new:
        parts.append((stretch, bytes(data[at : at + stretch.unpacked])))
        at += stretch.unpacked
    yield from pool.map(lambda p: zstd.pack(p[1], level) if p[0].packed else p[1], parts)


def read_stretch(source: BinaryIO, stretch: Stretch, zstd: Zstd) -> bytes:
    """A stretch of an image, unpacked. Raises ImageMismatchError when it is not there."""
    try:
        source.seek(stretch.start)
        data = source.read(stretch.size)
    except OSError as error:
        raise ImageMismatchError(f"The disk no longer gives the old image: {error}.") from error
    if len(data) < stretch.size:
        raise ImageMismatchError("The old image is shorter than it was.")
    return zstd.unpack(data, stretch.unpacked) if stretch.packed else data


def _section(index: bytes, payload: bytes, head: PatchHead) -> Section:
    numbers = _read_index(index)
    old, rest = _stretches(numbers, head.old_size)
    new, rest = _stretches(rest, head.new_size)
    if rest:
        raise _malformed("an index goes on")
    if sum(s.unpacked for s in old) > MAX_REFERENCE or sum(s.unpacked for s in new) > MAX_SECTION:
        raise _malformed("a section would need too much memory")
    return Section(old, new, payload)


def _stretches(numbers: list[int], size: int) -> tuple[tuple[Stretch, ...], list[int]]:
    if not numbers or len(numbers) < 1 + 3 * numbers[0]:
        raise _malformed("an index is too short")
    count, end = numbers[0], 0
    found = list[Stretch]()
    for at in range(1, 1 + 3 * count, 3):
        gap, packed, unpacked = numbers[at : at + 3]
        stretch = Stretch(end + gap, packed, unpacked)
        end = stretch.start + stretch.size
        if end > size or (packed and (packed > MAX_FRAME or unpacked > MAX_FRAME)):
            raise _malformed("an index leaves the image")
        found.append(stretch)
    return tuple(found), numbers[1 + 3 * count :]


def _flat(stretches: Sequence[Stretch]) -> Iterator[int]:
    end = 0
    for stretch in stretches:
        yield from (stretch.start - end, stretch.packed, stretch.unpacked)
        end = stretch.start + stretch.size


def _read_index(index: bytes) -> list[int]:
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(index, max_length=_MAX_INDEX)
    except zlib.error as error:
        raise _malformed("an index cannot be unpacked") from error
    if not unpacker.eof:
        raise _malformed("an index does not end")
    numbers, value, shift = list[int](), 0, 0
    for byte in raw:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(value)
            value = shift = 0
        elif shift > 56:
            raise _malformed("a number in an index has no end")
    return numbers


def _malformed(why: str) -> ImageMismatchError:
    return ImageMismatchError(
        f"This is no patch that can be used: {why}.", "What it would have saved is fetched."
    )
