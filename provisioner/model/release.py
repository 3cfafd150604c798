"""A release: one built, signed, immutable version of a recipe.

On the station it is the folder `releases/NAME@VERSION/`, beside the signed manifest
`manifest.dsse.json`; a machine believes nothing about a release but what the manifest says.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from provisioner.model.base import Model, Name, Sha256, ShortText

# name@year.number, for example education@2029.1
ReleaseId = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}@[0-9]{4}\.[0-9]{1,4}$")
]
# A path inside a release: relative, and no part starts with a dot, so none leaves the folder.
ReleasePath = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$")
]

MANIFEST = "manifest.dsse.json"
SYSTEM = "system.squashfs"
KERNEL = "vmlinuz"
INITRD = "initrd.img"
# Boot loaders in a `system` release (installed on the machine's own disk)
LOADER_BOOT_IMG = "loader/boot.img"
LOADER_CORE_IMG = "loader/core.img"
LOADER_SHIM = "loader/shimx64.efi"
LOADER_GRUB = "loader/grubx64.efi"
LOADER_MOK = "loader/mmx64.efi"
LOADER_IA32 = "loader/bootia32.efi"


class ReleaseKind(StrEnum):
    """A system is installed on machines; a live environment is only ever netbooted; a layer is
    merged over a running system and taken off again."""

    SYSTEM = "system"
    LIVE = "live"
    LAYER = "layer"


class ReleaseFile(Model):
    """One file of a release: size in bytes and SHA-256."""

    path: ReleasePath
    size: int = Field(ge=0)
    sha256: Sha256
    merkle: Sha256 | None = Field(
        None, description="root of its hash tree (BEP 52): what a swarm knows it by"
    )


class Component(Model):
    """A package inside the release, with the licences its own copyright file states."""

    name: ShortText
    version: ShortText
    licence: ShortText
    origin: ShortText = "debian"


class Minimum(Model):
    """The least machine that carries this release: memory in MiB, disk in MB (10^6 bytes)."""

    memory_mib: int = Field(gt=0)
    disk_mb: int = Field(gt=0)


class Manifest(Model):
    """Everything that is promised about a release."""

    schema_version: int = 1
    name: Name
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]{4}\.[0-9]{1,4}$")]
    number: int = Field(gt=0, description="only rises within a recipe; a lower one is a downgrade")
    kind: ReleaseKind
    suite: ShortText
    architecture: ShortText
    over: Name | None = Field(None, description="of a layer: the recipe that it is laid over")
    source_date_epoch: int = Field(ge=0, description="seconds since 1970; all file times at most")
    recipe_sha256: Sha256
    minimum: Minimum
    installed_bytes: int = Field(ge=0)
    files: tuple[ReleaseFile, ...]
    components: tuple[Component, ...]

    @property
    def id(self) -> str:
        return f"{self.name}@{self.version}"

    def file(self, path: str) -> ReleaseFile:
        """The entry of `path`; raises KeyError when the release has no such file."""
        for entry in self.files:
            if entry.path == path:
                return entry
        raise KeyError(path)

    @model_validator(mode="after")
    def _paths_are_unique(self) -> Manifest:
        paths = [entry.path for entry in self.files]
        if len(paths) != len(set(paths)):
            raise ValueError("a file is listed twice")
        return self
