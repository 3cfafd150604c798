"""Patches that the station offers: found, believed as far as they are signed, and used.

A patch only ever saves bytes: whatever it does to the begun file is looked at piece by piece
afterwards, and what is not right is fetched as if there had been none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from provisioner.errors import DiskChoiceError, ProvisionerError, UntrustedError
from provisioner.model.patch import Patch, patch_name, promise_name, torrent_name
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.swarm import patching
from provisioner.swarm.fetch import Carrier, HttpCarrier, Wanted
from provisioner.swarm.prefill import OldRelease, room_explained
from provisioner.swarm.torrent import MAX_TORRENT_BYTES, Torrent, read_torrent
from provisioner.swarm.zstd import Zstd

READ_BYTES = 128 * 1024


Carry = Callable[[HttpCarrier, Torrent], Carrier]  # a swarm for what lies at the other side


@dataclass(frozen=True)
class Offer:
    """A patch that fits an old release on this machine and the new one.

    With `carry` its own torrent brings it, as far as its promise names one.
    """

    http: HttpCarrier  # whose base is the station's `patches/NEW/`
    patch: Patch
    old: OldRelease
    carry: Carry | None = None

    @property
    def wanted(self) -> Wanted:
        return Wanted(patch_name(self.patch.old), self.patch.size, self.patch.sha256)

    def left(self, into: Path) -> int:
        """Bytes of it that are not here yet, when an earlier run began to fetch it."""
        begun = [_bytes_here(path) for path in _places(into) if path.exists()]
        return max(0, self.patch.size - max(begun, default=0))

    def use(self, part: Path, into: Path) -> int:
        """Fetch the patch to `into`, write what it says into `part`; returns the bytes fetched.

        One that a swarm carried stays until `discard`: it is given on. Raises DiskChoiceError
        when it does not fit on the disk. Whatever else is wrong with it
        shows in `part`, where the caller looks.
        """
        fetched = 0
        try:
            with room_explained(_places(into)[1], self.patch.size):
                fetched = self._carrier().fetch(self.wanted, into, lambda _have: None).fetched
            with room_explained(part, 0):
                patching.apply(into, self.old.file, part)
        except DiskChoiceError:
            raise
        except ProvisionerError:
            pass
        if self.carry is None:
            discard(into)  # else neighbours may still want it
        return fetched

    def _carrier(self) -> Carrier:
        """The swarm, where there is one and the patch has a torrent that holds; else the station.

        Raises UntrustedError, NotFoundError.
        """
        if self.carry is None or self.patch.torrent is None:
            return self.http
        data = self.http.read(torrent_name(self.patch.old), MAX_TORRENT_BYTES)
        if hashlib.sha256(data).hexdigest() != self.patch.torrent:
            raise UntrustedError("The torrent of a patch is not the one that was promised.")
        torrent = read_torrent(data)
        entry = torrent.file(self.wanted.path)
        if entry is None or len(torrent.files) > 1 or entry.size != self.patch.size:
            raise UntrustedError("The torrent of a patch is of another file.")
        return self.carry(self.http, torrent)


def find_offer(
    http: HttpCarrier,
    olds: Sequence[OldRelease],
    wanted: Wanted,
    trusted: str,
    carry: Carry | None = None,
) -> Offer | None:
    """The smallest patch to `wanted` from one of `olds` that this machine can use."""
    try:
        version = Zstd().version
    except ProvisionerError:
        return None
    offers = (_offer(http, old, wanted, trusted) for old in olds)
    usable = [offer for offer in offers if offer and offer.patch.zstd == version]
    least = min(usable, key=lambda offer: offer.patch.size, default=None)
    return replace(least, carry=carry) if least else None


def _offer(http: HttpCarrier, old: OldRelease, wanted: Wanted, trusted: str) -> Offer | None:
    name = old.file.parent.name
    try:
        envelope = http.read(promise_name(name), MAX_ENVELOPE_BYTES)
        patch, _ = open_envelope(envelope, Patch, trusted=trusted)
    except ProvisionerError:
        return None  # none is offered, or it is not signed by our station
    fits = (patch.old, patch.old_sha256, patch.new_sha256)
    return Offer(http, patch, old) if fits == (name, old.chunks.sha256, wanted.sha256) else None


def discard(into: Path) -> None:
    """Remove a patch that was used, or of no use."""
    for path in _places(into):
        path.unlink(missing_ok=True)


def _bytes_here(path: Path) -> int:
    """Bytes of a begun file that were written; its space may have been set aside beforehand."""
    found = 0
    with path.open("rb") as file:
        while data := file.read(READ_BYTES):
            found += len(data) if any(data) else 0
    return found


def _places(into: Path) -> tuple[Path, Path]:
    return into, into.with_name(into.name + ".part")
