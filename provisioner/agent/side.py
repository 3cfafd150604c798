"""The inactive side: a new release put beside the running one, over a thin line.

`fill_side` is the list of steps. The system image is put together from what older releases hold,
from a patch if that costs fewer bytes, and from the neighbours before the station; one machine
asks the station for the whole room. Every file is read back past the page cache before the
release gets its manifest, and only with its manifest is it a release: nothing here changes what
the machine starts. Killed at any moment, the next run goes on with what is right on the disk.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.agent import layout
from provisioner.agent.direct import Digest, drop_caches
from provisioner.agent.growing import GrowingProof
from provisioner.agent.journey import Journey
from provisioner.agent.personalise import write_file
from provisioner.agent.readback import proofs_of, summing
from provisioner.agent.release_files import check_manifest, place_of
from provisioner.errors import ProvisionerError
from provisioner.model.patch import PATCHES
from provisioner.model.record import ReadBack
from provisioner.model.release import MANIFEST, SYSTEM, Manifest, ReleaseFile
from provisioner.model.side import SideEvidence
from provisioner.model.signed import open_envelope
from provisioner.release.chunks import CHUNKS
from provisioner.swarm import part as parts
from provisioner.swarm.carrier import Origin, RangeCarrier
from provisioner.swarm.choose import own_wire
from provisioner.swarm.classroom import Classroom
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import (
    Carrier,
    HttpCarrier,
    SocketOption,
    Waiting,
    Wanted,
    flush_folder,
)
from provisioner.swarm.offers import Offer, discard, find_offer
from provisioner.swarm.once import OnceCarrier, all_carried
from provisioner.swarm.prefill import old_releases, room_explained
from provisioner.swarm.session import is_available
from provisioner.swarm.torrent import TORRENT, Torrent, check_torrent, read_torrent

STEPS = (("manifest", 1.0), ("fetch", 75.0), ("check", 24.0))
RELEASES = "releases"
READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Station:
    """Where a release comes from, and how to speak to it."""

    url: str
    key: str
    waiting: Waiting
    options: Sequence[SocketOption] = ()

    def http(self, kind: str, release: str) -> HttpCarrier:
        base = f"{self.url.rstrip('/')}/{kind}/{release}"
        return HttpCarrier(base, self.waiting, self.options)

    @property
    def address(self) -> IPv4Address | None:
        """None while its name cannot be told (a school without a line)."""
        try:
            return IPv4Address(socket.gethostbyname(urlsplit(self.url).hostname or ""))
        except (OSError, ValueError):
            return None


@dataclass
class _Tally:
    """What came of it so far."""

    kept: int = 0
    copied: int = 0
    patch: int = 0
    damaged: int = 0
    fetched: int = 0
    origins: list[Origin] = field(default_factory=list)


def fill_side(
    envelope: bytes,
    release: str,
    roots: Mapping[str, Path],
    station: Station,
    journey: Journey,
    room: Classroom | None = None,
) -> SideEvidence:
    """Put `release`, whose signed manifest `envelope` is, beside what is there.

    `roots` are the mounted file systems, writable: `system` and `ESP`. Kernels and loaders go to
    their first places, where nothing starts them. `room` is the machine's own, if it has one
    open; it stays open. Raises UntrustedError, WrongStateError while somebody else is at it,
    DiskChoiceError when there is no room, ImageMismatchError, NotFoundError, StationError.
    """
    journey.enter("manifest")
    manifest, _ = open_envelope(envelope, Manifest, trusted=station.key)
    check_manifest(manifest, release)
    releases = roots[layout.SYSTEM] / RELEASES
    with ExitStack() as stack:
        stack.enter_context(parts.alone(releases, release))
        growing, tally = GrowingProof(), _Tally()
        (releases / release).mkdir(exist_ok=True)
        (releases / release / MANIFEST).unlink(missing_ok=True)  # not proved any more
        journey.enter("fetch")
        _Side(manifest, roots, station, growing, tally, room, stack).bring(journey)
        journey.enter("check")
        proofs = _read_back(manifest, roots, growing, journey)
        write_file(releases / release / MANIFEST, envelope)
        flush_folder(releases / release)
        journey.at(1, 1)
        return _evidence(manifest, envelope, proofs, tally)


class _Side:
    """The carriers of one release, and what each of its files needs."""

    def __init__(
        self,
        manifest: Manifest,
        roots: Mapping[str, Path],
        station: Station,
        growing: GrowingProof,
        tally: _Tally,
        room: Classroom | None,
        stack: ExitStack,
    ) -> None:
        self._manifest, self._roots, self._station = manifest, roots, station
        self._growing, self._tally, self._stack = growing, tally, stack
        self._room = room or enter_room(station, stack)
        self._http = station.http(RELEASES, manifest.id)
        self._olds = old_releases(roots[layout.SYSTEM] / RELEASES, but=manifest.id)

    def bring(self, journey: Journey) -> None:
        """Every file to its first place."""
        report = summing(self._manifest, journey.at)
        large = self._carrier(self._http, self._torrent(), self._growing)
        image = self._into(self._manifest.file(SYSTEM))
        self._stack.callback(discard, image.with_name(f"{image.name}.patch"))
        for entry in sorted(self._manifest.files, key=lambda entry: -entry.size):
            into = self._into(entry)
            if entry.path in (TORRENT, CHUNKS) and into.exists():
                continue
            with room_explained(into, 0):
                self._bring(entry, into, large, partial(report, entry))

    def _bring(
        self, entry: ReleaseFile, into: Path, large: Carrier, report: Callable[[int], None]
    ) -> None:
        wanted = Wanted(entry.path, entry.size, entry.sha256)
        promised = next((item for item in self._manifest.files if item.path == CHUNKS), None)
        if entry.path == SYSTEM and promised is not None:
            self._image(wanted, wanted_of(promised), into, large, report)
        elif not into.exists() and self._copied(entry, into):
            self._tally.copied += entry.size
            report(entry.size)
        else:
            self._tally.fetched += large.fetch(wanted, into, report).fetched

    def _image(
        self,
        wanted: Wanted,
        chunks: Wanted,
        into: Path,
        large: Carrier,
        report: Callable[[int], None],
    ) -> None:
        rest = large if isinstance(large, OnceCarrier) else None  # else ranges cost less
        delta = DeltaCarrier(self._http, chunks, self._olds, rest, self._offer, large)
        self._tally.fetched += delta.fetch(wanted, into, report).fetched
        self._tally.fetched += delta.map_bytes
        done = delta.savings.prefilled
        self._tally.patch = delta.savings.patch_bytes
        if done is not None:
            self._tally.kept, self._tally.damaged = done.kept, done.damaged
            self._tally.copied += done.copied

    def _offer(self, wanted: Wanted) -> Offer | None:
        http = self._station.http(PATCHES, self._manifest.id)
        carry = self._carrier if self._room is not None else None
        return find_offer(http, self._olds, wanted, self._station.key, carry)

    def _carrier(
        self, http: HttpCarrier, torrent: Torrent, growing: GrowingProof | None = None
    ) -> Carrier:
        """For all files of a folder on the station; open until the whole side is proved."""
        carrier: RangeCarrier
        if self._room is None:
            carrier = RangeCarrier(http, torrent, growing)
        else:
            carrier = OnceCarrier(
                http, torrent, self._room, station=self._station.address, watcher=growing
            )
        self._tally.origins.append(carrier.origin)
        return self._stack.enter_context(carrier)

    def _torrent(self) -> Torrent:
        """The release's torrent, itself brought like any file; of an older release nothing."""
        nothing = Torrent(self._manifest.id, ())
        promised = next((item for item in self._manifest.files if item.path == TORRENT), None)
        if promised is None:
            return nothing
        into = self._into(promised)
        if not _holds(into, promised):
            small = self._carrier(self._http, all_carried(self._manifest, nothing))
            self._tally.fetched += small.fetch(wanted_of(promised), into, lambda _: None).fetched
        torrent = read_torrent(into.read_bytes())
        check_torrent(torrent, self._manifest)
        return all_carried(self._manifest, torrent) if self._room is not None else torrent

    def _into(self, entry: ReleaseFile) -> Path:
        place = place_of(entry.path, self._manifest.id)
        into = self._roots[place.label] / place.first
        into.parent.mkdir(parents=True, exist_ok=True)
        return into

    def _copied(self, entry: ReleaseFile, into: Path) -> bool:
        """Take a file that an older release has alike, as kernels and loaders often are."""
        for old in self._olds:
            place = place_of(entry.path, old.file.parent.name)
            for name in (place.first, place.last):
                found = self._roots[place.label] / name
                if _holds(found, entry) and _copy(found, into, entry):
                    return True
        return False


