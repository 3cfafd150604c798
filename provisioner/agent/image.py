"""Image: put one release on one disk so that the machine starts from it.

`image` is the list of steps. Nothing is written before the manifest is believed and the machine
fits; nothing is startable before everything has been read back; a run that was cut short is
continued when the disk still carries its half-fetched system.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from provisioner.agent import bootloader, layout, mounting, partition
from provisioner.agent.direct import Digest, digest_of_file, drop_caches, sector_size
from provisioner.agent.disk import OpenDisk, opened_exclusively
from provisioner.agent.growing import GrowingProof, Grown, still_there
from provisioner.agent.hardware import read_hardware
from provisioner.agent.journey import Journey
from provisioner.agent.layout import Slot
from provisioner.agent.partition import Part
from provisioner.agent.personalise import (
    Identity,
    make_identity,
    upper_folder,
    write_file,
    write_identity,
)
from provisioner.agent.release_files import (
    Totals,
    check_fits,
    fetch_all,
    place_of,
    trusted_manifest,
)
from provisioner.agent.surroundings import Home
from provisioner.errors import (
    DiskFaultError,
    ImageMismatchError,
    ProofMissingError,
    ProvisionerError,
)
from provisioner.model.order import ImageWork, Order
from provisioner.model.record import ImageEvidence, Partition, ReadBack
from provisioner.model.release import (
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    SYSTEM,
    Manifest,
    ReleaseFile,
)
from provisioner.release.grubcfg import GRUB_CFG, installed_grub_cfg
from provisioner.swarm.choose import ReleaseCarrier, choose_carrier
from provisioner.swarm.fetch import HttpCarrier, SocketOption, Waiting

log = logging.getLogger(__name__)

STEPS = (
    ("manifest", 1.0), ("partition", 6.0), ("fetch", 55.0), ("personalise", 2.0),
    ("check", 30.0), ("loaders", 6.0),
)  # fmt: skip
Proofs = dict[str, Digest]


@dataclass(frozen=True)
class Job:
    """What is installed where: fixed before the first byte is written."""

    work: ImageWork
    manifest: Manifest
    slots: tuple[Slot, ...]
    sector: int


def image(
    order: Order,
    work: ImageWork,
    home: Home,
    journey: Journey,
    waiting: Waiting,
    options: Sequence[SocketOption] = (),
) -> ImageEvidence:
    """The steps of imaging. Raises a ProvisionerError or OSError; then nothing is startable."""
    mounting.release_leftovers()
    journey.enter("manifest")
    base = f"{order.station_url.rstrip('/')}/{work.release_path.strip('/')}/"
    http = HttpCarrier(base, waiting, options)
    manifest = trusted_manifest(http, work, home.station_key)
    check_fits(manifest, read_hardware(), work.disk.size_bytes)
    growing = GrowingProof()
    with ExitStack() as stack:
        carrier = stack.enter_context(
            choose_carrier(
                http, manifest, station_url=order.station_url, release_url=base,
                options=options, watcher=growing,
            )
        )  # fmt: skip
        journey.enter("partition")
        job, disk, parts = prepare(work, manifest, stack)
        journey.enter("fetch")
        identity = make_identity(work, order.station_url, home.station_key)
        config = grub_config(job, parts).encode()
        totals = install(job, parts, carrier, identity, config, journey)
        journey.enter("check")
        proofs = read_back(job, parts, carrier, growing.grown, identity, config, journey)
        journey.enter("loaders")
        proofs |= make_startable(job, parts)
        partition.prove_file_systems(parts.values())
        partition.prove_division(disk, job.slots, job.sector)
        journey.at(1, 1)
        found = evidence(job, disk, parts, proofs, totals, identity)
        return found.model_copy(update={"banned_peers": tuple(carrier.origin.banned)})


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
        partition.divide(disk, slots)
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


def grub_config(job: Job, parts: dict[str, Part]) -> str:
    """The start menu, naming the file systems by what was read from the disk."""
    return installed_grub_cfg(
        job.work.release,
        system_uuid=_uuid(parts[layout.SYSTEM]),
        state_uuid=_uuid(parts[layout.STATE]),
        kernel_arguments=job.work.kernel_arguments,
    )


def install(
    job: Job,
    parts: dict[str, Part],
    carrier: ReleaseCarrier,
    identity: Identity,
    config: bytes,
    journey: Journey,
) -> Totals:
    """Write everything that is not startable yet."""
    with ExitStack() as stack:
        roots = _mount_all(stack, parts, read_only=False)
        stack.callback(carrier.rest)
        totals = fetch_all(carrier, job.manifest, roots, _summing(job.manifest, journey.at))
        journey.enter("personalise")
        place = roots[layout.ESP] / GRUB_CFG.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        write_file(place, config)
        write_identity(roots[layout.STATE], job.work.release, identity)
    return totals


def read_back(
    job: Job,
    parts: dict[str, Part],
    carrier: ReleaseCarrier,
    grown: Mapping[str, Grown],
    identity: Identity,
    config: bytes,
    journey: Journey,
) -> Proofs:
    """Mount all anew, read-only, and read each file past the page cache.

    Of those that were proved while they grew only samples are read again, if they lie where
    they lay then. Meanwhile neighbours may still have what is here.
    Raises ImageMismatchError for the first that is not what was to be written.
    """
    drop_caches()
    at = _summing(job.manifest, journey.at)
    proofs: Proofs = {}
    with ExitStack() as stack:
        roots = _mount_all(stack, parts, read_only=True)
        stack.callback(carrier.rest)
        carrier.resume()
        for entry in job.manifest.files:
            place = place_of(entry.path, job.manifest.id)
            path = roots[place.label] / place.first
            proofs[entry.path] = _proof_of(path, entry, grown.get(entry.path), at)
        path = roots[layout.ESP] / GRUB_CFG.lstrip("/")
        proofs[f"esp:{GRUB_CFG}"] = _same(GRUB_CFG, digest_of_file(path), _sha256(config))
        upper = roots[layout.STATE] / upper_folder(job.work.release)
        for own in identity.files:
            found = _same(own.path, digest_of_file(upper / own.path), _sha256(own.data))
            if not own.secret:
                proofs[f"state:/{own.path}"] = found
    return proofs


def _proof_of(
    path: Path, entry: ReleaseFile, grown: Grown | None, at: Callable[[ReleaseFile, int], None]
) -> Digest:
    if grown and grown.direct and grown.entry.root.hex() == entry.merkle:
        if still_there(grown, path):
            at(entry, entry.size)
            return Digest(entry.size, "", True, merkle=entry.merkle)
        log.warning("%s lies elsewhere than it was proved: it is read anew", entry.path)
    return _same(entry.path, digest_of_file(path, partial(_of, at, entry)), entry.sha256)


def make_startable(job: Job, parts: dict[str, Part]) -> Proofs:
    """The very last writes: loaders on the ESP, core image, first sector; each read back."""
    esp = parts[layout.ESP]
    kind = partition.KINDS[layout.ESP]
    proofs: Proofs = {}
    with mounting.mounted(esp.device, kind, layout.ESP) as root:
        bootloader.place_loaders(root, root / f"releases/{job.manifest.id}/loader")
    drop_caches()
    with mounting.mounted(esp.device, kind, layout.ESP, read_only=True) as root:
        for entry in job.manifest.files:
            if entry.path in bootloader.ESP_PLACES:
                found = digest_of_file(root / bootloader.ESP_PLACES[entry.path])
                proofs[entry.path] = _same(entry.path, found, entry.sha256)
    boot_img, core_img = (_loader(job, parts, path) for path in (LOADER_BOOT_IMG, LOADER_CORE_IMG))
    with opened_exclusively(job.work.disk) as target:
        return proofs | bootloader.write_boot_sectors(
            target, job.slots, job.sector, boot_img, core_img
        )


def _loader(job: Job, parts: dict[str, Part], path: str) -> bytes:
    """A BIOS loader as it lies on the system partition."""
    with mounting.mounted(
        parts[layout.SYSTEM].device, "ext4", layout.SYSTEM, read_only=True
    ) as root:
        data = (root / place_of(path, job.manifest.id).last).read_bytes()
    if _sha256(data) != job.manifest.file(path).sha256:
        raise ImageMismatchError(f"{path} changed on the disk.", "Replace the disk.")
    return data


def evidence(
    job: Job,
    disk: Path,
    parts: dict[str, Part],
    proofs: Proofs,
    totals: Totals,
    identity: Identity,
) -> ImageEvidence:
    """Everything that was measured, with the partitions as the kernel sees them now."""
    # Closing a disk that was open for writing makes udev read its table again; the kernel's
    # partitions are gone for a moment then.
    seen = partition.wait_for_kernel(disk, job.slots, job.sector)
    return ImageEvidence(
        disk=job.work.disk,
        release=job.manifest.id,
        manifest_sha256=job.work.manifest_sha256,
        partitions=tuple(_partition(part, seen) for part in parts.values()),
        read_back=tuple(
            ReadBack(
                path=path,
                size=proof.size,
                sha256=proof.sha256 or None,
                merkle=proof.merkle or None,
            )
            for path, proof in proofs.items()
        ),
        direct_io=all(proof.direct for proof in proofs.values()),
        bytes_fetched=totals.fetched,
        bytes_resumed=totals.resumed,
        bytes_from_peers=totals.from_peers,
        ssh_host_keys=(identity.ssh_host_key,),
        installed_key=identity.installed_key,
    )


def _partition(part: Part, seen: partition.Seen) -> Partition:
    if part.slot.number not in seen:
        raise ProofMissingError(
            f"The kernel no longer sees partition {part.slot.number}.", "Restart and try again."
        )
    start, sectors = seen[part.slot.number]
    return Partition(
        number=part.slot.number,
        label=part.slot.label,
        type_guid=part.slot.type_guid,
        guid=part.guid,
        start_sector=start,
        sectors=sectors,
        filesystem=part.system.kind if part.system else "",
        filesystem_uuid=part.system.uuid if part.system else "",
    )


def _mount_all(stack: ExitStack, parts: dict[str, Part], read_only: bool) -> dict[str, Path]:
    return {
        label: stack.enter_context(
            mounting.mounted(part.device, part.system.kind, label, read_only=read_only)
        )
        for label, part in parts.items()
        if part.system
    }


def _summing(
    manifest: Manifest, at: Callable[[int, int], None]
) -> Callable[[ReleaseFile, int], None]:
    """Turn “so much of this file” into “so much of the release”."""
    total = sum(entry.size for entry in manifest.files)
    done: dict[str, int] = {}

    def report(entry: ReleaseFile, have: int) -> None:
        done[entry.path] = have
        at(sum(done.values()), total)

    return report


def _of(at: Callable[[ReleaseFile, int], None], entry: ReleaseFile, done: int, _total: int) -> None:
    at(entry, done)


def _same(name: str, found: Digest, sha256: str) -> Digest:
    if found.sha256 != sha256:
        raise ImageMismatchError(
            f"{name} came back from the disk other than it was written.",
            "Try again; if it happens again, test the memory and replace the disk.",
        )
    return found


def _uuid(part: Part) -> str:
    if not part.system:
        raise DiskFaultError(f"{part.device.name} holds no file system.")
    return part.system.uuid


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
