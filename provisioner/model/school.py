"""A school: what a person says about a classroom, and the seats in it.

`SchoolSettings` is the content of `inventories/SCHOOL/school.yml`; `School` adds the seats that
`hosts.yml` lists. Both are read and checked by `provisioner.fleet.school`. The same settings
become variables of the Ansible roles and the promises that the checks hold a machine to, so
there is one place to change.
"""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, IPvAnyAddress, StringConstraints, field_validator, model_validator

from provisioner.errors import NotFoundError
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.classroom import (
    Aid,
    Contest,
    Homes,
    Hours,
    InputMethod,
    Line,
    Network,
    Printer,
    Sponsor,
    TeacherDesk,
)
from provisioner.model.wish import PackWish

Locale = Annotated[str, StringConstraints(pattern=r"^([a-z]{2,3}_[A-Z]{2}|C)\.UTF-8$")]
Login = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
# RFC 1123 section 2.1, lower case only; also what a DHCP client may send as its name.
HostLabel = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
AssetTag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,31}$")]
TimeServer = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")
]
# Text in several lines for a screen of 80 columns: no control characters but the line break.
Lines = Annotated[
    str, StringConstraints(max_length=800, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$")
]
LayoutName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,15}$")]
VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]{0,32}$")]

SEAT_PLACEHOLDER = "{seat}"
# Fixed numbers: `/home` outlives a release, and a new release must see the same owners.
TEACHER_UID = 2000
PUPIL_UID = 2001
# Logins and groups of Debian's own packages; an account of that name would change the system's.
_DEBIANS_OWN = """
root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody nogroup
adm tty disk kmem dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video
sasl plugdev staff users input sgx clock kvm render netdev crontab sshd messagebus polkitd avahi
colord saned rtkit pulse lightdm gdm sddm tss dnsmasq uuidd lpadmin ssl-cert admin wheel
systemd-network systemd-timesync systemd-resolve
"""
RESERVED_LOGINS = frozenset(_DEBIANS_OWN.split())


class Bilingual(Model):
    """The same words in English and in Simplified Chinese."""

    en: ShortText
    zh: ShortText


class BilingualText(Model):
    """Several lines, in English and in Simplified Chinese."""

    en: Lines
    zh: Lines


class SeatCount(Model):
    """How many places a classroom has."""

    teachers: int = Field(1, ge=0, le=20)
    pupils: int = Field(ge=1, le=200)


class Keyboard(Model):
    """An X keyboard layout and its variant, as in keyboard(5): `cn`, or `us` with `intl`."""

    layout: LayoutName
    variant: VariantName = ""


class Account(Model):
    """Somebody who logs in. Its password is made per school and is never written here."""

    login: Login
    name: ShortText = Field(description="the full name that a login screen shows")

    @field_validator("login")
    @classmethod
    def _not_the_systems_own(cls, login: str) -> str:
        if login in RESERVED_LOGINS:
            raise ValueError(f"“{login}” belongs to the system; choose another login")
        return login

    @field_validator("name")
    @classmethod
    def _fits_into_passwd(cls, name: str) -> str:
        if set(name) & set(":,"):
            raise ValueError("a full name may hold neither “:” nor “,”")
        return name


class Accounts(Model):
    """Who works at the machines. Neither administers the system."""

    teacher: Account
    pupil: Account
    auto_login: bool = Field(False, description="open the pupil's desktop when a machine starts")

    @model_validator(mode="after")
    def _two_logins(self) -> Accounts:
        if self.teacher.login == self.pupil.login:
            raise ValueError("teacher and pupil need different logins")
        return self


