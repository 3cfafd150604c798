"""What the roles are told: `school` as its folder says, and `machine` at its seat, as plain data.

Nothing secret is in it: secrets come from the school's vault. What one machine must not know (the
teacher's key on a pupil's machine) is decided by the roles from `machine.role`.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Any

from provisioner.fleet.parts import PARTS, finds_by_name, needs_of, parts_of
from provisioner.model.school import PUPIL_UID, TEACHER_UID, School, SeatedMachine, SeatRole
from provisioner.model.school_file import places, school_file, site_cache

# Names of our own for UUIDs that stay the same from run to run (RFC 9562, version 5).
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
MDNS = ".local"
_PLAIN_SSID = re.compile(r"^[A-Za-z0-9 _-]+$")


def school_facts(school: School) -> dict[str, Any]:
    """`school.yml` as the roles read it, with what only the program knows."""
    settings = school.settings
    facts = settings.model_dump(mode="json")
    facts["id"] = school.id
    facts["accounts"]["teacher"]["uid"] = TEACHER_UID
    facts["accounts"]["pupil"]["uid"] = PUPIL_UID
    facts["room"] = [place.model_dump(mode="json") for place in places(school)]
    facts["finds_by_name"] = finds_by_name(school)
    facts["all_parts"] = list(PARTS)
    facts["wallpaper_sha256"] = _sha256(school, settings.wallpaper)
    if settings.wallpaper:
        facts["wallpaper"] = str((school.folder / settings.wallpaper).resolve())
    if settings.sponsor:
        logo = settings.sponsor.logo
        facts["sponsor"]["logo_sha256"] = _sha256(school, logo or "")
        facts["sponsor"]["logo"] = str((school.folder / logo).resolve()) if logo else ""
    if settings.network.wifi:
        facts["network"]["wifi"]["file"] = wifi_file(settings.network.wifi.name)
    if settings.teacher_desk.control:
        facts["veyon_room"] = veyon_room(school)
    return facts


def machine_facts(school: School, machine: SeatedMachine) -> dict[str, Any]:
    """One machine: its seat, its files about the school, the parts that concern it."""
    seat, fixed = school.seat(machine.seat), school.settings.network.fixed
    about = school_file(school, machine.seat, machine.asset_tag)
    return {
        "asset_tag": machine.asset_tag,
        "seat": seat.name,
        "role": seat.role.value,
        "hostname": seat.hostname,
        "address": fixed.address(machine.seat) if fixed else "",
        "parts": list(parts_of(school.settings, seat)),
        "needs": [need.model_dump() for need in needs_of(school.settings, seat)],
        "school_file": about.model_dump_json(indent=1) + "\n",
        "site_cache_file": site_cache(school, machine.seat).model_dump_json(indent=1) + "\n",
    }


def wifi_file(name: str) -> str:
    """Where iwd.network(5) keeps what it knows of a network: hexadecimal for unusual names."""
    return f"{name}.psk" if _PLAIN_SSID.match(name) else f"={name.encode().hex()}.psk"


def veyon_room(school: School) -> list[dict[str, Any]]:
    """The room as Veyon's configuration lists it: a location (type 2), and its computers (3)."""
    name = school.settings.name
    room = _uid(school.id, "")
    objects: list[dict[str, Any]] = [{"Name": f"{name.zh} · {name.en}", "Type": 2, "Uid": room}]
    for place in places(school):
        if place.role is SeatRole.PUPIL:
            objects.append({
                "HostAddress": place.address or place.hostname + MDNS,
                "Name": place.seat,
                "ParentUid": room,
                "Type": 3,
                "Uid": _uid(school.id, place.seat),
            })  # fmt: skip
    return objects


def _uid(school: str, seat: str) -> str:
    return "{" + str(uuid.uuid5(NAMESPACE, f"classroom:{school}/{seat}")) + "}"


def _sha256(school: School, picture: str) -> str:
    if not picture:
        return ""
    return hashlib.sha256((school.folder / picture).read_bytes()).hexdigest()
