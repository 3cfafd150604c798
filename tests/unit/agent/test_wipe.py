"""Wiping a file in the place of a disk, honestly and not."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from provisioner.agent import wipe
from provisioner.agent.disk import OpenDisk
from provisioner.agent.drive_erase import Erased
from provisioner.agent.journey import Journey
from provisioner.errors import (
    CommandError,
    DiskFaultError,
    ProofMissingError,
    WipeRefusedError,
)
from provisioner.model.erasure import WipeMethod
from provisioner.model.hardware import DiskRef
from provisioner.model.order import WipeWork
from provisioner.model.record import WipeEvidence
from provisioner.stages.wipe import judge_wipe
from tests.unit.agent.conftest import make_disk

BLANK = hashlib.sha256(bytes(wipe.SAMPLE)).hexdigest()


def work_for(target: OpenDisk, **more: object) -> WipeWork:
    values = {"disk": DiskRef.of(target.disk), "samples": 20}
    return WipeWork.model_validate({**values, **more})


def run(target: OpenDisk, **more: object) -> WipeEvidence:
    work = work_for(target, **more)
    return wipe.wipe_open(target, work, Journey(wipe.steps(work)))


def test_everything_is_overwritten_and_said_so(target: OpenDisk) -> None:
    evidence = run(target)
    assert not any(target.path.read_bytes())
    assert evidence.bytes_written == target.size
    assert evidence.nonzero_blocks == 0
    assert {sample.after for sample in evidence.samples} == {BLANK}
    assert BLANK not in {sample.before for sample in evidence.samples}


def test_full_reads_every_byte_back(target: OpenDisk) -> None:
    evidence = run(target, full=True)
    assert evidence.full
    assert evidence.bytes_read_back == target.size


@pytest.mark.parametrize("full", [False, True])
def test_a_wipe_that_does_nothing_is_found_on_a_blank_disk(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    target.path.write_bytes(bytes(target.size))
    monkeypatch.setattr(wipe, "overwrite", lambda *_: target.size // 2)
    evidence = run(target, full=full)
    assert evidence.nonzero_blocks > 0
    assert BLANK not in {sample.after for sample in evidence.samples}
    assert judge_wipe(evidence, work_for(target, full=full))


def test_one_byte_left_over_is_found_by_the_full_look(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = wipe.overwrite

    def leave_one(handle: int, stretches: Iterable[tuple[int, int]], *_: object) -> int:
        around = list(stretches)  # the marks, at places drawn by lot, lie between these
        done = honest(handle, around)
        with target.path.open("r+b") as file:
            file.seek(around[0][0] + 1)
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
        return done

    monkeypatch.setattr(wipe, "overwrite", leave_one)
    assert run(target, full=True).nonzero_blocks == 1


def test_a_disk_that_keeps_nothing_is_faulty(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wipe, "write_exactly", lambda *_: None)
    with pytest.raises(DiskFaultError):
        run(target)


@pytest.mark.parametrize("size", [2**24, 2**34, 16_000_000_000, 500_107_862_016])
@pytest.mark.parametrize("samples", [1, 64, 1000])
def test_places_cover_the_edges_and_never_overlap(size: int, samples: int) -> None:
    size = size // 512 * 512
    places = wipe.choose_places(size, samples, random.Random(7))
    assert places[0] == 0
    assert places[-1] + wipe.SAMPLE == size
    assert all(b - a >= wipe.SAMPLE for a, b in itertools.pairwise(places))
    assert all(at % 512 == 0 for at in places)
    assert len(places) >= min(samples, size // wipe.SAMPLE) * 2 // 3
    assert set(range(0, wipe.EDGE, wipe.SAMPLE)) <= set(places)


def test_places_differ_from_time_to_time() -> None:
    assert wipe.choose_places(2**34, 64) != wipe.choose_places(2**34, 64)


def test_no_more_samples_than_a_record_holds() -> None:
    assert len(wipe.choose_places(2**40, 1_000_000)) <= wipe.MAX_SAMPLES


def test_the_wipe_is_written_before_it_is_looked_at(target: OpenDisk, tmp_path: Path) -> None:
    steps: list[str] = []
    work = work_for(target)
    wipe.wipe_open(target, work, Journey(wipe.steps(work), lambda now: steps.append(now.step)))
    assert list(dict.fromkeys(steps)) == ["mark", "overwrite", "look"]


def purge(target: OpenDisk, monkeypatch: pytest.MonkeyPatch, leave: bool) -> WipeEvidence:
    """A drive that says it has sanitized itself, and has or has not."""

    def erase(path: Path, method: WipeMethod, report: object) -> Erased:
        if not leave:
            with path.open("r+b") as file:
                file.write(os.urandom(target.size))  # as after a crypto scramble
                os.fsync(file.fileno())
        return Erased(method, "hdparm --sanitize-crypto-scramble", "hdparm v9.65", confirmed=True)

    monkeypatch.setattr(wipe, "erase_by_drive", erase)
    work = work_for(target, level="purge")
    plan = wipe.Plan(WipeMethod.ATA_SANITIZE_CRYPTO)
    return wipe.wipe_open(target, work, Journey(wipe.steps(work)), plan)


def test_a_purge_is_sanitize_then_zeros_then_a_look(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = purge(target, monkeypatch, leave=False)
    assert evidence.drive is not None and evidence.drive.marks_survived == 0
    assert not any(target.path.read_bytes())
    assert judge_wipe(evidence, work_for(target, level="purge")) == []


def test_a_drive_that_lies_about_its_sanitize_is_found(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence = purge(target, monkeypatch, leave=True)
    assert evidence.drive is not None and evidence.drive.marks_survived == len(evidence.samples)
    assert judge_wipe(evidence, work_for(target, level="purge"))


def test_a_purge_without_a_plan_is_no_clear(target: OpenDisk) -> None:
    with pytest.raises(ProofMissingError):
        run(target, level="purge")


def test_a_disk_that_cannot_be_purged_is_not_touched(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = target.path.read_bytes()

    @contextlib.contextmanager
    def opened(ref: DiskRef) -> Iterator[OpenDisk]:
        yield target

    monkeypatch.setattr(wipe, "opened_exclusively", opened)
    monkeypatch.setattr(wipe, "read_disks", lambda: (target.disk,))
    monkeypatch.setattr("provisioner.agent.drive.run", _no_tool)
    work = work_for(target, level="purge")
    with pytest.raises(WipeRefusedError, match="does not tell"):
        wipe.wipe(work, Journey(wipe.steps(work)))
    assert target.path.read_bytes() == before


def _no_tool(*_: object, **__: object) -> None:
    raise CommandError("not installed")


def test_the_version_is_the_distributions() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert f'version = "{wipe.VERSION}"' in text


# Disks with less room than they claim: where each byte of what they claim truly lies.

Fold = Callable[[int], int | None]
CLAIMED = 24 * 1024 * 1024
GRAIN = 512


def modulo(size: int) -> Fold:
    return lambda at: at % size


def window(size: int, width: int) -> Fold:
    """All that is too much lies in the last `width` bytes there are."""
    return lambda at: at if at < size else size - width + (at - size) % width


def nothing_behind(size: int) -> Fold:
    return lambda at: at if at < size else None


def part_twice(start: int, length: int, by: int) -> Fold:
    """Not smaller than it claims, but some addresses lead to others' blocks."""
    return lambda at: at + by if start <= at < start + length else at


