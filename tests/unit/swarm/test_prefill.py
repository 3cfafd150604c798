"""Copying from old releases: right pieces only, whatever state the disk and the maps are in."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioner.errors import DiskChoiceError
from provisioner.release import chunking
from provisioner.release.chunks import ChunkMap, Span, write_chunk_map
from provisioner.swarm.prefill import OldRelease, Prefilled, old_releases, prefill
from tests.unit.swarm.edits import edited, made_up

OLD = made_up(3_000_000, 7)
NEW = OLD[:1_000_000] + made_up(200_000, 8) + OLD[1_100_000:2_500_000] + OLD[:300_000]


class Place:
    """A machine's releases folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.part = root / "lab@2026.9" / "system.squashfs.part"
        self.part.parent.mkdir(parents=True)

    def release(self, name: str, data: bytes) -> OldRelease:
        folder = self.root / name
        folder.mkdir()
        (folder / "system.squashfs").write_bytes(data)
        chunking.add_chunk_map(folder)
        return next(old for old in old_releases(self.root) if old.file.parent == folder)

    def map_of(self, data: bytes) -> ChunkMap:
        file = self.root / "aside"
        file.write_bytes(data)
        return chunking.cut(file)

    def completed(self, missing: tuple[Span, ...], new: bytes) -> str:
        """SHA-256 of the begun file with only the missing spans filled in."""
        data = bytearray(self.part.read_bytes())
        for span in missing:
            data[span.start : span.stop] = new[span.start : span.stop]
        return hashlib.sha256(data).hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(place: Place, done: Prefilled, new: bytes) -> None:
    """Nothing that counts as here is wrong, and the numbers add up."""
    assert place.part.stat().st_size == len(new)
    assert place.completed(done.missing, new) == sha(new)
    assert done.kept + done.copied + done.missing_bytes == len(new)


def test_what_the_old_release_has_is_copied(place: Place) -> None:
    old, seen = place.release("lab@2026.1", OLD), list[int]()
    done = prefill(place.map_of(NEW), [old], place.part, seen.append)
    check(place, done, NEW)
    assert 200_000 <= done.missing_bytes < 200_000 + 6 * chunking.MAX_BYTES
    assert done.kept == done.damaged == 0
    assert seen == sorted(seen)
    assert seen[-1] == done.copied


def test_the_new_file_is_sparse_where_it_is_missing(place: Place) -> None:
    prefill(place.map_of(made_up(4_000_000, 9)), [], place.part)
    assert place.part.stat().st_blocks * 512 < 100_000


@settings(
    deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32))
def test_any_edits_are_put_together_again(tmp_path: Path, seed: int) -> None:
    new, changed, edits = edited(OLD, seed)
    place = Place(Path(tempfile.mkdtemp(dir=tmp_path)))
    done = prefill(place.map_of(new), [place.release("lab@2026.1", OLD)], place.part)
    check(place, done, new)
    assert done.missing_bytes <= changed + edits * 4 * chunking.MAX_BYTES


def test_several_versions_behind_each_gives_what_it_has(place: Place) -> None:
    first = place.release("lab@2026.1", NEW[:800_000])
    second = place.release("lab@2026.2", NEW[800_000:1_600_000])
    done = prefill(place.map_of(NEW), [first, second], place.part)
    check(place, done, NEW)
    assert done.missing_bytes < len(NEW) - 1_500_000


def test_a_damaged_old_release_gives_no_wrong_byte(place: Place) -> None:
    old = place.release("lab@2026.1", OLD)
    bad = bytearray(OLD)
    for at in range(50_000, len(bad), 200_000):
        bad[at] ^= 1
    old.file.write_bytes(bad)
    done = prefill(place.map_of(NEW), [old], place.part)
    check(place, done, NEW)
    assert done.damaged >= 5


def test_what_one_release_lost_another_still_has(place: Place) -> None:
    olds = [place.release("lab@2026.1", OLD), place.release("lab@2026.2", OLD)]
    olds[0].file.write_bytes(bytes(len(OLD)))
    done = prefill(place.map_of(NEW), olds, place.part)
    check(place, done, NEW)
    assert done.damaged > 50
    assert done.missing_bytes < 600_000


@pytest.mark.parametrize("data", [b"", OLD[:1_234_567], None])
def test_an_old_release_that_is_cut_off_or_gone(place: Place, data: bytes | None) -> None:
    old = place.release("lab@2026.1", OLD)
    old.file.unlink()
    if data is not None:
        old.file.write_bytes(data)
    done = prefill(place.map_of(NEW), [old], place.part)
    check(place, done, NEW)
    assert done.damaged


