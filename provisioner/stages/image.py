"""Image: the release stands on the machine's disk, read back byte for byte."""

from __future__ import annotations

from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork
from provisioner.model.record import ImageEvidence
from provisioner.model.release import Manifest

PARTITION_LABELS = ("bios", "ESP", "system", "state")
# Written by the agent from the release's loader files and from what it made itself.
DISK_PARTS = ("disk:boot-sector", "disk:core", "esp:/EFI/debian/grub.cfg")


def image_work(
    *,
    target: DiskRef,
    manifest: Manifest,
    manifest_sha256: str,
    asset_tag: str,
    authorized_key: str,
    kernel_arguments: str,
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
    )


def judge_image(evidence: ImageEvidence, work: ImageWork, manifest: Manifest) -> list[str]:
    """Reasons why the image is not proved: every file of the manifest must have come back."""
    reasons = []
    if evidence.disk != work.disk:
        reasons.append("The evidence is about another disk.")
    if (evidence.release, evidence.manifest_sha256) != (work.release, work.manifest_sha256):
        reasons.append("The evidence is about another release.")
    if not evidence.direct_io:
        reasons.append("The read-back may have come from memory instead of the disk.")
    if not evidence.ssh_host_keys:
        reasons.append("The machine reported no SSH host key, so it could not be recognised.")
    return reasons + _judge_partitions(evidence) + _judge_files(evidence, manifest)


def _judge_partitions(evidence: ImageEvidence) -> list[str]:
    labels = tuple(part.label for part in sorted(evidence.partitions, key=lambda p: p.number))
    if labels != PARTITION_LABELS:
        return [f"The disk has the partitions {', '.join(labels) or 'none'}."]
    total = work_sectors = 0
    for part in evidence.partitions:
        total = max(total, part.start_sector + part.sectors)
        work_sectors += part.sectors
    if total * 512 > evidence.disk.size_bytes or work_sectors > total:
        return ["The partitions do not fit on the disk that they are said to be on."]
    return []


def _judge_files(evidence: ImageEvidence, manifest: Manifest) -> list[str]:
    back = {item.path: item for item in evidence.read_back}
    reasons = []
    for wanted in manifest.files:
        found = back.get(wanted.path)
        if found is None:
            reasons.append(f"{wanted.path} was not read back.")
        elif (found.size, found.sha256) != (wanted.size, wanted.sha256):
            reasons.append(f"{wanted.path} on the disk differs from the release.")
    reasons += [f"{part} was not read back." for part in DISK_PARTS if part not in back]
    return reasons
