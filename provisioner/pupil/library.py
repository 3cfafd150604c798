"""Which pictures and sounds the editor offers: those whose files are there, and no others.

The editor's own index lists a set that its package does not bring. Ours, made from Debian's
`scratch` when the application is built, lists what is on the disk. Both are read; an entry
without its file disappears, and appears by itself once a pack of assets has been brought in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

KINDS = ("costumes", "backdrops", "sprites", "sounds")
Index = dict[str, list[dict[str, Any]]]


def read_index(path: Path) -> Index:
    """An index file: lists by kind."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return {kind: list(data.get(kind, [])) for kind in KINDS}


def available(folders: Iterable[Path]) -> frozenset[str]:
    """The names of all asset files in `folders`."""
    return frozenset(
        path.name for folder in folders if folder.is_dir() for path in folder.iterdir()
    )


def offered(indexes: Sequence[Index], have: frozenset[str]) -> Index:
    """The entries whose files are all there, each once, by name.

    A sound that two indexes call differently is offered as the first one calls it.
    """
    found: Index = {}
    for kind in KINDS:
        entries: dict[str, dict[str, Any]] = {}
        for index in indexes:
            for entry in index[kind]:
                whole = _whole_sprite(entry, have) if kind == "sprites" else _whole(entry, have)
                if whole is not None:
                    name = "" if kind == "sounds" else entry["name"]
                    entries.setdefault(f"{name} {_key(entry)}", whole)
        found[kind] = sorted(entries.values(), key=_order)
    return found


def named(index: Index, language: str) -> Index:
    """The entries with their Chinese names, where a session is Chinese and they have one.

    The other name becomes a tag, so that a search finds both.
    """
    return {kind: [_named(entry, language) for entry in entries] for kind, entries in index.items()}


def missing(index: Index, have: frozenset[str]) -> list[str]:
    """The names of files that an index wants and that are not there."""
    wanted = set()
    for kind in KINDS:
        for entry in index[kind]:
            wanted |= set(_files(entry))
    return sorted(wanted - have)


def _files(entry: Mapping[str, Any]) -> Iterable[str]:
    if "costumes" in entry:
        for part in (*entry["costumes"], *entry.get("sounds", ())):
            yield str(part["md5ext"])
    else:
        yield str(entry["md5ext"])


def _named(entry: dict[str, Any], language: str) -> dict[str, Any]:
    kept = {key: value for key, value in entry.items() if key != "zh"}
    if not language.startswith("zh") or "zh" not in entry:
        return kept
    return {**kept, "name": entry["zh"], "tags": [*entry.get("tags", ()), entry["name"]]}


def _order(entry: Mapping[str, Any]) -> tuple[bool, bool, str]:
    """What children look for comes first: letters last, before them what has no Chinese name."""
    return "letters" in entry.get("tags", ()), "zh" not in entry, str(entry["name"]).lower()


def _key(entry: Mapping[str, Any]) -> str:
    return next(iter(_files(entry)), "")


def _whole(entry: dict[str, Any], have: frozenset[str]) -> dict[str, Any] | None:
    return entry if entry["md5ext"] in have else None


def _whole_sprite(entry: dict[str, Any], have: frozenset[str]) -> dict[str, Any] | None:
    """A sprite needs all its costumes; a sound that is missing is left out."""
    if not entry["costumes"] or any(c["md5ext"] not in have for c in entry["costumes"]):
        return None
    sounds = [sound for sound in entry.get("sounds", ()) if sound["md5ext"] in have]
    return {**entry, "sounds": sounds}
