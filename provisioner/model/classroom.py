"""What a school may wish beyond a name, seats and accounts: the parts of `school.yml`.

All of them are optional. What is not written is not promised, is not configured, and costs
nothing; what is taken out again is undone by the next configuring.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from provisioner.model.base import Model, Name, ShortText
from provisioner.model.site_cache import Clock

MINUTES_A_DAY = 24 * 60
PictureName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(png|jpg)$")
]
# IEEE 802.11: 1 to 32 bytes. Control characters would break files and screens.
WifiName = Annotated[
    str, StringConstraints(min_length=1, max_length=32, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
]
# Host names, addresses, networks and domains that go past the proxy; never a comma or a quote.
PastProxy = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.:*-]{1,100}(/[0-9]{1,3})?$")]
ProxyUrl = Annotated[
    str,
    StringConstraints(pattern=r"^http://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:[0-9]{1,5}$"),
]
PrinterUri = Annotated[
    str,
    StringConstraints(
        pattern=r"^(ipp|ipps|socket|lpd|usb)://[A-Za-z0-9][A-Za-z0-9._:/?=&%+-]{0,250}$"
    ),
]


def _clock(value: Any) -> Any:
    """YAML 1.1 reads 18:00 without quotes as a number of base 60: here, minutes of the day."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MINUTES_A_DAY:
        return f"{value // 60:02d}:{value % 60:02d}"
    return value


TimeOfDay = Annotated[Clock, BeforeValidator(_clock)]


class Homes(StrEnum):
    """What becomes of what pupils save. The teacher's home is always kept."""

    KEPT = "kept"
    RESET_AT_START = "reset-at-start"
    RESET_PER_CLASS = "reset-per-class"


class InputMethod(StrEnum):
    """How Chinese is typed; the key Ctrl+Space switches it on and off."""

    NONE = "none"
    PINYIN = "pinyin"
    SHUANGPIN = "shuangpin"


class Weekday(StrEnum):
    """systemd.time(7)'s names, small."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class Aid(StrEnum):
    """One means of accessibility, on all machines of the school."""

    SCREEN_READER = "screen-reader"
    BRAILLE = "braille"
    MAGNIFIER = "magnifier"
    HIGH_CONTRAST = "high-contrast"
    LARGE_TEXT = "large-text"
    ON_SCREEN_KEYBOARD = "on-screen-keyboard"
    STICKY_KEYS = "sticky-keys"
    SLOW_KEYS = "slow-keys"


class PrinterKind(StrEnum):
    """Which language the printer speaks. `driverless` is any printer of the last ten years."""

    DRIVERLESS = "driverless"
    POSTSCRIPT = "postscript"
    PCL = "pcl"


class Sponsor(Model):
    """Who gave the classroom: the words on the start page and in the greeting, and a logo."""

    en: ShortText = Field(min_length=1)
    zh: ShortText = Field(min_length=1)
    logo: PictureName | None = Field(None, description="an image in this folder, PNG or JPEG")


class _Hosts:
    """The addresses that a network has for machines, without listing them."""

    def __init__(self, network: ipaddress.IPv4Network) -> None:
        self._network = network

    def __contains__(self, address: object) -> bool:
        network = self._network
        if address not in network:
            return False
        return address not in (network.network_address, network.broadcast_address)


class FixedAddresses(Model):
    """Addresses of the machines where no router gives any: `first` and one more a seat."""

    network: str = Field(description="for example 192.168.10.0/24")
    first: str = Field(description="address of the first seat, for example 192.168.10.101")
    gateway: str | None = None
    dns: tuple[str, ...] = Field((), max_length=3)

    @field_validator("network")
    @classmethod
    def _a_network(cls, value: str) -> str:
        return str(ipaddress.IPv4Network(value))

    @field_validator("first", "gateway")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        return None if value is None else str(ipaddress.IPv4Address(value))

    @field_validator("dns")
    @classmethod
    def _addresses(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(ipaddress.ip_address(value)) for value in values)

    @model_validator(mode="after")
    def _inside(self) -> FixedAddresses:
        network = ipaddress.IPv4Network(self.network)
        for what in ("first", "gateway"):
            value = getattr(self, what)
            if value and ipaddress.IPv4Address(value) not in _Hosts(network):
                raise ValueError(f"{what} {value} is no address for a machine in {network}")
        return self

    def address(self, seat: int) -> str:
        """The address of a seat, counted from 1, with the network's length: `10.0.0.7/24`."""
        network = ipaddress.IPv4Network(self.network)
        return f"{ipaddress.IPv4Address(self.first) + (seat - 1)}/{network.prefixlen}"

    def problems(self, seats: int) -> Iterator[str]:
        """Why so many seats have no address each."""
        network = ipaddress.IPv4Network(self.network)
        first = ipaddress.IPv4Address(self.first)
        last = first + (seats - 1)
        if last not in _Hosts(network):
            yield f"{seats} seats from {first} on do not fit into {network}"
        elif self.gateway and first <= ipaddress.IPv4Address(self.gateway) <= last:
            yield f"the gateway {self.gateway} would be the address of a seat as well"


class Proxy(Model):
    """The only way to the Internet, where a school has one."""

    url: ProxyUrl = Field(description="for example http://192.168.10.1:3128")
    without: tuple[PastProxy, ...] = Field(
        (), max_length=20, description="what is reached without it, for example .school.example"
    )


class Wifi(Model):
    """The school's wireless network. Its password stands in the vault: wifi_password."""

    name: WifiName
    hidden: bool = False


class Network(Model):
    """How machines find the network. Nothing written: a cable, and addresses from a router."""

    fixed: FixedAddresses | None = Field(None, description="none: addresses come by DHCP")
    proxy: Proxy | None = None
    wifi: Wifi | None = None


class OpenTime(Model):
    """When the room is used, by the machine's own clock."""

    days: tuple[Weekday, ...] = Field(min_length=1, max_length=7)
    open: TimeOfDay = Field(description='for example "07:30"')
    close: TimeOfDay = Field(description='for example "18:00"')

    @model_validator(mode="after")
    def _opens_first(self) -> OpenTime:
        if self.open >= self.close:
            raise ValueError(f"the room opens ({self.open}) before it closes ({self.close})")
        if len(set(self.days)) != len(self.days):
            raise ValueError("a day stands twice")
        return self


class Hours(Model):
    """Opening hours: updates keep out of them, and machines are switched off after them."""

    times: tuple[OpenTime, ...] = Field(min_length=1, max_length=7)
    switch_off: bool = Field(True, description="switch machines off when the room closes")


class Line(Model):
    """What updates may take of the school's line, for the whole room, in KiB per second."""

    download_kib_s: int = Field(1024, ge=8, le=1 << 20)
    lessons_download_kib_s: int = Field(64, ge=0, le=1 << 20, description="0: nothing in lessons")


class Printer(Model):
    """The room's printer. Machines are told what it speaks; nobody asks it, it may be off."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$")]
    address: PrinterUri = Field(description="for example ipp://192.168.10.9/ipp/print")
    kind: PrinterKind = PrinterKind.DRIVERLESS


class TeacherDesk(Model):
    """What the teacher's machine does for the room."""

    control: bool = Field(False, description="see and lock pupils' screens (Veyon)")
    courseware: bool = Field(False, description="serve courseware to the room")
    site_cache: bool = Field(True, description="give updates to the room, fetched once")
    rescue: bool = Field(False, description="let broken machines start from it over the network")


class Contest(Model):
    """What the school takes part in."""

    name: Name = Field(description="short name of the contest, for example scratch-2027")
    team: ShortText = ""
