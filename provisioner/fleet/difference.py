"""What two descriptions of a school have different, and what a machine was last given.

Configuring leaves `configured.json` beside its logs, on the station, when it was proved. So it can
be told which machines are not yet what the folder says now, without asking them: they may be at
the school, and switched off.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.school import AssetTag, School, SchoolSettings

CONFIGURED = "configured.json"
NOTHING = "–"


class Difference(Model):
    """One field that is otherwise: `network.proxy.url`, before and after, as a person reads it."""

    field: str
    before: str
    after: str


class Configured(Model):
    """What one machine was given when it was last configured with success."""

    asset_tag: AssetTag
    school: Name
    seat: ShortText
    revision: Sha256
    settings: dict[str, Any]


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[Difference]:
    """Fields of two settings in JSON's form that differ, in the order in which they stand."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    return [
        Difference(field=field, before=old.get(field, NOTHING), after=new.get(field, NOTHING))
        for field in {**new, **old}
        if old.get(field, NOTHING) != new.get(field, NOTHING)
    ]


def plain(settings: SchoolSettings) -> dict[str, Any]:
    """Settings in JSON's form."""
    return settings.model_dump(mode="json")


def note_configured(school: School, asset_tag: str, seat: str, revision: str, folder: Path) -> None:
    """Keep what a machine was given, beside the logs of its configuring."""
    given = Configured(
        asset_tag=asset_tag, school=school.id, seat=seat, revision=revision,
        settings=plain(school.settings),
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = folder / f".{CONFIGURED}.new"
    aside.write_text(given.model_dump_json(indent=1) + "\n", encoding="utf-8")
    aside.replace(folder / CONFIGURED)


def last_configured(logs: Path, school: str) -> list[Configured]:
    """What each machine of a school was last given, by asset tag; damaged notes are passed over."""
    found = (_read(path) for path in sorted(logs.glob(f"*/configure/{CONFIGURED}")))
    return [given for given in found if given is not None and given.school == school]


def _read(path: Path) -> Configured | None:
    try:
        return Configured.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every single value by its path; lists of plain values count as one."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value, 1):
            yield from _leaves(item, f"{path}[{index}]")
    elif isinstance(value, list):
        yield path, ", ".join(map(str, value)) or NOTHING
    elif value is not None:
        yield path, str(value)
