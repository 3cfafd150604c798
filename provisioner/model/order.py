"""An order: one signed, single-use instruction to one machine.

It is bound to the machine's key, so it means nothing to any other machine or to the same one
after another start of the live environment; it names the disk by what cannot change, never by
the kernel's name; and the machine remembers the identifiers that it has carried out.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, Sha256, ShortText
from provisioner.model.erasure import WipeLevel, WipeMethod
from provisioner.model.errand import ErrandWork
from provisioner.model.hardware import DiskRef
from provisioner.model.release import Minimum, ReleaseId
from provisioner.model.renewal import HomesRule, When

OrderId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
KeyHex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


# What grub-mkpasswd-pbkdf2 writes: iterations, salt and digest, the last two in hexadecimal.
LOADER_HASH = (
    r"^(grub\.pbkdf2\.sha512\.[1-9][0-9]{3,6}\.([0-9A-F]{2}){16,128}\.([0-9A-F]{2}){64})?$"
)


class Profile(StrEnum):
    """How long a machine is tested."""

    QUICK = "quick"  # a minute
    THOROUGH = "thorough"  # a quarter of an hour, and more with much memory


class DiagnoseWork(Model):
    """Test the machine's parts; `target` is the disk that would be used."""

    verb: Literal["diagnose"] = "diagnose"
    minimum: Minimum
    target: DiskRef
    station_time: float = Field(description="seconds since 1970 by the station's clock")
    profile: Profile = Profile.QUICK


class WipeWork(Model):
    """Erase one disk and read back: every block with `full`, else `samples` random ones.

    The machine chooses the method by the medium (`erasure.choose_method`), within `level`;
    `method` other than overwriting is the batch's own choice.
    """

    verb: Literal["wipe"] = "wipe"
    disk: DiskRef
    method: WipeMethod = WipeMethod.OVERWRITE
    level: WipeLevel = WipeLevel.CLEAR
    samples: int = Field(gt=0, le=1_000_000)
    full: bool = False
    thaw: bool = Field(False, description="sleep first if the drive is frozen; a person offers it")


class ImageWork(Model):
    """Put one release on one disk, so that the machine starts from it."""

    verb: Literal["image"] = "image"
    disk: DiskRef
    release: ReleaseId
    manifest_sha256: Sha256 = Field(description="of the signed manifest's envelope, as served")
    release_path: ShortText = Field(description="below the station's address; ends with /")
    hostname: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
    asset_tag: ShortText
    authorized_key: Annotated[str, StringConstraints(max_length=1000, pattern=r"^[^\n]*$")]
    kernel_arguments: ShortText = ""
    field_url: ShortText = Field("", description="where the station is reached from a school")
    loader_password: Annotated[str, StringConstraints(pattern=LOADER_HASH)] = Field(
        "", description="hash of what opens the loader's prompt; empty: nothing does"
    )


class RestartWork(Model):
    """Leave the live environment: start again, or switch off."""

    verb: Literal["restart"] = "restart"
    power_off: bool = False


class RenewWork(Model):
    """Put one release beside the running one and go over to it, or stay with the old one."""

    verb: Literal["renew"] = "renew"
    release: ReleaseId
    manifest_sha256: Sha256 = Field(description="of the signed manifest's envelope, as served")
    when: When = When.QUIET
    homes: HomesRule = HomesRule.KEEP
    configuration: ShortText = Field("", description="revision that must be applied; empty: none")
    kernel_arguments: ShortText = ""


Work = Annotated[
    DiagnoseWork | WipeWork | ImageWork | RestartWork | RenewWork | ErrandWork,
    Field(discriminator="verb"),
]


class Order(Model):
    """What travels, sealed with the station's key."""

    id: OrderId
    machine_key: KeyHex
    machine: ShortText = Field(description="asset tag, for the screen and the log")
    batch: ShortText
    station_url: ShortText
    work: Work
