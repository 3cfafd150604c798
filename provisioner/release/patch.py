"""A patch from one release to the next: fewer bytes than the pieces that changed.

Made on the station for a hop that many machines will take. `swarm.patching` says what a patch
is and how a machine uses it. Frames that this libzstd does not pack again to the same bytes
travel packed, as they are.
"""

from __future__ import annotations

import bisect
import mmap
import struct
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyfastcdc import FastCDC

from provisioner.errors import ImageMismatchError
from provisioner.release.chunks import ChunkMap, Span, plan_prefill
from provisioner.release.squashfs import LIBRARY_FOLDER
from provisioner.run import run
from provisioner.swarm.patching import (
    MAX_FRAME,
    MAX_REFERENCE,
    MAX_SECTION,
    PatchHead,
    Section,
    Stretch,
    read_stretch,
)
from provisioner.swarm.zstd import LIBRARY, MAGIC, Zstd

LEVEL = 19
ANCHOR_BYTES = 256  # what two frames must have in common to be seen as related
UNPACK_S = 300
# Superblock of squashfs 4.0: block size at byte 12, compressor at 20, flags at 24
_BLOCK, _PACKER, _FLAGS = struct.Struct("<I"), struct.Struct("<H"), struct.Struct("<H")
_ZSTD, _HAS_OPTIONS, _DEFAULT_LEVEL, _HEAD_BYTES = 6, 0x400, 15, 96


class Image:
    """A squashfs as a row of zstd frames."""

    def __init__(self, path: Path, zstd: Zstd) -> None:
        """Raises ImageMismatchError when it is no squashfs that we pack."""
        self.path, self._zstd = path, zstd
        self._file = path.open("rb")
        start = self._file.read(_HEAD_BYTES + 6)
        if start[:4] != b"hsqs" or _PACKER.unpack_from(start, 20)[0] != _ZSTD:
            raise ImageMismatchError(f"{path} is no squashfs packed with zstd.")
        self.block = int(_BLOCK.unpack_from(start, 12)[0])
        told = _FLAGS.unpack_from(start, 24)[0] & _HAS_OPTIONS
        self.level = int(_BLOCK.unpack_from(start, _HEAD_BYTES + 2)[0]) if told else _DEFAULT_LEVEL

    def frames(self) -> Iterator[Stretch]:
        """Whatever looks like a frame, in order and not overlapping."""
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = data.find(MAGIC)
            while at >= 0:
                frame = self._zstd.frame_at(data[at : at + self.block])
                if frame and frame.unpacked <= min(self.block, MAX_FRAME):
                    yield Stretch(at, frame.packed, frame.unpacked)
                    at = data.find(MAGIC, at + frame.packed)
                else:
                    at = data.find(MAGIC, at + 1)

    def read(self, stretch: Stretch) -> bytes:
        """Unpacked; raises ImageMismatchError when it only looked like a frame."""
        return read_stretch(self._file, stretch, self._zstd)

    def packs_again(self, stretch: Stretch) -> bool:
        """Whether this libzstd makes the same bytes of it."""
        as_it_is = read_stretch(self._file, Stretch(stretch.start, 0, stretch.packed), self._zstd)
        try:
            return self._zstd.pack(self.read(stretch), self.level) == as_it_is
        except ImageMismatchError:
            return False


def make_patch(
    old: tuple[Path, ChunkMap], new: tuple[Path, ChunkMap], out: Path, library: Path | None = None
) -> int:
    """Write the patch to `out`; returns its bytes. Minutes of work for a large change.

    `library` is the libzstd of the machines, when it is another than the station's.
    """
    zstd = Zstd(library) if library else Zstd()
    before, after = Image(old[0], zstd), Image(new[0], zstd)
    missing = plan_prefill(new[1], [old[1]]).missing
    gone = plan_prefill(old[1], [new[1]]).missing
    wanted = list(_cover(missing, after))
    references = References(before, (s for s in before.frames() if _touches(s, gone)))
    head = PatchHead(
        zstd.version, after.level, old[1].size, old[1].sha256, new[1].size, new[1].sha256
    )
    with out.open("wb") as file:
        file.write(head.encode())
        for stretches in sections(wanted):
            data = b"".join(after.read(stretch) for stretch in stretches)
            related = references.related(data)
            reference = b"".join(before.read(stretch) for stretch in related)
            payload = zstd.pack_against(data, reference, LEVEL)
            file.write(Section(tuple(related), tuple(stretches), payload).encode())
    return out.stat().st_size


