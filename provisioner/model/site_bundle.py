"""A school's configuration for one machine, as it lies on the machine itself.

The station signs it, so it may come over any line, from a neighbour or on a stick; its content is
closed for the one machine that it is for, because secrets of the school are in it. `number` only
rises for a school: an older one is not taken.

Opened, it is a folder:

    playbooks/…                   as on the station
    inventory/hosts.json          this machine alone, with a local connection
    inventory/group_vars/…        the school's own variables, and what of its secrets it needs
    school/…                      pictures that the configuration names
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from pydantic import Field, ValidationError

from provisioner.errors import UntrustedError
from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.sealed_box import Box, close_box, open_box
from provisioner.model.signed import PrivateKey

FOLDER = "sites"  # on the station's door, and on a stick
OPENED = "/run/classroom/site"  # where a machine opens it: in memory
PURPOSE = "site bundle"
_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.@+-]*(/[A-Za-z0-9_][A-Za-z0-9_.@+-]*)*$")


def file_name(asset_tag: str) -> str:
    """What a machine's bundle is called."""
    return f"{asset_tag}.dsse.json"


class SiteFiles(Model):
    """What is in the box: paths inside the folder, contents in base64."""

    files: dict[str, str]


class SiteBundle(Model):
    """What travels, signed by the station."""

    school: Name
    machine: ShortText = Field(description="asset tag")
    number: int = Field(ge=1, lt=2**63)
    revision: Sha256
    box: Box


def pack_site(
    files: Mapping[str, bytes], *, school: str, machine: str, number: int, revision: str,
    machine_key: str,
) -> SiteBundle:  # fmt: skip
    """Close a machine's files for it. Raises ValueError for a name that is none of ours."""
    if strange := [name for name in files if not _NAME.match(name)]:
        raise ValueError(f"no machine takes a file of the name {strange[0]!r}")
    named = {name: base64.b64encode(data).decode() for name, data in sorted(files.items())}
    content = SiteFiles(files=named).model_dump_json().encode()
    box = close_box(content, machine_key, f"{PURPOSE} {machine} {number}")
    return SiteBundle(school=school, machine=machine, number=number, revision=revision, box=box)


def open_site(bundle: SiteBundle, key: PrivateKey) -> dict[str, bytes]:
    """The files by their paths, all of them inside the folder. Raises UntrustedError."""
    content = open_box(bundle.box, key, f"{PURPOSE} {bundle.machine} {bundle.number}")
    try:
        named = SiteFiles.model_validate_json(content).files
        files = {name: base64.b64decode(data, validate=True) for name, data in named.items()}
    except (ValidationError, binascii.Error, ValueError) as error:
        raise UntrustedError("A school's configuration has an unknown form.") from error
    if strange := [name for name in files if not _NAME.match(name)]:
        raise UntrustedError(f"A school's configuration names the file {strange[0][:80]!r}.")
    return files
