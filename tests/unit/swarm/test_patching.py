"""Patches: made, applied, refused when malformed, and never believed."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.errors import CommandError, ImageMismatchError
from provisioner.release import chunking, patch
from provisioner.release.chunks import leb128
from provisioner.swarm import patching
from provisioner.swarm.patching import (
    MAX_REFERENCE,
    PatchHead,
    Section,
    Stretch,
    apply,
    read_head,
    read_sections,
)
from provisioner.swarm.prefill import OldRelease, prefill
from provisioner.swarm.zstd import Zstd
from tests.unit.swarm.images import image_of, small_edits, texts

FILES = texts(12, 1)
OLD = image_of(FILES, b"old tables")
NEW = image_of([*small_edits(FILES, (2, 3, 9), 5), *texts(1, 2)], b"new tables")


class Bench:
    """Both images on a disk, and the patch between them."""

    def __init__(self, folder: Path, new: bytes = NEW) -> None:
        self.old, self.new = folder / "old", folder / "new"
        self.patch, self.part = folder / "patch", folder / "part"
        self.old.write_bytes(OLD)
        self.new.write_bytes(new)
        self.maps = chunking.cut(self.old), chunking.cut(self.new)

    def make(self) -> int:
        return patch.make_patch((self.old, self.maps[0]), (self.new, self.maps[1]), self.patch)

    def prefilled(self) -> int:
        olds = [OldRelease(self.old, self.maps[0])]
        return prefill(self.maps[1], olds, self.part).missing_bytes

    def right(self) -> bool:
        return hashlib.sha256(self.part.read_bytes()).hexdigest() == self.maps[1].sha256


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_old_and_patch_give_new(bench: Bench) -> None:
    size, missing = bench.make(), bench.prefilled()
    assert apply(bench.patch, bench.old, bench.part)
    assert bench.right()
    assert size < missing / 2  # three words in three files, and one new file


def test_it_says_what_it_is_between(bench: Bench) -> None:
    bench.make()
    with bench.patch.open("rb") as file:
        head = read_head(file)
    assert (head.old_sha256, head.new_sha256) == (bench.maps[0].sha256, bench.maps[1].sha256)
    assert (head.level, head.zstd) == (3, Zstd().version)


@pytest.mark.parametrize("seed", range(4))
def test_any_change_is_put_together_again(tmp_path: Path, seed: int) -> None:
    """Files gone, new, moved and changed; frames that were packed otherwise; plain bytes."""
    files = small_edits(FILES, (seed, seed + 4), seed)
    files = [*files[seed:], *texts(seed, seed + 50), *files[: seed // 2]]
    foreign = Zstd().pack(FILES[0] + b"!", 19)  # no machine makes this frame at level 3
    bench = Bench(tmp_path, image_of(files, foreign + b"\x28\xb5\x2f\xfd tables" + bytes(seed)))
    bench.make()
    bench.prefilled()
    assert apply(bench.patch, bench.old, bench.part)
    assert bench.right()


def test_nothing_changed_makes_an_empty_patch(tmp_path: Path) -> None:
    bench = Bench(tmp_path, OLD)
    assert bench.make() < 120
    assert bench.prefilled() == 0
    assert apply(bench.patch, bench.old, bench.part)
    assert bench.right()


def test_sections_hold_to_the_limits(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (patching, patch):
        monkeypatch.setattr(module, "MAX_SECTION", 150_000)
        monkeypatch.setattr(module, "MAX_REFERENCE", 250_000)
    bench.make()
    with bench.patch.open("rb") as file:
        found = list(read_sections(file, read_head(file)))
    assert len(found) > 2
    assert all(sum(s.unpacked for s in one.old) <= 250_000 for one in found)
    bench.prefilled()
    assert apply(bench.patch, bench.old, bench.part)
    assert bench.right()


def test_another_libzstd_does_not_try(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.make()
    missing = bench.prefilled()
    monkeypatch.setattr(Zstd, "__init__", _later_version(Zstd.__init__))
    assert not apply(bench.patch, bench.old, bench.part)
    assert bench.prefilled() == missing


def _later_version(init: Callable[..., None]) -> Callable[..., None]:
    def later(self: Zstd, *arguments: object) -> None:
        init(self, *arguments)
        self.version += 1

    return later


@pytest.mark.parametrize("at", [300, 50_000])
def test_a_damaged_old_image_leaves_pieces_to_be_fetched(bench: Bench, at: int) -> None:
    """Where its unpacking fails, that is said; elsewhere the survey finds what is not right."""
    bench.make()
    missing = bench.prefilled()
    data = bytearray(OLD)
    for place in range(at % len(data), len(data), 9_973):
        data[place] ^= 0x55
    bench.old.write_bytes(data)
    with pytest.raises(ImageMismatchError):
        apply(bench.patch, bench.old, bench.part)
    assert prefill(bench.maps[1], [], bench.part).missing_bytes <= missing


HEAD = PatchHead(1, 3, 10_000, "a" * 64, 10_000, "b" * 64)


def numbers(*values: int) -> bytes:
    return b"".join(leb128(value) for value in values)


def section(index: bytes, payload: bytes = b"p", sizes: tuple[int, int] | None = None) -> bytes:
    packed = zlib.compress(index)
    return struct.pack("<II", *(sizes or (len(packed), len(payload)))) + packed + payload


MALFORMED = {
    "half a start": b"\1\0\0",
    "an index that is cut off": section(b"", sizes=(999, 1)),
    "a payload that is cut off": section(numbers(0, 0), sizes=(10, 9_999)),
    "a huge payload": section(b"", sizes=(1, 1 << 30)),
    "a huge index": section(b"", sizes=(1 << 30, 1)),
    "an empty index": section(b""),
    "fewer stretches than it says": section(numbers(2, 0, 10, 10, 0)),
    "more after its end": section(numbers(0, 0, 7)),
    "an old stretch outside": section(numbers(1, 9_999, 0, 2, 0)),
    "a new stretch outside": section(numbers(0, 1, 9_990, 0, 11)),
    "a frame too large": section(numbers(1, 0, 5, 2 << 20, 0)),
    "a reference too large": section(numbers(25, *([0, 5, 1 << 20] * 25), 0)),
    "a section too large": section(numbers(0, 9, *([0, 5, 1 << 20] * 9))),
    "a number without end": section(b"\xff" * 20),
    "a packed bomb": section(b"\0" * (9 << 20)),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_sections_are_refused(data: bytes) -> None:
    with pytest.raises(ImageMismatchError, match="no patch that can be used"):
        list(read_sections(io.BytesIO(data), HEAD))


def test_a_good_section_is_read() -> None:
    one = Section((Stretch(5, 7, 90),), (Stretch(0, 0, 10), Stretch(30, 8, 80)), b"payload")
    assert list(read_sections(io.BytesIO(one.encode() * 2), HEAD)) == [one, one]
    assert MAX_REFERENCE < 64 << 20  # a machine of 1 GiB holds it


@pytest.mark.parametrize("data", [b"", b"CHNKDIFF", HEAD.encode()[:-1], b"x" * 200])
def test_a_malformed_head_is_refused(data: bytes) -> None:
    with pytest.raises(ImageMismatchError):
        read_head(io.BytesIO(data))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_our_own_words(data: bytes) -> None:
    try:
        list(read_sections(io.BytesIO(data), HEAD))
    except ImageMismatchError as error:
        assert error.hint


def test_what_is_no_squashfs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(300))
    with pytest.raises(ImageMismatchError, match="no squashfs"):
        patch.Image(tmp_path / "x", Zstd())


def test_a_library_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="cannot be used"):
        Zstd("libnothing.so.9")


def test_unpacking_gives_what_was_asked_for_or_nothing() -> None:
    zstd = Zstd()
    packed = zstd.pack_against(b"b" * 1000 + b"c", b"b" * 900, 3)
    assert zstd.unpack_against(packed, b"b" * 900, 1001) == b"b" * 1000 + b"c"
    for data, reference, size in (
        (packed, b"b" * 900, 1000), (packed, b"b" * 900, 1002), (b"junk", b"", 9), (b"", b"", 1),
    ):  # fmt: skip
        with pytest.raises(ImageMismatchError):
            zstd.unpack_against(data, reference, size)


def test_frames_that_come_out_otherwise_are_not_written(bench: Bench) -> None:
    """Another level makes other lengths: they would run over what is right behind them."""
    bench.make()
    missing = bench.prefilled()
    data = bytearray(bench.patch.read_bytes())
    data[10] = 1
    bench.patch.write_bytes(data)
    assert apply(bench.patch, bench.old, bench.part)
    assert bench.part.stat().st_size == len(NEW)
    assert prefill(bench.maps[1], [], bench.part).missing_bytes <= missing
