"""What was written, read back past the page cache and compared with what was to be written.

Large files were proved piece by piece while they grew (`growing`); of those only samples are
read again, if they still lie where they lay then.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from provisioner.agent import layout
from provisioner.agent.direct import Digest, digest_of_file, drop_caches
from provisioner.agent.growing import SAMPLES, Grown, still_there
from provisioner.agent.journey import Journey
from provisioner.agent.partition import Part
from provisioner.agent.personalise import Identity, upper_folder
from provisioner.agent.release_files import place_of
from provisioner.agent.target import Job, mount_all
from provisioner.errors import ImageMismatchError
from provisioner.model.release import Manifest, ReleaseFile
from provisioner.swarm.choose import ReleaseCarrier

log = logging.getLogger(__name__)

Proofs = dict[str, Digest]
At = Callable[[ReleaseFile, int], None]


def read_back(
    job: Job,
    parts: dict[str, Part],
    carrier: ReleaseCarrier,
    grown: Mapping[str, Grown],
    identity: Identity,
    start: Mapping[str, bytes],
    journey: Journey,
) -> Proofs:
    """Mount all anew, read-only, and read each file past the page cache.

    Of those that were proved while they grew only samples are read again, if they lie where
    they lay then. Meanwhile neighbours may still have what is here.
    Raises ImageMismatchError for the first that is not what was to be written.
    """
    drop_caches()
    at = summing(job.manifest, journey.at)
    proofs: Proofs = {}
    with ExitStack() as stack:
        roots = mount_all(stack, parts, read_only=True)
        stack.callback(carrier.rest)
        carrier.resume()
        proofs |= proofs_of(job.manifest, roots, grown, at)
        for name, data in start.items():
            path = roots[layout.ESP] / name.lstrip("/")
            proofs[f"esp:{name}"] = same(name, digest_of_file(path), sha256_of(data))
        upper = roots[layout.STATE] / upper_folder(job.work.release)
        for own in identity.files:
            found = same(own.path, digest_of_file(upper / own.path), sha256_of(own.data))
            if not own.secret:
                proofs[f"state:/{own.path}"] = found
    return proofs


def proofs_of(
    manifest: Manifest, roots: Mapping[str, Path], grown: Mapping[str, Grown], at: At
) -> Proofs:
    """Every file of the release. Raises ImageMismatchError for the first that differs."""
    total = sum(entry.size for entry in manifest.files)
    proofs: Proofs = {}
    for entry in manifest.files:
        place = place_of(entry.path, manifest.id)
        samples = math.ceil(SAMPLES * entry.size / total)
        path = roots[place.label] / place.first
        proofs[entry.path] = _proof_of(path, entry, grown.get(entry.path), samples, at)
    return proofs


def _proof_of(path: Path, entry: ReleaseFile, grown: Grown | None, samples: int, at: At) -> Digest:
    if grown and grown.direct and grown.entry.root.hex() == entry.merkle:
        if still_there(grown, path, samples):
            at(entry, entry.size)
            return Digest(entry.size, "", True, merkle=entry.merkle)
        log.warning("%s lies elsewhere than it was proved: it is read anew", entry.path)
    return same(entry.path, digest_of_file(path, partial(_of, at, entry)), entry.sha256)


def summing(manifest: Manifest, at: Callable[[int, int], None]) -> At:
    """Turn “so much of this file” into “so much of the release”."""
    total = sum(entry.size for entry in manifest.files)
    done: dict[str, int] = {}

    def report(entry: ReleaseFile, have: int) -> None:
        done[entry.path] = have
        at(sum(done.values()), total)

    return report


def _of(at: At, entry: ReleaseFile, done: int, _total: int) -> None:
    at(entry, done)


def same(name: str, found: Digest, sha256: str) -> Digest:
    """`found`, if it has this digest. Raises ImageMismatchError."""
    if found.sha256 != sha256:
        raise ImageMismatchError(
            f"{name} came back from the disk other than it was written.",
            "Try again; if it happens again, test the memory and replace the disk.",
        )
    return found


def sha256_of(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
