"""A patch: what turns one release's system image into the next one's.

It lies beside the releases, in `patches/NEW/OLD.patch`, with this signed. A release itself never
changes once it is signed, and does not depend on which older ones its station has.
"""

from __future__ import annotations

from pydantic import Field

from provisioner.model.base import Model, Sha256
from provisioner.model.release import ReleaseId

PATCHES = "patches"


class Patch(Model):
    """What is promised about a patch: between which images, its size in bytes and SHA-256.

    `zstd` is the version of libzstd (`ZSTD_versionNumber`) that a machine needs for it. `torrent`
    is the SHA-256 of the torrent beside it, which carries it from neighbour to neighbour.
    """

    old: ReleaseId
    new: ReleaseId
    old_sha256: Sha256
    new_sha256: Sha256
    size: int = Field(ge=0)
    sha256: Sha256
    zstd: int = Field(gt=0)
    torrent: Sha256 | None = None


def patch_name(old: str) -> str:
    """The file that holds the patch from `old`."""
    return f"{old}.patch"


def promise_name(old: str) -> str:
    """The signed document about it."""
    return f"{old}.dsse.json"


def torrent_name(old: str) -> str:
    """The torrent of the patch."""
    return f"{old}.patch.torrent"
