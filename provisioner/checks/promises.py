"""What a machine of a school must be like, as plain data: all that the checks compare with."""

from __future__ import annotations

import hashlib
from typing import Any

from provisioner.fleet.facts import wifi_file
from provisioner.fleet.parts import finds_by_name, parts_of
from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.classroom import Aid, Homes, Hours, InputMethod, Printer, Proxy
from provisioner.model.release import ReleaseId
from provisioner.model.school import (
    PUPIL_UID,
    TEACHER_UID,
    HostLabel,
    Keyboard,
    Lines,
    Locale,
    Login,
    School,
    SeatRole,
    TimeServer,
)
from provisioner.model.wish import PackWish


class PromisedAccount(Model):
    """One account as it must be on the machine."""

    login: Login
    uid: int
    full_name: ShortText


class Promises(Model):
    """Everything promised about one machine."""

    hostname: HostLabel
    language: Locale
    time_zone: ShortText
    keyboard: Keyboard
    accounts: tuple[PromisedAccount, ...]
    greeting_en: Lines
    greeting_zh: Lines
    wallpaper_sha256: Sha256 | None = None
    wallpaper_suffix: ShortText = ""
    time_servers: tuple[TimeServer, ...]
    release: ReleaseId
    ssh_host_keys: tuple[ShortText, ...]
    school: Name
    seat: ShortText
    role: SeatRole
    homes: Homes
    input_method: InputMethod
    auto_login: bool
    sponsor_zh: ShortText = ""
    accessibility: tuple[Aid, ...] = ()
    packs: tuple[PackWish, ...] = ()
    serves_courseware: bool = False
    start_page: bool = False
    fixed_address: ShortText = ""
    finds_by_name: bool = False
    proxy: Proxy | None = None
    wifi_file: ShortText = ""
    printer: Printer | None = None
    hours: Hours | None = None
    control: bool = False
    rescue: bool = False
    site_cache: bool = True

    @property
    def pupil(self) -> PromisedAccount:
        """The pupils' account."""
        return self.accounts[-1]

    @property
    def teacher(self) -> PromisedAccount:
        """The teacher's account."""
        return self.accounts[0]


def promises_for(
    school: School,
    seat: int,
    *,
    release: str,
    ssh_host_keys: tuple[str, ...],
    station_time_servers: tuple[str, ...],
) -> Promises:
    """What is promised for the machine at a seat. Raises NotFoundError for a seat not there.

    `ssh_host_keys` are public keys, `TYPE BASE64`, as imaging recorded them.
    """
    settings = school.settings
    wallpaper = school.folder / settings.wallpaper if settings.wallpaper else None
    people = ((settings.accounts.teacher, TEACHER_UID), (settings.accounts.pupil, PUPIL_UID))
    return Promises(
        hostname=school.seat(seat).hostname,
        language=settings.language,
        time_zone=settings.time_zone,
        keyboard=settings.keyboard,
        accounts=tuple(
            PromisedAccount(login=who.login, uid=uid, full_name=who.name) for who, uid in people
        ),
        greeting_en=settings.banner.en.strip(),
        greeting_zh=settings.banner.zh.strip(),
        wallpaper_sha256=hashlib.sha256(wallpaper.read_bytes()).hexdigest() if wallpaper else None,
        wallpaper_suffix=wallpaper.suffix if wallpaper else "",
        time_servers=(*station_time_servers, *settings.ntp),
        release=release,
        ssh_host_keys=tuple(" ".join(key.split()[:2]) for key in ssh_host_keys),
        **_wishes(school, seat),
    )


def _wishes(school: School, number: int) -> dict[str, Any]:
    """What only some schools ask for."""
    settings, seat = school.settings, school.seat(number)
    network, desk = settings.network, settings.teacher_desk
    at_desk = seat.role is SeatRole.TEACHER
    return {
        "school": school.id,
        "seat": seat.name,
        "role": seat.role,
        "homes": settings.homes,
        "input_method": settings.input_method,
        "auto_login": settings.accounts.auto_login and not at_desk,
        "sponsor_zh": settings.sponsor.zh if settings.sponsor else "",
        "accessibility": settings.accessibility,
        "packs": settings.packs,
        "serves_courseware": desk.courseware and at_desk,
        "start_page": "courseware" in parts_of(settings, seat),
        "fixed_address": network.fixed.address(number) if network.fixed else "",
        "finds_by_name": finds_by_name(school),
        "proxy": network.proxy,
        "wifi_file": wifi_file(network.wifi.name) if network.wifi else "",
        "printer": settings.printer,
        "hours": settings.hours,
        "control": desk.control,
        "rescue": desk.rescue and at_desk,
        "site_cache": desk.site_cache or not at_desk,
    }
