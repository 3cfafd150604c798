"""Patches that the station offers: found, believed as far as they are signed, and used.

A patch only ever saves bytes: whatever it does to the begun file is looked at piece by piece
afterwards, and what is not right is fetched as if there had been none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import DiskChoiceError, ProvisionerError
from provisioner.model.patch import Patch, patch_name, promise_name
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.swarm import patching
from provisioner.swarm.fetch import HttpCarrier, Wanted
from provisioner.swarm.prefill import OldRelease, room_explained
from provisioner.swarm.zstd import Zstd


@dataclass(frozen=True)
class Offer:
    """A patch that fits an old release on this machine and the new one."""

    http: HttpCarrier  # whose base is the station's `patches/NEW/`
    patch: Patch
    old: OldRelease

    @property
    def wanted(self) -> Wanted:
        return Wanted(patch_name(self.patch.old), self.patch.size, self.patch.sha256)

    def left(self, into: Path) -> int:
        """Bytes of it that are not here yet, when an earlier run began to fetch it."""
        begun = [path.stat().st_size for path in _places(into) if path.exists()]
        return max(0, self.patch.size - max(begun, default=0))

    def use(self, part: Path, into: Path) -> int:
        """Fetch the patch to `into`, write what it says into `part`; returns the bytes fetched.

        Raises DiskChoiceError when it does not fit on the disk. Whatever else is wrong with it
        shows in `part`, where the caller looks.
        """
        fetched = 0
        try:
            with room_explained(_places(into)[1], self.patch.size):
                fetched = self.http.fetch(self.wanted, into, lambda _have: None).fetched
            with room_explained(part, 0):
                patching.apply(into, self.old.file, part)
        except DiskChoiceError:
            raise
        except ProvisionerError:
            pass
        discard(into)
        return fetched


def find_offer(
    http: HttpCarrier, olds: Sequence[OldRelease], wanted: Wanted, trusted: str
) -> Offer | None:
    """The smallest patch to `wanted` from one of `olds` that this machine can use."""
    try:
        version = Zstd().version
    except ProvisionerError:
        return None
    offers = (_offer(http, old, wanted, trusted) for old in olds)
    usable = [offer for offer in offers if offer and offer.patch.zstd == version]
    return min(usable, key=lambda offer: offer.patch.size, default=None)


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


def _places(into: Path) -> tuple[Path, Path]:
    return into, into.with_name(into.name + ".part")
