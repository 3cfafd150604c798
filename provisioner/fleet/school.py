"""Schools on disk: `inventories/SCHOOL/` is read, and every mistake in it is named.

    school.yml               what a person says about the school      model.school.SchoolSettings
    hosts.yml                its seats, an ordinary Ansible inventory  fleet.hosts
    group_vars/GROUP.yml     further Ansible variables, if any
    vault.yml                its secrets, if the operator keeps them   fleet.vault

`load_school()` is called before anything starts; `check_school()` lists all that is wrong.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from provisioner import yaml_file
from provisioner.errors import ConfigError, NotFoundError, nearest
from provisioner.fleet.hosts import GROUPS, group_variables, read_seats
from provisioner.model.base import Name
from provisioner.model.school import School, SchoolSettings, Seat, SeatRole

SETTINGS = "school.yml"
HOSTS = "hosts.yml"
GROUP_VARS = "group_vars"
VAULT = "vault.yml"
PARTS = (SETTINGS, HOSTS, GROUP_VARS, VAULT, "README.md")
# zone.tab names one zone for each place; Debian 13 installs no others by default (the older
# names are in tzdata-legacy, which machines do not have).
ZONE_TAB = Path("/usr/share/zoneinfo/zone.tab")
KNOWN = Path(__file__).parent / "known"

T = TypeVar("T")


def school_folders(inventories: Path) -> list[Path]:
    """The schools' folders, by name."""
    if not inventories.is_dir():
        return []
    return sorted(path for path in inventories.iterdir() if (path / SETTINGS).is_file())


def find_school(inventories: Path, school: str) -> Path:
    """The folder of a school; raises NotFoundError naming the nearest one."""
    known = {path.name: path for path in school_folders(inventories)}
    if school not in known:
        raise NotFoundError(f"There is no school “{school}”.", nearest(school, known))
    return known[school]


def load_school(folder: Path) -> School:
    """The school in `folder`. Raises the first ConfigError, or NotFoundError without a folder."""
    school, problems = _read(folder)
    if problems:
        raise problems[0]
    assert school is not None
    return school


def check_school(folder: Path) -> list[ConfigError]:
    """Everything that is wrong in a school's folder, each with file, line and field."""
    return _read(folder)[1]


def _read(folder: Path) -> tuple[School | None, list[ConfigError]]:
    if not folder.is_dir():
        known = [path.name for path in school_folders(folder.parent)]
        raise NotFoundError(f"There is no school “{folder.name}”.", nearest(folder.name, known))
    problems: list[ConfigError] = []
    settings = _noting(problems, lambda: _settings(folder))
    seats: tuple[Seat, ...] | None = None
    if settings is not None:
        problems += _unknown_values(settings, folder)
        seats = _noting(problems, lambda: read_seats(folder / HOSTS, settings))
    problems += _group_vars_problems(folder)
    problems += _strangers(folder, settings)
    if settings is None or seats is None:
        return None, problems
    problems += _seat_problems(settings, seats, folder)
    if problems:
        return None, problems
    variables = group_variables(folder / HOSTS)
    return School(
        id=folder.name, folder=folder.resolve(), settings=settings, seats=seats,
        variables=variables,
    ), []  # fmt: skip