def test_bytes_that_the_disk_no_longer_gives_are_missing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, read = place.release("lab@2026.1", OLD), os.pread

    def pread(handle: int, size: int, at: int) -> bytes:
        if at > 2_000_000:
            raise OSError(errno.EIO, "Input/output error")
        return read(handle, size, at)

    monkeypatch.setattr("provisioner.swarm.prefill.os.pread", pread)
    check(place, prefill(place.map_of(NEW), [old], place.part), NEW)


def test_a_map_that_lies_costs_bytes_and_nothing_else(place: Place) -> None:
    """Another release's map beside the image, and one that claims every piece of the new."""
    place.release("lab@2026.1", OLD)
    new = place.map_of(NEW)
    for chunks in (place.map_of(made_up(3_000_000, 11)), new):
        (place.root / "lab@2026.1/system.chunks").write_bytes(write_chunk_map(chunks))
        place.part.unlink(missing_ok=True)
        check(place, prefill(new, old_releases(place.root), place.part), NEW)


def test_a_begun_file_is_believed_piece_by_piece(place: Place) -> None:
    new = place.map_of(NEW)
    begun = bytearray(NEW)
    begun[500_000:900_000] = bytes(400_000)
    begun[2_000_000] ^= 4
    place.part.write_bytes(begun)
    done = prefill(new, [], place.part)
    check(place, done, NEW)
    assert 400_000 < done.missing_bytes < 400_000 + 6 * chunking.MAX_BYTES
    assert done.kept == len(NEW) - done.missing_bytes


@pytest.mark.parametrize("begun", [NEW[:777_777], NEW + b"more", made_up(100, 3), b""])
def test_a_begun_file_of_any_length_is_continued(place: Place, begun: bytes) -> None:
    place.part.write_bytes(begun)
    done = prefill(place.map_of(NEW), [place.release("lab@2026.1", OLD)], place.part)
    check(place, done, NEW)


def test_a_second_run_copies_nothing_again(place: Place) -> None:
    old, new = place.release("lab@2026.1", OLD), place.map_of(NEW)
    first = prefill(new, [old], place.part)
    again = prefill(new, [old], place.part)
    assert (again.kept, again.copied, again.missing) == (first.copied, 0, first.missing)


def test_zeros_may_be_a_hole(place: Place) -> None:
    new = NEW[:100_000] + bytes(500_000) + NEW[:50_000]
    check(place, prefill(place.map_of(new), [place.release("lab@2026.1", OLD)], place.part), new)


def test_releases_are_found_newest_first_and_only_with_a_map(place: Place) -> None:
    for name in ("lab@2026.2", "lab@2026.10", "lab@2025.7"):
        place.release(name, OLD[:50_000])
    (place.root / "lab@2025.7/system.chunks").write_bytes(b"no map")
    (place.root / "lab@2026.3").mkdir()
    (place.root / "lab@2026.3/system.squashfs").write_bytes(OLD)  # from before there were maps
    found = [old.file.parent.name for old in old_releases(place.root, but="lab@2026.9")]
    assert found == ["lab@2026.10", "lab@2026.2"]


def test_no_room_is_said_before_the_first_byte(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr("provisioner.swarm.prefill.os.statvfs", lambda _path: full)
    with pytest.raises(DiskChoiceError, match=r"disk is full.* 3 MB more") as caught:
        prefill(place.map_of(NEW), [], place.part)
    assert caught.value.hint
    assert not place.part.exists()


def test_room_that_runs_out_is_said_as_plainly(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place.release("lab@2026.1", OLD), place.map_of(NEW)
    write, wrote = os.pwrite, list[int]()

    def pwrite(handle: int, data: Any, at: int) -> int:
        if len(wrote) > 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        wrote.append(at)
        return write(handle, data, at)

    with monkeypatch.context() as patched:
        patched.setattr("provisioner.swarm.prefill.os.pwrite", pwrite)
        with pytest.raises(DiskChoiceError, match="disk is full"):
            prefill(new, [old], place.part)
    done = prefill(new, [old], place.part)  # somebody made room
    check(place, done, NEW)
    assert done.kept > 0


def test_trouble_with_the_disk_itself_stays_what_it_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = place.release("lab@2026.1", OLD), place.map_of(NEW)

    def pwrite(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("provisioner.swarm.prefill.os.pwrite", pwrite)
    with pytest.raises(OSError, match="Input/output"):
        prefill(new, [old], place.part)
