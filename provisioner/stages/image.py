"""Image: the release stands on the machine's disk, read back byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork
from provisioner.model.read_back import ReadBack
from provisioner.model.record import ImageEvidence
from provisioner.model.release import Manifest
from provisioner.release.bios import SECTOR, boot_sector, core_sectors
from provisioner.release.grubcfg import first_boot_files

PARTITION_LABELS = ("bios", "ESP", "system", "state")


def image_work(
    *,
    target: DiskRef,
    manifest: Manifest,
    manifest_sha256: str,
    asset_tag: str,
    authorized_key: str,
    kernel_arguments: str,
    loader_password: str = "",
    field_url: str = "",
) -> ImageWork:
    return ImageWork(
        disk=target,
        release=manifest.id,
        manifest_sha256=manifest_sha256,
        release_path=f"/releases/{manifest.id}/",
        hostname=asset_tag.lower(),
        asset_tag=asset_tag,
        authorized_key=authorized_key,
        kernel_arguments=kernel_arguments,
        loader_password=loader_password,
        field_url=field_url,
    )


@dataclass(frozen=True)
class BiosLoader:
    """The release's boot.img and core.img, from which the first sectors follow."""

    boot_img: bytes
    core_img: bytes


def judge_image(
    evidence: ImageEvidence, work: ImageWork, manifest: Manifest, loader: BiosLoader
) -> list[str]:
    """Reasons why the image is not proved.

    Every file of the manifest must have come back from the disk as the manifest says. What the
    machine made itself (first sectors, start menu) follows from the release and the partitions,
    so it is computed here again and must be the same.
    """
    reasons = []
    if evidence.disk != work.disk:
        reasons.append("The evidence is about another disk.")
    if (evidence.release, evidence.manifest_sha256) != (work.release, work.manifest_sha256):
        reasons.append("The evidence is about another release.")
    if not evidence.direct_io:
        reasons.append("The read-back may have come from memory instead of the disk.")
    if not evidence.ssh_host_keys:
        reasons.append("The machine reported no SSH host key, so it could not be recognised.")
    reasons += _judge_partitions(evidence)
    # Without sound partitions nothing can be computed from them.
    made = {} if reasons else expected_parts(evidence, work, loader)
    return reasons + judge_files(evidence.read_back, manifest, made)


def judge_files(
    read_back: Sequence[ReadBack],
    manifest: Manifest,
    made: Mapping[str, tuple[int, str]] | None = None,
) -> list[str]:
    """What of a release's files, and of those `made` on the machine (size and SHA-256), did not
    come back from the disk as promised."""
    wanted = {entry.path: (entry.size, entry.sha256) for entry in manifest.files} | dict(made or {})
    roots = {entry.path: entry.merkle for entry in manifest.files if entry.merkle}
    return _judge_read_back(read_back, wanted, roots)


def expected_parts(
    evidence: ImageEvidence, work: ImageWork, loader: BiosLoader
) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of what the machine has to have written besides the release's files."""
    by_label = {part.label: part for part in evidence.partitions}
    start = by_label["bios"].start_sector
    sectors = work.disk.size_bytes // SECTOR
    menu = first_boot_files(
        work.release,
        system_uuid=by_label["system"].filesystem_uuid,
        state_uuid=by_label["state"].filesystem_uuid,
        kernel_arguments=work.kernel_arguments,
        loader_password=work.loader_password,
    )
    parts = {
        "disk:boot-sector": boot_sector(loader.boot_img, core_lba=start, disk_sectors=sectors),
        "disk:core": core_sectors(loader.core_img, first_lba=start),
        **{f"esp:{path}": data for path, data in menu.items()},
    }
    return {name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in parts.items()}


def _judge_partitions(evidence: ImageEvidence) -> list[str]:
    ordered = sorted(evidence.partitions, key=lambda part: part.number)
    labels = tuple(part.label for part in ordered)
    if labels != PARTITION_LABELS:
        return [f"The disk has the partitions {', '.join(labels) or 'none'}."]
    end = 0
    for part in ordered:
        if part.start_sector < end:
            return [f"The partition {part.label} begins inside the one before it."]
        end = part.start_sector + part.sectors
    if end * SECTOR > evidence.disk.size_bytes:
        return ["The partitions do not fit on the disk that they are said to be on."]
    return []


def _judge_read_back(
    read_back: Sequence[ReadBack], wanted: dict[str, tuple[int, str]], roots: dict[str, str]
) -> list[str]:
    """Each thing by its digest, or a large file by the root that the manifest promises.

    Whatever of the two is stated must be right; a root that nobody promised proves nothing.
    """
    back = {item.path: item for item in read_back}
    reasons = []
    for path, (size, sha256) in wanted.items():
        item = back.get(path)
        if item is None:
            reasons.append(f"{path} was not read back.")
            continue
        stated = [
            (item.sha256, sha256) if item.sha256 else None,
            (item.merkle, roots.get(path)) if item.merkle else None,
        ]
        pairs = [pair for pair in stated if pair]
        if item.size != size or not pairs or any(told != promised for told, promised in pairs):
            reasons.append(f"{path} on the disk is not what it should be.")
    return reasons
