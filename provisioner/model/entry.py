"""What a pupil hands in to a contest, as machines, teacher's machine and station speak of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.order import KeyHex

MIB = 1024 * 1024
EntryId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Code = Annotated[str, StringConstraints(pattern=r"^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]$")]
Word = Annotated[str, StringConstraints(max_length=60, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


class Limits(Model):
    """How large an entry may be. Scratch's own site takes programs of 5 MB and assets of 10 MB."""

    bytes: int = Field(50 * MIB, gt=0, le=1024 * MIB)
    unpacked_bytes: int = Field(200 * MIB, gt=0, le=2048 * MIB)
    program_bytes: int = Field(5 * MIB, gt=0, le=64 * MIB)
    asset_bytes: int = Field(10 * MIB, gt=0, le=256 * MIB)
    members: int = Field(2000, gt=0, le=20_000)
    ratio: int = Field(100, gt=1, description="how many times larger it may be unpacked")
    small_bytes: int = Field(2 * MIB, gt=0, description="below this the ratio does not count")


class Facts(Model):
    """What is in an entry, counted without running it."""

    sprites: int = Field(ge=0)
    blocks: int = Field(ge=0)
    scripts: int = Field(ge=0)
    costumes: int = Field(ge=0)
    sounds: int = Field(ge=0)
    variables: int = Field(ge=0)
    extensions: tuple[ShortText, ...] = Field((), max_length=100)
    script_hashes: tuple[str, ...] = Field((), description="of each script, names left out")
    asset_hashes: tuple[str, ...] = ()
    foreign: bool = Field(False, description="a picture names an address outside")


class ClockReading(Model):
    """A machine's clock and what is known against it.

    `doubt_s` is how far off it may be; None means nobody knows (never set by a time server
    since the battery died, for example).
    """

    at: datetime
    doubt_s: float | None = Field(ge=0)


class Pupil(Model):
    """The least that a prize needs: who, and which class. Erased on request or after the contest.

    `age_group` is one of the contest's own.
    """

    name: Word = Field(min_length=1)
    form: Word = Field("", description="class or grade, as the school calls it")
    age_group: Name


class HandIn(Model):
    """What a pupil's machine signs when it takes an entry in. `id` is random and never used again.

    `sequence` rises on one machine, so that of two entries the later is known whatever the clock.
    """

    schema_version: int = 1
    id: EntryId
    contest: Name
    school: Name
    asset_tag: ShortText
    seat: ShortText = ""
    sequence: int = Field(ge=1)
    pupil: Pupil
    title: Word
    sha256: Sha256
    size: int = Field(gt=0)
    clock: ClockReading


class Keeper(StrEnum):
    """Who says that it has an entry on its disk."""

    TEACHER = "teacher"
    STATION = "station"


class Receipt(Model):
    """Signed by who keeps an entry, after its bytes have reached the disk and been checked."""

    id: EntryId
    sha256: Sha256
    keeper: Keeper
    at: ClockReading
    refused: str = Field("", description="a code of entry.refusal; kept nonetheless")


class Held(Model):
    """How far the bytes of an entry have come at a keeper; `receipt` once it has all."""

    id: EntryId
    have: int = Field(ge=0)
    receipt: str | None = Field(None, description="a sealed Receipt")


class KeeperHere(Model):
    """Signed by who keeps entries in the room, for one question of somebody who looks for it."""

    contest: Name
    question: EntryId
    port: int = Field(ge=1, le=65535)


class SealedEntry(Model):
    """The first message about an entry: the sealed HandIn."""

    sealed: Annotated[str, StringConstraints(max_length=16_384)]
    key: KeyHex
