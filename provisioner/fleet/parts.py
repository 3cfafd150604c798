"""Which parts of a school's configuration concern one machine, and what they need of its system.

Each part is a role of its own in `playbooks/roles/`. A part that the school does not ask for is
not even looked at, unless the machine had it before: then it is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from provisioner.model.base import Model, ShortText
from provisioner.model.classroom import Aid, Homes, InputMethod
from provisioner.model.school import School, SchoolSettings, Seat, SeatRole


class Need(Model):
    """A program that the release must have, and the field of school.yml that wants it."""

    program: ShortText
    field: ShortText


# The program of each aid; the others are settings of the desktop.
AID_PROGRAMS = {
    Aid.SCREEN_READER: "orca",
    Aid.BRAILLE: "brltty",
    Aid.ON_SCREEN_KEYBOARD: "onboard",
}

Asked = Callable[[SchoolSettings, Seat], bool]


def _names(settings: SchoolSettings) -> bool:
    """Whether machines of the room have to find each other by name, without a name server."""
    desk = settings.teacher_desk
    return (desk.control or desk.courseware) and settings.network.fixed is None


def _network(settings: SchoolSettings, _seat: Seat) -> bool:
    network = settings.network
    return bool(network.fixed or network.proxy or network.wifi or _names(settings))


def _desktop(settings: SchoolSettings, _seat: Seat) -> bool:
    return bool(
        settings.wallpaper
        or settings.input_method is not InputMethod.NONE
        or settings.accounts.auto_login
        or settings.accessibility
    )


def _courseware(settings: SchoolSettings, _seat: Seat) -> bool:
    return bool(settings.packs or settings.sponsor or settings.teacher_desk.courseware)


# In the order in which they are applied.
PARTS: dict[str, Asked] = {
    "homes": lambda settings, _: settings.homes is not Homes.KEPT,
    "network": _network,
    "desktop": _desktop,
    "accessibility": lambda settings, _: bool(settings.accessibility),
    "courseware": _courseware,
    "printer": lambda settings, _: settings.printer is not None,
    "hours": lambda settings, _: bool(settings.hours and settings.hours.switch_off),
    "control": lambda settings, _: settings.teacher_desk.control,
}


def parts_of(settings: SchoolSettings, seat: Seat) -> tuple[str, ...]:
    """The optional roles that the machine at a seat gets."""
    return tuple(name for name, asked in PARTS.items() if asked(settings, seat))


def needs_of(settings: SchoolSettings, seat: Seat) -> tuple[Need, ...]:
    """Programs that the machine's release must have for what the school asks."""
    return tuple(Need(program=program, field=field) for program, field in _needs(settings, seat))


def _needs(settings: SchoolSettings, seat: Seat) -> Iterator[tuple[str, str]]:
    if settings.input_method is not InputMethod.NONE:
        yield "fcitx5", "input_method"
    if settings.accounts.auto_login:
        yield "lightdm", "accounts.auto_login"
    for aid in settings.accessibility:
        if aid in AID_PROGRAMS:
            yield AID_PROGRAMS[aid], f"accessibility ({aid})"
    if settings.network.wifi:
        yield "iwctl", "network.wifi"
    if settings.printer:
        yield "lpadmin", "printer"
    if settings.teacher_desk.control:
        yield "veyon-cli", "teacher_desk.control"
    if settings.teacher_desk.courseware and seat.role is SeatRole.TEACHER:
        yield "kiwix-serve", "teacher_desk.courseware"


def finds_by_name(school: School) -> bool:
    """Whether the room's machines announce their names to each other (multicast DNS)."""
    return _names(school.settings)
