"""One thing read back from a disk: the proof on which imaging and renewing rest."""

from __future__ import annotations

from pydantic import Field

from provisioner.model.base import Model, Sha256, ShortText


class ReadBack(Model):
    """One thing read back from the disk, past the page cache, after it was written.

    Large files of a release are read piece by piece while they arrive: their proof is the root
    of the hash tree over what was read, instead of a digest.
    """

    path: ShortText = Field(description="the release's file, or disk:boot-sector, esp:/…")
    size: int = Field(ge=0)
    sha256: Sha256 | None = None
    merkle: Sha256 | None = None
