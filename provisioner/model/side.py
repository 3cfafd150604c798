"""What is proved about a machine's inactive side: a release that lies beside the running one."""

from __future__ import annotations

from pydantic import Field

from provisioner.model.base import Model, Sha256, ShortText
from provisioner.model.read_back import ReadBack
from provisioner.model.release import ReleaseId


class SideEvidence(Model):
    """Measured while a release was put beside older ones; bytes by where they came from.

    `read_back` has every file of the manifest. Bytes over the wire are what came, also when a
    neighbour sent a whole piece of which only a part was missing.
    """

    release: ReleaseId
    manifest_sha256: Sha256
    read_back: tuple[ReadBack, ...] = Field(max_length=200)
    direct_io: bool = Field(description="whether the read-back went past the page cache")
    bytes_kept: int = Field(ge=0, description="of the system image, from an interrupted run")
    bytes_copied: int = Field(ge=0, description="from older releases on this disk")
    bytes_from_station: int = Field(ge=0)
    bytes_from_peers: int = Field(ge=0)
    patch_bytes: int = Field(ge=0, description="of the fetched ones, of a patch")
    damaged_pieces: int = Field(ge=0, description="that an older release no longer held")
    banned_peers: tuple[ShortText, ...] = Field(
        (), max_length=256, description="addresses that sent wrong bytes"
    )
