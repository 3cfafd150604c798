"""What a school wishes to have beside its system: content packs, by checksum and licence."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, Name, Sha256

# An SPDX licence expression's shape: identifiers joined by AND, OR, WITH, in brackets.
Licence = Annotated[str, StringConstraints(
    pattern=r"^\(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*( (AND|OR|WITH) \(*[A-Za-z0-9][A-Za-z0-9.+-]*\)*)*$",
    max_length=120,
)]  # fmt: skip


class PackWish(Model):
    """A pack as a school's folder names it."""

    name: Name
    sha256: Sha256 = Field(description="the checksum that `provisioner pack list` shows")
    licence: Licence = Field(description="as SPDX writes it, for example CC-BY-SA-4.0")