def sections(stretches: Iterable[Stretch]) -> Iterator[list[Stretch]]:
    """Rows of stretches that a machine can hold in memory at once."""
    row, size = list[Stretch](), 0
    for stretch in stretches:
        if row and size + stretch.unpacked > MAX_SECTION:
            yield row
            row, size = [], 0
        row.append(stretch)
        size += stretch.unpacked
    if row:
        yield row


class References:
    """The frames of the old image that the new one has no longer: what new ones came from."""

    def __init__(self, image: Image, frames: Iterable[Stretch]) -> None:
        self._frames = list[Stretch]()
        self._where: dict[bytes, int] = {}
        self._middle = 0
        for frame in frames:
            try:
                data = image.read(frame)
            except ImageMismatchError:
                continue  # it only looked like a frame
            for anchor in _anchors(data):
                self._where[anchor] = len(self._frames)
            self._frames.append(frame)

    def related(self, data: bytes) -> list[Stretch]:
        """The row of old frames, as long as memory allows, that has most in common with `data`."""
        found = (self._where.get(anchor) for anchor in set(_anchors(data)))
        votes = Counter(number for number in found if number is not None)
        if votes:
            self._middle = _best_middle(votes)
        return self._around(self._middle)

    def _around(self, middle: int) -> list[Stretch]:
        """Frames to both sides of one, nearest first, as many as fit; in the image's order."""
        low = high = min(middle, max(len(self._frames) - 1, 0))
        room = MAX_REFERENCE
        while True:
            grown = False
            if high < len(self._frames) and self._frames[high].unpacked <= room:
                room, high, grown = room - self._frames[high].unpacked, high + 1, True
            if low > 0 and self._frames[low - 1].unpacked <= room:
                room, low, grown = room - self._frames[low - 1].unpacked, low - 1, True
            if not grown:
                return self._frames[low:high]


def _best_middle(votes: Counter[int]) -> int:
    """The middle of the votes, so that a few strays far away do not pull it."""
    numbers = sorted(votes)
    half, seen = votes.total() / 2, 0
    for number in numbers:
        seen += votes[number]
        if seen >= half:
            return number
    return numbers[-1]


def _anchors(data: bytes) -> Iterator[bytes]:
    cutter = FastCDC(ANCHOR_BYTES, min_size=64, max_size=4 * ANCHOR_BYTES)
    return (bytes(piece.data) for piece in cutter.cut_buf(data)) if data else iter(())


def _cover(missing: Sequence[Span], image: Image) -> Iterator[Stretch]:
    """The missing bytes as frames, whole ones, and as bytes where there are none."""
    end = 0
    frames = [
        frame for frame in image.frames() if _touches(frame, missing) and image.packs_again(frame)
    ]
    starts = [frame.start for frame in frames]
    for span in missing:
        at = max(span.start, end)
        for frame in frames[max(bisect.bisect_right(starts, at) - 1, 0) :]:
            if frame.start >= span.stop:
                break
            if frame.start + frame.size <= at:
                continue
            yield from _plain(at, frame.start)
            yield frame
            at = frame.start + frame.size
        yield from _plain(at, span.stop)
        end = max(at, span.stop)


def _plain(start: int, stop: int) -> Iterator[Stretch]:
    for at in range(start, stop, MAX_FRAME):
        yield Stretch(at, 0, min(MAX_FRAME, stop - at))


def _touches(stretch: Stretch, spans: Sequence[Span]) -> bool:
    number = bisect.bisect_right(spans, stretch.start, key=lambda span: span.start)
    before = number > 0 and spans[number - 1].stop > stretch.start
    return before or (number < len(spans) and spans[number].start < stretch.start + stretch.size)


def library_of(image: Path, folder: Path) -> Path | None:
    """The libzstd inside an image, put into `folder`; None when it has none of this machine's
    kind."""
    name = f"{LIBRARY_FOLDER}/{LIBRARY}"
    into = Path(tempfile.mkdtemp(dir=folder)) / "tree"
    run(
        ["unsquashfs", "-no-progress", "-no-xattrs", "-d", into, image, f"{name}*"],
        timeout_s=UNPACK_S, check=False,
    )  # fmt: skip
    return into / name if (into / name).is_file() else None
