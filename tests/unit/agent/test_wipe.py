"""Wiping a file in the place of a disk, honestly and not."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import wipe
from provisioner.agent.direct import read_exactly, write_exactly
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
    monkeypatch.setattr(wipe, "overwrite", lambda _handle, size, _report: size)
    evidence = run(target, full=full)
    assert evidence.nonzero_blocks > 0
    assert BLANK not in {sample.after for sample in evidence.samples}


def test_one_byte_left_over_is_found_by_the_full_look(
    target: OpenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = wipe.overwrite

    def leave_one(handle: int, size: int, report: object) -> int:
        done = honest(handle, size)
        with target.path.open("r+b") as file:
            file.seek(5_000_001)
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


def test_a_disk_that_shows_one_block_at_two_places(target: OpenDisk) -> None:
    """It reads as zeros everywhere, and half of the donor's data still lies on the medium."""
    wipe.prove_apart(target.handle, target.size)
    assert not any(read_exactly(target.handle, 0, 4096))
    low = target.size // 2
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wipe, "write_exactly", lambda h, at, data: write_exactly(h, at % low, data))
        patch.setattr(wipe, "read_exactly", lambda h, at, size: read_exactly(h, at % low, size))
        wipe.overwrite(target.handle, target.size)
        assert wipe.digest_at(target.handle, low) == hashlib.sha256(bytes(wipe.SAMPLE)).hexdigest()
        with pytest.raises(DiskFaultError, match="did not keep"):
            wipe.prove_apart(target.handle, target.size)
