"""The files of a release on their way to the target: believed only as the signed manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provisioner.agent.bootloader import ESP_PLACES
from provisioner.agent.diagnose import enough_memory
from provisioner.errors import DiskChoiceError, ImageMismatchError, UntrustedError
from provisioner.model.hardware import Hardware
from provisioner.model.order import ImageWork
from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_SHIM,
    MANIFEST,
    SYSTEM,
    Manifest,
    ReleaseFile,
    ReleaseKind,
)
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.release.grubcfg import kernel_folder
from provisioner.swarm.fetch import Carrier, HttpCarrier, Wanted

NEEDED = (SYSTEM, KERNEL, INITRD, LOADER_BOOT_IMG, LOADER_CORE_IMG, LOADER_SHIM, LOADER_GRUB)
ON_ESP = frozenset({KERNEL, INITRD, *ESP_PLACES})


@dataclass(frozen=True)
class Place:
    """Where a file of the release goes: partition label, path while the disk is not startable
    yet, and its last path."""

    label: str
    first: str
    last: str


def place_of(path: str, release: str) -> Place:
    """Kernels and loaders on the ESP; all else beside the system image.

    A loader waits in a folder where no firmware looks for it. BIOS loaders are kept as files
    too: a renewal writes the boot sectors again without asking the station.
    """
    folder = kernel_folder(release).lstrip("/")
    if path in ESP_PLACES:
        return Place("ESP", f"{folder}/{path}", ESP_PLACES[path])
    if path in ON_ESP:
        return Place("ESP", f"{folder}/{path}", f"{folder}/{path}")
    return Place("system", f"releases/{release}/{path}", f"releases/{release}/{path}")


def trusted_manifest(
    carrier: HttpCarrier, work: ImageWork, station_key: str
) -> tuple[Manifest, bytes]:
    """Fetch and check the signed manifest; returns it with its envelope. Raises UntrustedError;
    nothing was written yet."""
    envelope = carrier.read(MANIFEST, MAX_ENVELOPE_BYTES)
    if hashlib.sha256(envelope).hexdigest() != work.manifest_sha256:
        raise UntrustedError(
            f"The station serves another manifest of {work.release} than it ordered.",
            "Was the release built anew? Start the batch's work again.",
        )
    manifest, _ = open_envelope(envelope, Manifest, trusted=station_key)
    check_manifest(manifest, work.release)
    return manifest, envelope


def check_manifest(manifest: Manifest, release: str) -> None:
    """Whether it is the release of the order, and one that can be installed."""
    if manifest.id != release or manifest.kind is not ReleaseKind.SYSTEM:
        raise UntrustedError(
            f"The manifest is of {manifest.id} ({manifest.kind}), ordered was {release}.",
            "The release on the station is mixed up; build it again.",
        )
    known = {entry.path for entry in manifest.files}
    if missing := [path for path in NEEDED if path not in known]:
        raise ImageMismatchError(
            f"{manifest.id} lacks {', '.join(missing)}.", "Build the release again."
        )


def check_fits(manifest: Manifest, hardware: Hardware, disk_bytes: int) -> None:
    """Whether this machine carries the release. Raises DiskChoiceError, before any write."""
    least = manifest.minimum
    if not enough_memory(hardware.memory_mib, least.memory_mib):
        raise DiskChoiceError(
            f"{manifest.id} needs {least.memory_mib} MiB of memory; this machine has "
            f"{hardware.memory_mib} MiB.",
            "Put in more memory or choose a smaller release.",
        )
    if disk_bytes < least.disk_mb * 1_000_000:
        raise DiskChoiceError(
            f"{manifest.id} needs a disk of {least.disk_mb} MB; this one has "
            f"{disk_bytes // 1_000_000} MB.",
            "Put in a larger disk or choose a smaller release.",
        )


@dataclass(frozen=True)
class Totals:
    """Bytes that came over the wire, that were here already, and the wire's from neighbours."""

    fetched: int = 0
    resumed: int = 0
    from_peers: int = 0
    from_carousel: int = 0


def fetch_all(
    carrier: Carrier,
    manifest: Manifest,
    roots: Mapping[str, Path],
    report: Callable[[ReleaseFile, int], None],
) -> Totals:
    """Bring every file of the release to its first place; the large ones first."""
    totals = Totals()
    for entry in sorted(manifest.files, key=lambda entry: -entry.size):
        place = place_of(entry.path, manifest.id)
        into = roots[place.label] / place.first
        into.parent.mkdir(parents=True, exist_ok=True)
        wanted = Wanted(entry.path, entry.size, entry.sha256)
        got = carrier.fetch(wanted, into, partial(report, entry))
        totals = Totals(
            totals.fetched + got.fetched,
            totals.resumed + got.resumed,
            totals.from_peers + got.from_peers,
            totals.from_carousel + got.from_carousel,
        )
    return totals
