"""Image: put one release on one disk so that the machine starts from it.

`image` is the list of steps. Nothing is written before the manifest is believed and the machine
fits; nothing is startable before everything has been read back; a run that was cut short is
continued when the disk still carries its half-fetched system.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from provisioner.agent import bootloader, layout, mounting, partition
from provisioner.agent.direct import digest_of_file, drop_caches
from provisioner.agent.disk import opened_exclusively
from provisioner.agent.evidence import evidence
from provisioner.agent.growing import GrowingProof
from provisioner.agent.hardware import read_hardware
from provisioner.agent.journey import Journey
from provisioner.agent.partition import Part
from provisioner.agent.personalise import (
    Identity,
    make_identity,
    write_file,
    write_identity,
)
from provisioner.agent.readback import Proofs, read_back, same, sha256_of, summing
from provisioner.agent.release_files import (
    Totals,
    check_fits,
    fetch_all,
    place_of,
    trusted_manifest,
)
from provisioner.agent.surroundings import Home
from provisioner.agent.target import Job, mount_all, prepare
from provisioner.errors import (
    DiskFaultError,
    ImageMismatchError,
)
from provisioner.model.order import ImageWork, Order
from provisioner.model.record import ImageEvidence
from provisioner.model.release import (
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    MANIFEST,
)
from provisioner.release.grubcfg import first_boot_files
from provisioner.swarm.choose import ReleaseCarrier, choose_carrier
from provisioner.swarm.fetch import HttpCarrier, SocketOption, Waiting

STEPS = (
    ("manifest", 1.0), ("partition", 6.0), ("fetch", 55.0), ("personalise", 2.0),
    ("check", 30.0), ("loaders", 6.0),
)  # fmt: skip


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
    manifest, envelope = trusted_manifest(http, work, home.station_key)
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
        job = replace(job, envelope=envelope)
        journey.enter("fetch")
        identity = make_identity(work, order.station_url, home.station_key)
        start = start_files(job, parts)
        totals = install(job, parts, carrier, identity, start, journey)
        journey.enter("check")
        proofs = read_back(job, parts, carrier, growing.grown, identity, start, journey)
        journey.enter("loaders")
        proofs |= make_startable(job, parts)
        partition.prove_file_systems(parts.values())
        partition.prove_division(disk, job.slots, job.sector)
        journey.at(1, 1)
        found = evidence(job, disk, parts, proofs, totals, identity)
        return found.model_copy(update={"banned_peers": tuple(carrier.origin.banned)})


def start_files(job: Job, parts: dict[str, Part]) -> dict[str, bytes]:
    """The start menu and what belongs to it, naming the file systems by what was read from the
    disk."""
    return first_boot_files(
        job.work.release,
        system_uuid=_uuid(parts[layout.SYSTEM]),
        state_uuid=_uuid(parts[layout.STATE]),
        kernel_arguments=job.work.kernel_arguments,
        loader_password=job.work.loader_password,
    )


def install(
    job: Job,
    parts: dict[str, Part],
    carrier: ReleaseCarrier,
    identity: Identity,
    start: dict[str, bytes],
    journey: Journey,
) -> Totals:
    """Write everything that is not startable yet."""
    with ExitStack() as stack:
        roots = mount_all(stack, parts, read_only=False)
        stack.callback(carrier.rest)
        totals = fetch_all(carrier, job.manifest, roots, summing(job.manifest, journey.at))
        journey.enter("personalise")
        for path, data in start.items():
            place = roots[layout.ESP] / path.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            write_file(place, data)
        write_identity(roots[layout.STATE], job.work.release, identity)
        # so that the machine can tell later what it has, and give it to others
        write_file(roots[layout.SYSTEM] / f"releases/{job.manifest.id}/{MANIFEST}", job.envelope)
    return totals


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
                proofs[entry.path] = same(entry.path, found, entry.sha256)
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
    if sha256_of(data) != job.manifest.file(path).sha256:
        raise ImageMismatchError(f"{path} changed on the disk.", "Replace the disk.")
    return data


def _uuid(part: Part) -> str:
    if not part.system:
        raise DiskFaultError(f"{part.device.name} holds no file system.")
    return part.system.uuid
