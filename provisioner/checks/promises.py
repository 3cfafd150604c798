"""What a machine of a school must be like, as plain data: all that the checks compare with."""

from __future__ import annotations

import hashlib

from provisioner.model.base import Model, Sha256, ShortText
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
    TimeServer,
)


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
    )
