"""The chunk map: what is written is read again, and nothing malformed is taken."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.errors import ImageMismatchError
from provisioner.model.release import SYSTEM
from provisioner.release import chunking
from provisioner.release.chunks import (
    DIGEST_BYTES,
    MAX_PIECE_BYTES,
    MAX_PIECES,
    ChunkMap,
    Span,
    check_is_of,
    digest_of,
    merge,
    plan_prefill,
    read_chunk_map,
    write_chunk_map,
)
from tests.unit.swarm.edits import edited, made_up

HEAD = struct.Struct("<8sHHQ32sII")


def map_of(*pieces: bytes) -> ChunkMap:
    whole = b"".join(pieces)
    return ChunkMap(
        SYSTEM, len(whole), hashlib.sha256(whole).hexdigest(),
        tuple(len(piece) for piece in pieces), b"".join(digest_of(piece) for piece in pieces),
    )  # fmt: skip


GOOD = map_of(b"a" * 300, b"b", b"c" * 70_000)


@given(st.lists(st.integers(1, MAX_PIECE_BYTES), max_size=50))
def test_what_is_written_is_read_again(lengths: list[int]) -> None:
    digests = b"".join(digest_of(b"%d" % n) for n in range(len(lengths)))
    one = ChunkMap(SYSTEM, sum(lengths), "0f" * 32, tuple(lengths), digests)
    assert read_chunk_map(write_chunk_map(one)) == one


def head(**changes: object) -> bytes:
    """A whole map, some fields of its head replaced."""
    good = write_chunk_map(GOOD)
    names = ("magic", "version", "path", "size", "sha256", "count", "packed")
    fields = {**dict(zip(names, HEAD.unpack_from(good), strict=True)), **changes}
    return HEAD.pack(*fields.values()) + good[HEAD.size :]


def lengths(raw: bytes, count: int = 3, size: int = 70_301, after: bytes = b"") -> bytes:
    """A map with these packed lengths."""
    packed = zlib.compress(raw) + after
    start = HEAD.pack(b"CHNKMAP\n", 1, len(SYSTEM), size, bytes(32), count, len(packed))
    return start + SYSTEM.encode() + packed + bytes(count * DIGEST_BYTES)


GOOD_LENGTHS = b"\xac\x02\x01\xf0\xa2\x04"
MALFORMED: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "only a head": lambda: write_chunk_map(GOOD)[: HEAD.size],
    "cut in its head": lambda: write_chunk_map(GOOD)[:20],
    "a byte too few": lambda: write_chunk_map(GOOD)[:-1],
    "a byte too many": lambda: write_chunk_map(GOOD) + b"!",
    "another file's start": lambda: head(magic=b"hsqs\0\0\0\0"),
    "a later version": lambda: head(version=2),
    "a count too high": lambda: head(count=4),
    "an absurd count": lambda: head(count=MAX_PIECES + 1),
    "an absurd size": lambda: head(size=1 << 60),
    "another size": lambda: head(size=70_300),
    "a path that goes on": lambda: head(path=60_000),
    "a path that is no text": lambda: write_chunk_map(GOOD).replace(b"system", b"syst\xffm"),
    "lengths that do not unpack": lambda: head(packed=0),
    "a piece of no bytes": lambda: lengths(b"\x00" + GOOD_LENGTHS[3:] + b"\x01", size=69_937),
    "a piece too long": lambda: lengths(b"\x81\x80\x40\x01\x01", size=MAX_PIECE_BYTES + 3),
    "a number without end": lambda: lengths(b"\x80\x80\x80\x80\x01\x01\x01"),
    "a number cut off": lambda: lengths(GOOD_LENGTHS[:-1]),
    "one length too few": lambda: lengths(GOOD_LENGTHS[:3]),
    "one length too many": lambda: lengths(GOOD_LENGTHS + b"\x01"),
    "bytes between lengths and digests": lambda: lengths(GOOD_LENGTHS, after=b"hidden"),
    "a packed bomb": lambda: lengths(b"\x01" * 50_000_000),
    "pieces that overlap the end": lambda: lengths(GOOD_LENGTHS, size=70_300),
}


def test_the_maps_below_are_malformed_in_one_thing_only() -> None:
    assert read_chunk_map(head()) == GOOD
    assert read_chunk_map(lengths(GOOD_LENGTHS)).lengths == GOOD.lengths


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED)
def test_malformed_maps_are_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(ImageMismatchError, match="no chunk map that can be used") as caught:
        read_chunk_map(make())
    assert caught.value.hint


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_in_our_own_words(data: bytes) -> None:
    with pytest.raises(ImageMismatchError):
        read_chunk_map(data)


@given(st.integers(0, len(write_chunk_map(GOOD)) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_changes_what_the_map_says(at: int, flip: int) -> None:
    data = bytearray(write_chunk_map(GOOD))
    data[at] ^= flip
    with contextlib.suppress(ImageMismatchError):
        assert read_chunk_map(bytes(data)) != GOOD or HEAD.size + 14 <= at < len(data) - 48


@pytest.mark.parametrize(
    ("path", "size", "sha256"),
    [
        ("initrd.img", 70_301, GOOD.sha256),
        (SYSTEM, 70_302, GOOD.sha256),
        (SYSTEM, 70_301, "0" * 64),
    ],
)
def test_a_map_of_another_file_is_refused(path: str, size: int, sha256: str) -> None:
    check_is_of(GOOD, SYSTEM, GOOD.size, GOOD.sha256)
    with pytest.raises(ImageMismatchError, match="another file"):
        check_is_of(GOOD, path, size, sha256)


def test_a_plan_takes_each_piece_from_the_first_that_has_it() -> None:
    new = map_of(b"aa", b"bb", b"cc", b"aa", b"dd", b"ee")
    plan = plan_prefill(new, [map_of(b"x", b"bb", b"aa"), map_of(b"cc", b"aa")], [Span(8, 10)])
    first, second = plan.copies
    assert [(copy.start, copy.targets) for copy in first] == [(1, (2,)), (3, (0, 6))]
    assert [(copy.start, copy.targets) for copy in second] == [(0, (4,))]
    assert plan.missing == (Span(10, 12),)
    assert plan.missing_bytes == 2


def test_an_empty_plan() -> None:
    assert plan_prefill(map_of(), [GOOD]).missing == ()
    assert plan_prefill(GOOD, []).missing == (Span(0, GOOD.size),)


def test_close_spans_become_one() -> None:
    spans = [Span(9, 12), Span(0, 4), Span(4, 5), Span(20, 21)]
    assert merge(spans) == (Span(0, 5), Span(9, 12), Span(20, 21))
    assert merge(spans, gap=4) == (Span(0, 12), Span(20, 21))
    assert merge([Span(0, 10), Span(2, 3)]) == (Span(0, 10),)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32))
def test_an_edit_costs_little_more_than_itself(seed: int) -> None:
    """Each edit spoils at most the pieces it touches and one on either side until cuts meet."""
    old = made_up(2_000_000, 1)
    new, changed, edits = edited(old, seed)
    plan = plan_prefill(cut(new), [cut(old)])
    assert plan.missing_bytes <= changed + edits * 4 * chunking.MAX_BYTES
    assert apply(plan_copies(plan, old), plan.missing, new) == new


def cut(data: bytes) -> ChunkMap:
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return chunking.cut(Path(file.name))


def plan_copies(plan: object, old: bytes) -> dict[int, bytes]:
    copies = plan.copies[0]  # type: ignore[attr-defined]
    return {at: old[c.start : c.start + c.length] for c in copies for at in c.targets}


def apply(copied: dict[int, bytes], missing: tuple[Span, ...], new: bytes) -> bytes:
    """The file put together from copies and from what was missing, and from nothing else."""
    out = bytearray(len(new))
    for at, data in copied.items():
        out[at : at + len(data)] = data
    for span in missing:
        out[span.start : span.stop] = new[span.start : span.stop]
    return bytes(out)


def test_a_release_gets_its_map_and_is_checked_against_it(tmp_path: Path) -> None:
    data = made_up(300_000, 2)
    (tmp_path / SYSTEM).write_bytes(data)
    assert chunking.verify_chunk_map(tmp_path) is None
    chunking.add_chunk_map(tmp_path)
    chunk_map = read_chunk_map((tmp_path / "system.chunks").read_bytes())
    assert chunk_map.sha256 == hashlib.sha256(data).hexdigest()
    assert chunking.verify_chunk_map(tmp_path) == len(chunk_map.lengths)


@pytest.mark.parametrize("at", [-1, -16, -500])
def test_a_wrong_digest_in_the_map_is_found(tmp_path: Path, at: int) -> None:
    (tmp_path / SYSTEM).write_bytes(made_up(1_000_000, 2))
    chunking.add_chunk_map(tmp_path)
    data = bytearray((tmp_path / "system.chunks").read_bytes())
    data[at] ^= 1
    (tmp_path / "system.chunks").write_bytes(data)
    with pytest.raises(ImageMismatchError, match="at byte"):
        chunking.verify_chunk_map(tmp_path)


def test_a_map_of_an_older_image_is_found(tmp_path: Path) -> None:
    (tmp_path / SYSTEM).write_bytes(made_up(1_000_000, 2))
    chunking.add_chunk_map(tmp_path)
    (tmp_path / SYSTEM).write_bytes(made_up(1_000_000, 3))
    with pytest.raises(ImageMismatchError, match="another file"):
        chunking.verify_chunk_map(tmp_path)


def test_an_empty_image_has_an_empty_map(tmp_path: Path) -> None:
    (tmp_path / SYSTEM).write_bytes(b"")
    chunking.add_chunk_map(tmp_path)
    assert chunking.verify_chunk_map(tmp_path) == 0
