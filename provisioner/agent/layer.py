"""Bringing a layer to this machine: from what older ones hold, from the room, from the station.

As `side.py` does it for a whole system, for the one image that a layer is. A layer lies in its own
folder on the state partition, and counts only with its signed manifest beside it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from provisioner.agent.personalise import write_file
from provisioner.agent.side import Station, enter_room, wanted_of
from provisioner.errors import ImageMismatchError, ProvisionerError, UntrustedError
from provisioner.model.release import MANIFEST, Manifest, ReleaseKind
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.release.chunks import CHUNKS
from provisioner.release.manifest import file_digest, read_manifest
from provisioner.swarm.carrier import RangeCarrier
from provisioner.swarm.choose import trusted_torrent
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import flush_folder
from provisioner.swarm.once import OnceCarrier, all_carried
from provisioner.swarm.prefill import old_releases
from provisioner.swarm.torrent import Torrent

RELEASES = "releases"
SUFFIX = ".raw"


def have_layer(folder: Path, release: str, key: str) -> Manifest | None:
    """The manifest of a layer that lies here whole; reads all of it. None when it does not."""
    with contextlib.suppress(ProvisionerError, OSError, KeyError):
        manifest = read_manifest(folder / release, trusted=key)
        _check(manifest, release)
        image = image_of(manifest)
        if file_digest(folder / release / image) == manifest.file(image).sha256:
            return manifest
    return None


def fetch_layer(folder: Path, release: str, station: Station, least: int = 0) -> Manifest:
    """Bring a layer into `folder`/`release`. Killed at any moment, the next call goes on.

    `least` is the lowest number that is taken: an older layer played again is refused. Raises
    UntrustedError, ImageMismatchError, NotFoundError, StationError; waits while nobody answers.
    """
    http = station.http(RELEASES, release)
    envelope = http.read(MANIFEST, MAX_ENVELOPE_BYTES)
    manifest, _ = open_envelope(envelope, Manifest, trusted=station.key)
    _check(manifest, release)
    if manifest.number < least:
        raise UntrustedError(f"{release} is older than what this machine has had.")
    into = folder / release
    into.mkdir(parents=True, exist_ok=True)
    (into / MANIFEST).unlink(missing_ok=True)
    image = image_of(manifest)
    promised = {entry.path: entry for entry in manifest.files}
    wanted = wanted_of(promised[image])
    olds = old_releases(folder, release, image)
    with _carrier(manifest, station) as rest:
        if CHUNKS in promised and olds:
            once = rest if isinstance(rest, OnceCarrier) else None
            delta = DeltaCarrier(http, wanted_of(promised[CHUNKS]), olds, once, documents=rest)
            delta.fetch(wanted, into / image, lambda _have: None)
        else:
            rest.fetch(wanted, into / image, lambda _have: None)
        for entry in manifest.files:  # the room is given them, too (agent/cache.py)
            if not (into / entry.path).exists():
                rest.fetch(wanted_of(entry), into / entry.path, lambda _have: None)
    if file_digest(into / image) != wanted.sha256:
        raise ImageMismatchError(f"The disk does not give {image} back as it was fetched.")
    write_file(into / MANIFEST, envelope)
    flush_folder(into)
    return manifest


def image_of(manifest: Manifest) -> str:
    """The name of the one image. Raises ImageMismatchError when there is none, or are two."""
    found = [entry.path for entry in manifest.files if entry.path.endswith(SUFFIX)]
    if len(found) != 1 or "/" in found[0]:
        raise ImageMismatchError(f"{manifest.id} is no layer of one image.")
    return found[0]


@contextlib.contextmanager
def _carrier(manifest: Manifest, station: Station) -> Iterator[RangeCarrier]:
    http = station.http(RELEASES, manifest.id)
    torrent = trusted_torrent(http, manifest) or Torrent(manifest.id, ())
    with contextlib.ExitStack() as stack:
        room = enter_room(station, stack)
        if room is None:
            yield stack.enter_context(RangeCarrier(http, torrent, None))
        else:
            everything = all_carried(manifest, torrent)
            yield stack.enter_context(OnceCarrier(http, everything, room, station=station.address))


def _check(manifest: Manifest, release: str) -> None:
    if manifest.id != release or manifest.kind is not ReleaseKind.LAYER:
        raise UntrustedError(f"The manifest is of {manifest.id} ({manifest.kind}), not {release}.")
