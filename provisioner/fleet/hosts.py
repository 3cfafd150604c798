"""`hosts.yml`: the seats of a classroom, as an ordinary Ansible inventory.

Two groups, `teachers` and `pupils`; each host is a seat, by name or as a range such as
`pupil-[01:24]`. Machines do not stand here: which machine sits where is decided when it is
enrolled, and `provisioner.fleet.inventory` joins the two for a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner import yaml_file
from provisioner.errors import ConfigError
from provisioner.model.base import Model
from provisioner.model.school import SchoolSettings, Seat, SeatRole, hostname_of

GROUPS = {"teachers": SeatRole.TEACHER, "pupils": SeatRole.PUPIL}
MAX_SEATS = 220
_RANGE = re.compile(r"^(?P<head>[^\[\]]*)\[(?P<first>\d+):(?P<last>\d+)\](?P<tail>[^\[\]]*)$")

Variables = dict[str, Any]


class Group(Model):
    hosts: dict[str, Variables | None] | None = None
    vars: Variables | None = None


class Groups(Model):
    teachers: Group = Group()
    pupils: Group = Group()


class Everything(Model):
    children: Groups
    vars: Variables | None = None


class HostsFile(Model):
    """The whole of `hosts.yml`."""

    all: Everything


def read_seats(path: Path, settings: SchoolSettings) -> tuple[Seat, ...]:
    """The seats in the order of the file, teachers' first. Raises ConfigError."""
    groups = yaml_file.load(path, HostsFile).all.children
    _, lines = yaml_file.load_plain(path)
    seats: dict[str, Seat] = {}
    where: dict[str, int] = {}
    for group, role in GROUPS.items():
        listed: Group = getattr(groups, group)
        for pattern, variables in (listed.hosts or {}).items():
            loc = ("all", "children", group, "hosts", pattern)
            line = lines[loc]
            for name in _names(pattern, path, line):
                if name in seats:
                    raise _twice(name, path, line, where[name])
                seats[name] = _seat(name, role, variables or {}, settings, path, line)
                where[name] = line
                if len(seats) > MAX_SEATS:
                    raise ConfigError(f"More than {MAX_SEATS} seats.", file=path, line=line)
    return tuple(seats.values())


def group_variables(path: Path) -> dict[str, Variables]:
    """The variables that `hosts.yml` itself gives to `all`, `teachers` and `pupils`."""
    everything = yaml_file.load(path, HostsFile).all
    groups = everything.children
    return {
        "all": everything.vars or {},
        "teachers": groups.teachers.vars or {},
        "pupils": groups.pupils.vars or {},
    }


def _names(pattern: str, path: Path, line: int) -> Iterator[str]:
    """Ansible's numeric ranges: `pupil-[01:24]` is pupil-01 to pupil-24."""
    match = _RANGE.match(pattern)
    if match is None:
        yield pattern
        return
    first, last = int(match["first"]), int(match["last"])
    if last < first or last - first > MAX_SEATS:
        raise ConfigError(
            "This range of seats holds none, or far too many.",
            "Write it as [01:24], from the first number to the last.",
            file=path, line=line, field=pattern,
        )  # fmt: skip
    width = len(match["first"]) if match["first"].startswith("0") else 1
    for number in range(first, last + 1):
        yield f"{match['head']}{number:0{width}d}{match['tail']}"


def _seat(
    name: str,
    role: SeatRole,
    variables: Mapping[str, Any],
    settings: SchoolSettings,
    path: Path,
    line: int,
) -> Seat:
    try:
        return Seat(
            name=name, role=role, hostname=hostname_of(settings, name), variables=dict(variables)
        )
    except ValidationError as error:
        raise ConfigError(
            f"“{hostname_of(settings, name)}” cannot be the name of a machine.",
            "Use small letters, digits and “-”, at most 63 characters.",
            file=path, line=line, field=name,
        ) from error  # fmt: skip


def _twice(name: str, path: Path, line: int, first_line: int) -> ConfigError:
    return ConfigError(
        f"This host stands twice; first in line {first_line}.",
        "One seat is one host: take one of them out, or give it another name.",
        file=path, line=line, field=name,
    )  # fmt: skip