def _noting(problems: list[ConfigError], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ConfigError as error:
        problems.append(error)
        return None


def _settings(folder: Path) -> SchoolSettings:
    try:
        TypeAdapter(Name).validate_python(folder.name)
    except ValidationError as error:
        raise ConfigError(
            f"“{folder.name}” cannot be a school's short name.",
            "Call the folder by small letters, digits and “-”.",
            file=folder,
        ) from error
    return yaml_file.load(folder / SETTINGS, SchoolSettings)


def _unknown_values(settings: SchoolSettings, folder: Path) -> Iterator[ConfigError]:
    """Values of the right form that no machine would understand."""
    path, keyboard = folder / SETTINGS, settings.keyboard
    _, lines = yaml_file.load_plain(path)
    layouts = keyboards()
    variants = layouts.get(keyboard.layout, ())
    wanted: list[tuple[tuple[str, ...], str, Iterable[str], str]] = [
        (("province",), settings.province, provinces(), "province"),
        (("time_zone",), settings.time_zone, time_zones(), "time zone"),
        (("language",), settings.language, locales(), "language"),
        (("keyboard", "layout"), keyboard.layout, layouts, "keyboard layout"),
    ]
    if keyboard.variant and keyboard.layout in layouts:
        what = f"variant of the keyboard layout “{keyboard.layout}”"
        wanted.append((("keyboard", "variant"), keyboard.variant, variants, what))
    for loc, value, known, what in wanted:
        if value not in known:
            yield ConfigError(
                f"“{value}” is no {what} that we know.", nearest(value, known),
                file=path, line=lines.get(loc), field=".".join(loc),
            )  # fmt: skip
    for loc, picture in _pictures(settings):
        if not (folder / picture).is_file():
            yield ConfigError(
                f"There is no file “{picture}” beside it.",
                "Put the image into this folder, or take the line out.",
                file=path, line=lines.get(loc), field=".".join(loc),
            )  # fmt: skip


def _pictures(settings: SchoolSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Files of the school's folder that its settings name."""
    if settings.wallpaper:
        yield ("wallpaper",), settings.wallpaper
    if settings.sponsor and settings.sponsor.logo:
        yield ("sponsor", "logo"), settings.sponsor.logo


def _seat_problems(
    settings: SchoolSettings, seats: tuple[Seat, ...], folder: Path
) -> Iterator[ConfigError]:
    if not seats:
        yield ConfigError(
            "This school has no machines.",
            "List its seats under “teachers” and “pupils”, for example “pupil-[01:24]:”.",
            file=folder / HOSTS,
        )
        return
    _, lines = yaml_file.load_plain(folder / SETTINGS)
    for role, promised in (
        (SeatRole.TEACHER, settings.seats.teachers),
        (SeatRole.PUPIL, settings.seats.pupils),
    ):
        listed = sum(seat.role is role for seat in seats)
        if listed != promised:
            field = f"{role}s"
            yield ConfigError(
                f"{promised} seats are promised here, but {HOSTS} lists {listed}.",
                "Make both say the same.",
                file=folder / SETTINGS,
                line=lines.get(("seats", field), lines.get(("seats",))),
                field=f"seats.{field}",
            )


def _group_vars_problems(folder: Path) -> Iterator[ConfigError]:
    groups = ("all", *GROUPS)
    for path in sorted((folder / GROUP_VARS).glob("*")):
        if path.suffix != ".yml" or path.stem not in groups:
            yield ConfigError(
                "No group of hosts belongs to this file, so nothing would read it.",
                nearest(path.name, [f"{group}.yml" for group in groups]),
                file=path,
            )
            continue
        try:
            data, _ = yaml_file.load_plain(path)
        except ConfigError as error:
            yield error
            continue
        if not isinstance(data, dict):
            yield ConfigError("Variables are “name: value” lines.", file=path, line=1)


def _strangers(folder: Path, settings: SchoolSettings | None) -> Iterator[ConfigError]:
    """A misspelt file name would otherwise pass silently."""
    known = {*PARTS, *(name for _, name in _pictures(settings))} if settings else set(PARTS)
    for path in sorted(folder.iterdir()):
        is_image = path.suffix in (".png", ".jpg")
        if path.name not in known and not path.name.startswith(".") and not is_image:
            yield ConfigError(
                "Nothing reads a file of this name.", nearest(path.name, known - {""}), file=path
            )


@cache
def time_zones() -> frozenset[str]:
    """The time zones that a machine has."""
    if not ZONE_TAB.exists():
        return frozenset(zoneinfo.available_timezones())
    rows = (line.split("\t") for line in ZONE_TAB.read_text().splitlines())
    return frozenset({"Etc/UTC"} | {row[2] for row in rows if not row[0].startswith("#")})


@cache
def locales() -> frozenset[str]:
    """The languages, as locales in UTF-8, that a machine can be given."""
    return frozenset(_known_lines("locales.txt"))


@cache
def provinces() -> frozenset[str]:
    """China's provinces, municipalities and regions, in English and in Chinese."""
    return frozenset(
        name.strip() for row in _known_lines("provinces.txt") for name in row.split("\t")
    )


@cache
def keyboards() -> dict[str, tuple[str, ...]]:
    """The keyboard layouts, and the variants of each."""
    rows = (line.split() for line in _known_lines("keyboards.txt"))
    return {row[0]: tuple(row[1:]) for row in rows}


def _known_lines(name: str) -> list[str]:
    lines = (KNOWN / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]