def forget(roots: Mapping[str, Path], release: str) -> None:
    """Remove a release, or what was begun of it, from this machine; its manifest first."""
    folder = roots[layout.SYSTEM] / RELEASES / release
    (folder / MANIFEST).unlink(missing_ok=True)
    for root in (folder, roots[layout.ESP] / RELEASES / release):
        shutil.rmtree(root, ignore_errors=True)


def enter_room(station: Station, stack: ExitStack) -> Classroom | None:
    """The machine's room; None where there is no libtorrent or no network to speak of."""
    if not is_available():
        return None
    try:
        return stack.enter_context(Classroom(own_wire(station.url, station.options)))
    except (ProvisionerError, OSError, ValueError, ImportError, RuntimeError):
        return None


def _read_back(
    manifest: Manifest, roots: Mapping[str, Path], growing: GrowingProof, journey: Journey
) -> dict[str, Digest]:
    """Every file, past the page cache. Raises ImageMismatchError for the first that differs."""
    drop_caches()
    return proofs_of(manifest, roots, growing.grown, summing(manifest, journey.at))


def _evidence(
    manifest: Manifest, envelope: bytes, proofs: Mapping[str, Digest], tally: _Tally
) -> SideEvidence:
    peers = sum(origin.peers for origin in tally.origins)
    banned = dict.fromkeys(who for origin in tally.origins for who in origin.banned)
    return SideEvidence(
        release=manifest.id,
        manifest_sha256=hashlib.sha256(envelope).hexdigest(),
        read_back=tuple(
            ReadBack(
                path=path, size=found.size, sha256=found.sha256 or None,
                merkle=found.merkle or None,
            )
            for path, found in proofs.items()
        ),
        direct_io=all(found.direct for found in proofs.values()),
        bytes_kept=tally.kept,
        bytes_copied=tally.copied,
        bytes_from_station=max(tally.fetched - peers, 0),
        bytes_from_peers=peers,
        patch_bytes=tally.patch,
        damaged_pieces=tally.damaged,
        banned_peers=tuple(banned),
    )  # fmt: skip


def wanted_of(entry: ReleaseFile) -> Wanted:
    return Wanted(entry.path, entry.size, entry.sha256)


def _holds(path: Path, entry: ReleaseFile) -> bool:
    """Whether a file on the disk is this one, by reading it."""
    try:
        if path.stat().st_size != entry.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
    except OSError:
        return False


def _copy(found: Path, into: Path, entry: ReleaseFile) -> bool:
    part = into.with_name(f"{into.name}.part")
    shutil.copyfile(found, part)
    handle = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    if not _holds(part, entry):
        return False  # the disk no longer gives it as it was a moment ago
    part.replace(into)
    flush_folder(into.parent)
    return True
