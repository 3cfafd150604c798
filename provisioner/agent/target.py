"""The disk that a release is put on: divided and formatted, or taken up where a run was cut short.

`prepare` is the only way to it. Nothing that it leaves behind is startable.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.agent import layout, mounting, partition
from provisioner.agent.direct import sector_size
from provisioner.agent.disk import OpenDisk, opened_exclusively
from provisioner.agent.layout import Slot
from provisioner.agent.partition import Part
from provisioner.errors import ProvisionerError
from provisioner.model.order import ImageWork
from provisioner.model.release import SYSTEM, Manifest


@dataclass(frozen=True)
class Job:
    """What is installed where: fixed before the first byte is written."""

    work: ImageWork
    manifest: Manifest
    slots: tuple[Slot, ...]
    sector: int
    envelope: bytes = b""  # the signed manifest, as it came


def prepare(
    work: ImageWork, manifest: Manifest, stack: ExitStack
) -> tuple[Job, Path, dict[str, Part]]:
    """Divide and format the disk, or take up what an interrupted run left on it.

    Until `stack` ends the kernel keeps the partitions as they are.
    """
    image_bytes = manifest.file(SYSTEM).size
    with opened_exclusively(work.disk) as target:
        sector = sector_size(target.handle)
        slots = layout.plan_layout(target.size, sector, image_bytes)
        job = Job(work, manifest, slots, sector)
        resume = layout.matches_plan(slots, partition.read_table(target.handle, sector))
        _clear(target, job, resume)
        disk = target.path
    if resume:
        with partition.pinned(disk, slots, sector):
            parts = partition.prove_division(disk, slots, sector)
            resume = holds_release(parts[2], work.release)
        if not resume:
            with opened_exclusively(work.disk) as target:
                _clear(target, job, resume=False)
    if not resume:
        partition.divide(disk, slots, sector)
    stack.enter_context(partition.pinned(disk, slots, sector))
    parts = partition.prove_division(disk, slots, sector)
    made = [_formatted(part, keep=resume) for part in parts]
    return job, disk, {part.slot.label: part for part in made}


def _clear(target: OpenDisk, job: Job, resume: bool) -> None:
    if resume:
        ranges = partition.unboot(job.slots, job.sector)
    else:
        ranges = partition.ranges_to_clear(job.slots, target.size, job.sector)
    partition.clear(target, ranges)


def _formatted(part: Part, keep: bool) -> Part:
    if part.slot.label == layout.BIOS:
        return part
    if keep and part.slot.label == layout.SYSTEM:
        return replace(part, system=partition.read_file_system(part.device))
    return partition.make_file_system(part)


def holds_release(part: Part, release: str) -> bool:
    """Whether the system partition still carries the begun release; everything else on it goes.

    Any trouble with it means no: it is made anew then.
    """
    found = partition.read_file_system(part.device)
    if not found or (found.kind, found.label) != ("ext4", layout.SYSTEM):
        return False
    try:
        with mounting.mounted(part.device, "ext4", layout.SYSTEM) as root:
            folder = root / "releases" / release
            if not any(folder.glob(f"{SYSTEM}*")):
                return False
            keep_only(root, folder)
            return True
    except (ProvisionerError, OSError):
        mounting.release_leftovers()
        return False


def keep_only(root: Path, folder: Path) -> None:
    """Remove all that is not the begun system image."""
    for path in (*root.glob("*"), *root.glob("releases/*"), *folder.glob("*")):
        if path in (*folder.parents, folder) or path.name.startswith(SYSTEM):
            continue
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def mount_all(stack: ExitStack, parts: dict[str, Part], read_only: bool) -> dict[str, Path]:
    """Each partition's file system at its place, by label, until `stack` ends."""
    return {
        label: stack.enter_context(
            mounting.mounted(part.device, part.system.kind, label, read_only=read_only)
        )
        for label, part in parts.items()
        if part.system
    }
