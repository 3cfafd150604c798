"""What an update costs, from one release to another; and making it cost less."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import NotFoundError, ProofMissingError, ProvisionerError
from provisioner.model.patch import PATCHES, Patch, patch_name, promise_name, torrent_name
from provisioner.model.release import SYSTEM, Manifest
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.release import chunking
from provisioner.release.catalog import Catalog, flush
from provisioner.release.chunks import CHUNKS, ChunkMap, merge, plan_prefill, read_chunk_map
from provisioner.release.manifest import file_digest
from provisioner.release.patch import library_of, make_patch
from provisioner.swarm import patching
from provisioner.swarm.delta import CLOSE_BYTES
from provisioner.swarm.prefill import OldRelease, prefill
from provisioner.swarm.torrent import Torrent, hash_file

Report = Callable[[str, float], None]
# A patch has some megabytes, and 25 machines want it at once: more pieces than a release's, and
# still no more than 0.03 % of it for their hashes, which everybody fetches.
PATCH_PIECE_BYTES = 128 * 1024


@dataclass(frozen=True)
class Delta:
    """The ways from `old` to `new`, in bytes of `new`'s system image or over the wire.

    `requests` is how many ranges of bytes the missing pieces make. `patch_bytes` is None when
    none is published.
    """

    old: str
    new: str
    whole_bytes: int
    missing_bytes: int
    map_bytes: int
    requests: int
    patch_bytes: int | None


def cost(catalog: Catalog, old: str, new: str, trusted: str) -> Delta:
    """Measure an update. Raises NotFoundError; UntrustedError for a patch signed by another."""
    maps = [map_of(catalog, catalog.get(name)) for name in (old, new)]
    plan = plan_prefill(maps[1], [maps[0]])
    patch = published(catalog, catalog.get(old).id, catalog.get(new).id, trusted)
    chunks = catalog.folder(new) / CHUNKS
    return Delta(
        old=catalog.get(old).id,
        new=catalog.get(new).id,
        whole_bytes=maps[1].size,
        missing_bytes=plan.missing_bytes,
        map_bytes=chunks.stat().st_size if chunks.is_file() else 0,
        requests=len(merge(plan.missing, CLOSE_BYTES)),
        patch_bytes=patch.size if patch else None,
    )


def map_of(catalog: Catalog, manifest: Manifest) -> ChunkMap:
    """A release's chunk map; one from before there were maps is cut now."""
    folder = catalog.folder(manifest.id)
    if not (folder / SYSTEM).is_file():
        raise NotFoundError(
            f"{manifest.id} has no system image.", "Only releases of the kind “system” have one."
        )
    if (folder / CHUNKS).is_file():
        return read_chunk_map((folder / CHUNKS).read_bytes())
    return chunking.cut(folder / SYSTEM)


def patches_of(catalog: Catalog, new: str) -> Path:
    """Where the patches to a release lie."""
    return catalog.root.parent / PATCHES / new


def published(catalog: Catalog, old: str, new: str, trusted: str) -> Patch | None:
    """The patch from `old` to `new`, if there is one. Raises UntrustedError."""
    folder = patches_of(catalog, new)
    try:
        envelope = (folder / promise_name(old)).read_bytes()
    except FileNotFoundError:
        return None
    return open_envelope(envelope, Patch, trusted=trusted)[0]


def publish_patch(
    catalog: Catalog,
    key: PrivateKey,
    old: str,
    new: str,
    report: Report = lambda _step, _fraction: None,
) -> Patch:
    """Make a patch, prove that it works, sign it and put it on offer.

    Raises ProofMissingError when the old image, patched, is not the new one.
    """
    before, after = catalog.get(old), catalog.get(new)
    maps = map_of(catalog, before), map_of(catalog, after)
    images = catalog.folder(before.id) / SYSTEM, catalog.folder(after.id) / SYSTEM
    folder = patches_of(catalog, after.id)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder) as work:
        made = Path(work) / "patch"
        library = library_of(images[1], Path(work))
        report("Making the patch", 0.1)
        make_patch((images[0], maps[0]), (images[1], maps[1]), made, library)
        report("Trying it", 0.8)
        prove(made, images[0], maps, Path(work) / "part", library)
        with made.open("rb") as file:
            zstd = patching.read_head(file).zstd
        torrent = torrent_of(made, before.id, after.id)
        patch = Patch(
            old=before.id, new=after.id, old_sha256=maps[0].sha256, new_sha256=maps[1].sha256,
            size=made.stat().st_size, sha256=file_digest(made), zstd=zstd,
            torrent=hashlib.sha256(torrent).hexdigest(),
        )  # fmt: skip
        carried = Path(work) / "torrent"
        carried.write_bytes(torrent)
        _place(carried, folder / torrent_name(before.id))
        _place(made, folder / patch_name(before.id))
        promise = Path(work) / "promise"
        promise.write_text(key.seal(patch))
        _place(promise, folder / promise_name(before.id))
    return patch


def torrent_of(made: Path, old: str, new: str) -> bytes:
    """The torrent of a patch: the same bytes for the same patch."""
    entry = hash_file(patch_name(old), made, PATCH_PIECE_BYTES)
    return Torrent(f"{old}-{new}", (entry,)).encode()


def prove(
    patch: Path, old: Path, maps: tuple[ChunkMap, ChunkMap], part: Path, library: Path | None
) -> None:
    """Do what a machine does, and look at what comes out."""
    try:
        prefill(maps[1], [OldRelease(old, maps[0])], part)
        patching.apply(patch, old, part, library=library)
    except ProvisionerError as error:
        raise ProofMissingError(f"The patch cannot be applied: {error.message}") from error
    if file_digest(part) != maps[1].sha256:
        raise ProofMissingError("The old image, patched, is not the new one.")


def _place(made: Path, name: Path) -> None:
    flush(made)
    made.replace(name)
    flush(name.parent)