LIARS: dict[str, Fold] = {
    "one sector": modulo(CLAIMED - 512),
    "the third part of it": modulo(CLAIMED // 3),
    "as three to two": modulo(CLAIMED * 2 // 3),
    "odd": modulo(CLAIMED * 7 // 11 // 512 * 512),
    "little more than the first MiB": modulo(1024 * 1024 + 512),
    "a sixteenth of its last part": window(CLAIMED // 2, CLAIMED // 32),
    "one block for all that is too much": window(CLAIMED - 2**20 - 4096, 4096),
    "writes that go nowhere": nothing_behind(CLAIMED // 2),
    "the last sector goes nowhere": nothing_behind(CLAIMED - 512),
    "a block at the beginning, again at the end": part_twice(CLAIMED - 4096, 4096, 4096 - CLAIMED),
}


@contextlib.contextmanager
def folded(fold: Fold) -> Iterator[None]:
    """The disk is what it claims to be only where `fold` says so."""

    def stretches(start: int, size: int) -> Iterator[tuple[int | None, int, int]]:
        """Place on the medium, place in the request, length; joined where they lie in a row."""
        begin, place = 0, fold(start)
        for at in range(GRAIN, size + 1, GRAIN):
            after = fold(start + at) if at < size else None
            if at == size or after != (place + at - begin if place is not None else None):
                yield place, begin, at - begin
                begin, place = at, after

    def write(handle: int, start: int, data: memoryview) -> None:
        for place, at, size in stretches(start, len(data)):
            if place is not None:
                os.pwrite(handle, memoryview(data)[at : at + size], place)

    def read(handle: int, start: int, size: int) -> bytes:
        return b"".join(
            bytes(length) if place is None else os.pread(handle, length, place)
            for place, _, length in stretches(start, size)
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wipe, "write_exactly", write)
        patch.setattr(wipe, "read_exactly", read)
        yield


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[OpenDisk]:
    """What there is; not opened for direct input, whose buffers would have to be aligned."""
    disk = make_disk(size=CLAIMED)
    (tmp_path / disk.name).write_bytes(os.urandom(CLAIMED))
    handle = os.open(tmp_path / disk.name, os.O_RDWR)
    yield OpenDisk(disk, tmp_path / disk.name, handle)
    os.close(handle)


@pytest.mark.parametrize("how", LIARS)
def test_a_disk_with_less_room_than_it_claims(
    medium: OpenDisk, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With as few marks as can be, so that they seldom meet, as on a large disk."""
    monkeypatch.setattr(wipe, "APART", 1)
    with folded(LIARS[how]), pytest.raises(DiskFaultError):
        run(medium, samples=1)


def test_a_disk_whose_middle_is_a_part_of_its_beginning(medium: OpenDisk) -> None:
    """Two of 32 slices of a disk hold a whole place at least."""
    with folded(part_twice(9 * 2**20, 2**21, -(2**22))), pytest.raises(DiskFaultError):
        wipe.overwrite_apart(medium.handle, medium.size)


@pytest.mark.parametrize("how", LIARS)
def test_a_disk_that_begins_to_lie_after_the_first_marks(
    medium: OpenDisk, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would read as zeros everywhere, and a part of the donor's data still lie there."""
    monkeypatch.setattr(wipe, "APART", 1)
    wipe.mark(medium.handle, wipe.choose_places(medium.size, 1))
    with folded(LIARS[how]), pytest.raises(DiskFaultError):
        wipe.overwrite_apart(medium.handle, medium.size)


def test_a_disk_that_is_what_it_claims(medium: OpenDisk) -> None:
    with folded(lambda at: at):
        evidence = run(medium, samples=8)
    assert judge_wipe(evidence, work_for(medium, samples=8)) == []
    assert not any(medium.path.read_bytes())


def test_what_lies_between_the_marks() -> None:
    sample, size = wipe.SAMPLE, 16 * wipe.SAMPLE + 512
    places = [0, sample, 5 * sample, 15 * sample + 512]
    gaps = list(wipe.between(places, size))
    assert gaps == [(2 * sample, 5 * sample), (6 * sample, 15 * sample + 512)]
    assert list(wipe.between([], 7)) == [(0, 7)]
    assert list(wipe.between([0], size)) == [(sample, size)]
