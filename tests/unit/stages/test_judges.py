"""Judging evidence: only complete and consistent evidence leaves no reason."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from provisioner.model.erasure import WipeLevel, WipeMethod, undetected_share
from provisioner.model.hardware import DiskRef, Transport
from provisioner.model.order import ImageWork, WipeWork
from provisioner.model.record import (
    DiagnoseEvidence,
    DriveErasure,
    ImageEvidence,
    PartCheck,
    Partition,
    ReadBack,
    Sample,
    WipeEvidence,
)
from provisioner.model.release import SYSTEM, Manifest, Minimum, ReleaseFile, ReleaseKind
from provisioner.stages.diagnose import REQUIRED_CHECKS, judge_diagnosis
from provisioner.stages.image import BiosLoader, expected_parts, judge_image
from provisioner.stages.wipe import judge_wipe
from tests.unit.workshop.robot import fake_boot_img, fake_core_img

DISK = DiskRef(serial="S1", wwn="", model="disk", size_bytes=8 * 10**9, transport=Transport.SATA)
OTHER = DISK.model_copy(update={"serial": "S2"})
WORK = WipeWork(disk=DISK, samples=8)
BLOCK = 4096
BLANK = hashlib.sha256(bytes(BLOCK)).hexdigest()
MARK = hashlib.sha256(b"\x01" * BLOCK).hexdigest()


def wiped(**changes: Any) -> WipeEvidence:
    samples = tuple(Sample(offset=n * 10**6, before=MARK, after=BLANK) for n in range(8))
    ends = (0, DISK.size_bytes - BLOCK)
    values: dict[str, Any] = {
        "disk": DISK, "method": "overwrite", "tool": "agent", "bytes_written": DISK.size_bytes,
        "kept": tuple(Sample(offset=at, before=MARK, after=MARK) for at in ends),
        "bytes_read_back": 8 * BLOCK, "sample_bytes": BLOCK, "samples": samples,
        "nonzero_blocks": 0, "full": False,
    }  # fmt: skip
    return WipeEvidence(**{**values, **changes})


def test_a_whole_wipe_is_proved() -> None:
    assert judge_wipe(wiped(), WORK) == []


END = DISK.size_bytes - BLOCK


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ((), "all the room"),
        ((Sample(offset=0, before=MARK, after=MARK),), "all the room"),
        ((Sample(offset=END, before=MARK, after=MARK),), "all the room"),
        ((Sample(offset=0, before=MARK, after=BLANK),), "Byte 0 changed"),
        ((Sample(offset=END, before=BLANK, after=BLANK),), f"Byte {END} changed"),
    ],
)
def test_marks_at_both_ends_stood_while_all_else_was_written(
    kept: tuple[Sample, ...], said: str
) -> None:
    assert any(said in reason for reason in judge_wipe(wiped(kept=kept), WORK))


def one_sample(**changes: Any) -> tuple[Sample, ...]:
    good = wiped().samples
    return (good[0].model_copy(update=changes), *good[1:])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disk": OTHER}, "another disk"),
        ({"bytes_written": DISK.size_bytes - 1}, "Only"),
        ({"bytes_written": 0}, "Only 0"),
        ({"nonzero_blocks": 1}, "still held data"),
        ({"samples": ()}, "Only 0 of 8"),
        ({"samples": wiped().samples[:1] * 8}, "samples were taken"),
        ({"samples": one_sample(after=MARK)}, "still held data"),
        ({"samples": one_sample(before=BLANK)}, "could not be written"),
        ({"samples": one_sample(offset=DISK.size_bytes)}, "outside the disk"),
    ],
)
def test_a_wipe_that_is_not_proved(changes: dict[str, Any], said: str) -> None:
    assert any(said in reason for reason in judge_wipe(wiped(**changes), WORK))


PURGE = WORK.model_copy(update={"level": WipeLevel.PURGE})
SANITIZED = DriveErasure(
    method=WipeMethod.ATA_SANITIZE_BLOCK, command="hdparm", tool="hdparm v9.65", confirmed=True,
    marks_survived=0,
)  # fmt: skip


def sanitized(**changes: Any) -> DriveErasure:
    return SANITIZED.model_copy(update=changes)


def test_a_purge_is_proved_by_the_drive_and_by_the_marks() -> None:
    assert judge_wipe(wiped(level="purge", drive=SANITIZED, method=SANITIZED.method), PURGE) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "A purge was ordered and a clear was done"),
        ({"level": "purge"}, "not told to sanitize"),
        ({"level": "purge", "drive": sanitized(confirmed=False)}, "does not confirm"),
        ({"level": "purge", "drive": sanitized(marks_survived=3)}, "3 marks survived"),
        (
            {"level": "purge", "drive": sanitized(method=WipeMethod.NVME_FORMAT_CRYPTO)},
            "not told to sanitize",
        ),
    ],
)
def test_a_clear_is_never_taken_for_a_purge(changes: dict[str, Any], said: str) -> None:
    assert any(said in reason for reason in judge_wipe(wiped(**changes), PURGE))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"real_bytes": DISK.size_bytes + 512}, "512 hidden bytes"),
        ({"real_bytes": 512}, "cannot really have 512"),
        ({"bytes_written": DISK.size_bytes * 10**8}, "were written to a disk of"),
        ({"bytes_read_back": DISK.size_bytes * 3}, "were read back from a disk of"),
    ],
)
def test_figures_that_cannot_be_are_refused(changes: dict[str, Any], said: str) -> None:
    assert any(said in reason for reason in judge_wipe(wiped(**changes), WORK))


def test_a_disk_of_512_bytes_cannot_be() -> None:
    tiny = DISK.model_copy(update={"size_bytes": 512})
    evidence = wiped(disk=tiny, bytes_written=512, bytes_read_back=0, samples=())
    work = WORK.model_copy(update={"disk": tiny})
    assert any("512 bytes cannot be" in reason for reason in judge_wipe(evidence, work))


def test_a_full_read_back_that_was_ordered_must_have_been_full() -> None:
    work = WORK.model_copy(update={"full": True})
    assert judge_wipe(wiped(), work)
    assert judge_wipe(wiped(full=True, bytes_read_back=DISK.size_bytes - 1), work)
    assert judge_wipe(wiped(full=True, bytes_read_back=DISK.size_bytes), work) == []


def test_what_samples_can_miss() -> None:
    assert undetected_share(64, 0.10) == pytest.approx(0.00118, rel=0.01)


MANIFEST = Manifest(
    name="lab", version="2026.1", number=2026001, kind=ReleaseKind.SYSTEM, suite="trixie",
    architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
    minimum=Minimum(memory_mib=1024, disk_mb=4000), installed_bytes=1, components=(),
    files=(
        ReleaseFile(path="system.squashfs", size=10, sha256="a" * 64),
        ReleaseFile(path="vmlinuz", size=5, sha256="b" * 64),
    ),
)  # fmt: skip
IMAGE = ImageWork(
    disk=DISK, release="lab@2026.1", manifest_sha256="c" * 64, release_path="/releases/lab@2026.1/",
    hostname="pc-0001", asset_tag="PC-0001", authorized_key="ssh-ed25519 AAAA",
)  # fmt: skip


LOADER = BiosLoader(boot_img=fake_boot_img(), core_img=fake_core_img())


def part(number: int, label: str) -> Partition:
    return Partition(
        number=number, label=label, type_guid="x", guid="y",
        start_sector=2048 * number, sectors=2048,
    )  # fmt: skip


def imaged(**changes: Any) -> ImageEvidence:
    files = [ReadBack(path=f.path, size=f.size, sha256=f.sha256) for f in MANIFEST.files]
    values: dict[str, Any] = {
        "disk": DISK, "release": "lab@2026.1", "manifest_sha256": "c" * 64,
        "partitions": tuple(
            part(n, label) for n, label in enumerate(("bios", "ESP", "system", "state"), 1)
        ),
        "read_back": tuple(files), "direct_io": True, "bytes_fetched": 15,
        "ssh_host_keys": ("ssh-ed25519 AAAA",), "installed_key": "e" * 64,
    }  # fmt: skip
    made = expected_parts(ImageEvidence(**values), IMAGE, LOADER)
    values["read_back"] += tuple(
        ReadBack(path=path, size=size, sha256=sha256) for path, (size, sha256) in made.items()
    )
    return ImageEvidence(**{**values, **changes})


def test_a_whole_image_is_proved() -> None:
    assert judge_image(imaged(), IMAGE, MANIFEST, LOADER) == []


GOOD = imaged().read_back


def lied(items: tuple[ReadBack, ...]) -> tuple[ReadBack, ...]:
    return tuple(item.model_copy(update={"sha256": "d" * 64}) for item in items)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"disk": OTHER}, "another disk"),
        ({"release": "lab@2026.2"}, "another release"),
        ({"manifest_sha256": "f" * 64}, "another release"),
        ({"direct_io": False}, "from memory"),
        ({"ssh_host_keys": ()}, "host key"),
        ({"read_back": GOOD[1:]}, "system.squashfs was not read back"),
        ({"read_back": ()}, "was not read back"),
        ({"read_back": GOOD[:-1]}, "entry.cfg was not read back"),
        ({"read_back": GOOD[:-3]}, "grubenv was not read back"),
        ({"read_back": (*GOOD[:-7], *lied(GOOD[-7:]))}, "disk:boot-sector on the disk is not"),
        ({"read_back": (*GOOD[:-7], *lied(GOOD[-7:]))}, "grub.cfg on the disk is not"),
        ({"partitions": ()}, "partitions none"),
        ({"partitions": imaged().partitions[:3]}, "partitions"),
    ],
)
def test_an_image_that_is_not_proved(changes: dict[str, Any], said: str) -> None:
    assert any(said in reason for reason in judge_image(imaged(**changes), IMAGE, MANIFEST, LOADER))


@pytest.mark.parametrize("change", [{"sha256": "0" * 64}, {"size": 11}])
def test_a_file_that_reads_back_differently_is_found(change: dict[str, Any]) -> None:
    back = (GOOD[0].model_copy(update=change), *GOOD[1:])
    assert judge_image(imaged(read_back=back), IMAGE, MANIFEST, LOADER) == [
        "system.squashfs on the disk is not what it should be."
    ]


ROOT = "c" * 64
CARRIED = MANIFEST.model_copy(
    update={
        "files": tuple(
            entry.model_copy(update={"merkle": ROOT}) if entry.path == SYSTEM else entry
            for entry in MANIFEST.files
        )
    }
)


@pytest.mark.parametrize(
    ("change", "proved"),
    [
        ({"sha256": None, "merkle": ROOT}, True),
        ({"merkle": ROOT}, True),
        ({"sha256": None, "merkle": "d" * 64}, False),
        ({"sha256": None, "merkle": None}, False),
        ({"sha256": "0" * 64, "merkle": ROOT}, False),
        ({"merkle": "d" * 64}, False),
        ({"sha256": None, "merkle": ROOT, "size": 11}, False),
    ],
)
def test_a_large_file_is_proved_by_the_root_that_the_manifest_promises(
    change: dict[str, Any], proved: bool
) -> None:
    back = tuple(item.model_copy(update=change) if item.path == SYSTEM else item for item in GOOD)
    reasons = judge_image(imaged(read_back=back), IMAGE, CARRIED, LOADER)
    assert reasons == ([] if proved else ["system.squashfs on the disk is not what it should be."])


def test_a_root_that_nobody_promised_proves_nothing() -> None:
    for item in GOOD:
        back = tuple(
            other.model_copy(update={"sha256": None, "merkle": ROOT}) if other is item else other
            for other in GOOD
        )
        assert judge_image(imaged(read_back=back), IMAGE, MANIFEST, LOADER)


def test_overlapping_partitions_are_impossible() -> None:
    parts = list(imaged().partitions)
    parts[2] = parts[2].model_copy(update={"start_sector": parts[1].start_sector})
    assert judge_image(imaged(partitions=tuple(parts)), IMAGE, MANIFEST, LOADER)


def test_partitions_larger_than_the_disk_are_impossible() -> None:
    parts = list(imaged().partitions)
    parts[3] = parts[3].model_copy(update={"sectors": DISK.size_bytes})
    assert judge_image(imaged(partitions=tuple(parts)), IMAGE, MANIFEST, LOADER)


def checks(**outcomes: str) -> DiagnoseEvidence:
    values = {**dict.fromkeys(REQUIRED_CHECKS, "pass"), **outcomes}
    return DiagnoseEvidence(
        checks=tuple(PartCheck(id=k.replace("_", "-"), outcome=v) for k, v in values.items())
    )


def test_a_diagnosis_with_every_required_check() -> None:
    assert judge_diagnosis(checks()) == []
    assert judge_diagnosis(checks(smart="unknown", clock="warn")) == []


def test_a_failed_part_and_a_missing_measurement_are_reasons() -> None:
    assert judge_diagnosis(checks(smart="fail"))
    assert judge_diagnosis(DiagnoseEvidence(checks=()))
    for name in REQUIRED_CHECKS:
        assert judge_diagnosis(checks(**{name: "unknown"}))