class SchoolSettings(Model):
    """The content of `school.yml`."""

    name: Bilingual
    province: ShortText = Field(min_length=1)
    seats: SeatCount
    language: Locale = Field(description="for example zh_CN.UTF-8")
    keyboard: Keyboard
    time_zone: ShortText = Field(description="for example Asia/Shanghai")
    accounts: Accounts
    banner: BilingualText = Field(description="what a person reads before logging in")
    wallpaper: ShortText = Field("", description="an image in this folder, PNG or JPEG")
    ntp: tuple[TimeServer, ...] = Field(
        (), max_length=4, description="time servers at the school; none without Internet"
    )
    hostname: ShortText = Field(description="how machines are called; must hold {seat}")
    packs: tuple[PackWish, ...] = Field(
        (), max_length=100, description="courseware that its teacher's machine serves"
    )
    input_method: InputMethod = InputMethod.NONE
    homes: Homes = Field(Homes.KEPT, description="what becomes of what pupils save")
    sponsor: Sponsor | None = None
    network: Network = Network()
    hours: Hours | None = None
    line: Line = Line()
    accessibility: tuple[Aid, ...] = Field((), max_length=len(Aid))
    printer: Printer | None = None
    teacher_desk: TeacherDesk = TeacherDesk()
    contest: Contest | None = None

    @field_validator("hostname")
    @classmethod
    def _names_the_seat(cls, pattern: str) -> str:
        if pattern.count(SEAT_PLACEHOLDER) != 1:
            raise ValueError(f"must hold {SEAT_PLACEHOLDER} once, so that each machine has its own")
        return pattern

    @model_validator(mode="after")
    def _addresses_for_all(self) -> SchoolSettings:
        if self.network.fixed:
            for problem in self.network.fixed.problems(self.seats.teachers + self.seats.pupils):
                raise ValueError(f"network.fixed: {problem}")
        return self

    @field_validator("wallpaper")
    @classmethod
    def _stays_in_the_folder(cls, path: str) -> str:
        if path and ("/" in path or path.startswith(".") or not path.endswith((".png", ".jpg"))):
            raise ValueError("must be the name of a .png or .jpg file in the school's folder")
        return path


class SeatRole(StrEnum):
    """Whose machine it is."""

    TEACHER = "teacher"
    PUPIL = "pupil"


class Seat(Model):
    """One place in the classroom: its name and variables in `hosts.yml`."""

    name: HostLabel
    role: SeatRole
    hostname: HostLabel
    variables: dict[str, Any] = Field(default_factory=dict)


class School(Model):
    """A school as its folder describes it; `id` is the folder's name.

    `variables` are what hosts.yml gives to its groups `all`, `teachers` and `pupils`.
    """

    id: Name
    folder: Path
    settings: SchoolSettings
    seats: tuple[Seat, ...] = Field(min_length=1)
    variables: dict[str, dict[str, Any]] = Field(default_factory=dict)

    def seat(self, number: int) -> Seat:
        """The seat with this number, counted from 1: teachers' seats first, then pupils'.

        Raises NotFoundError when the classroom has no such seat.
        """
        if not 1 <= number <= len(self.seats):
            raise NotFoundError(
                f"{self.id} has {len(self.seats)} seats, none with the number {number}.",
                f"Add a seat to inventories/{self.id}/hosts.yml, or put the machine elsewhere.",
            )
        return self.seats[number - 1]


class SeatedMachine(Model):
    """A machine at its seat, and where the station reaches it now."""

    asset_tag: AssetTag
    seat: int = Field(ge=1, description="number of the seat, from 1")
    address: IPvAnyAddress
    port: int = Field(22, ge=1, le=65535)


def hostname_of(settings: SchoolSettings, seat: str) -> str:
    """The network name of the machine at a seat."""
    return settings.hostname.replace(SEAT_PLACEHOLDER, seat)


def school_schema() -> dict[str, Any]:
    """JSON Schema of `school.yml`, for editors and for checks outside this program."""
    schema = SchoolSettings.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def school_schema_text() -> str:
    """The schema as it stands in `inventories/school.schema.json`."""
    return json.dumps(school_schema(), indent=2, ensure_ascii=False) + "\n"
