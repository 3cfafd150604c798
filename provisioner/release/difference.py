"""What changed between two releases: packages, licences, files, sizes.

Read from the signed manifests alone, so it costs nothing and needs no image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provisioner.model.release import Component, Manifest


@dataclass(frozen=True)
class Change:
    """One component: None on the side where it is not."""

    name: str
    origin: str
    old: str | None
    new: str | None
    old_licence: str | None = None
    new_licence: str | None = None

    @property
    def kind(self) -> str:
        """added, removed, changed; relicensed when only the licence is another."""
        if self.old is None or self.new is None:
            return "added" if self.old is None else "removed"
        return "changed" if self.old != self.new else "relicensed"


@dataclass(frozen=True)
class Difference:
    """Two releases beside each other; sizes in bytes."""

    old: str
    new: str
    changes: tuple[Change, ...]
    files: tuple[str, ...]
    same_recipe: bool
    old_bytes: int
    new_bytes: int
    old_installed: int
    new_installed: int


def compare(old: Manifest, new: Manifest) -> Difference:
    """Everything in which `new` differs from `old`."""
    before = {entry.path: entry.sha256 for entry in old.files}
    after = {entry.path: entry.sha256 for entry in new.files}
    paths = sorted(before.keys() | after.keys())
    return Difference(
        old=old.id,
        new=new.id,
        changes=tuple(_changes(old.components, new.components)),
        files=tuple(path for path in paths if before.get(path) != after.get(path)),
        same_recipe=old.recipe_sha256 == new.recipe_sha256,
        old_bytes=sum(entry.size for entry in old.files),
        new_bytes=sum(entry.size for entry in new.files),
        old_installed=old.installed_bytes,
        new_installed=new.installed_bytes,
    )


def _changes(old: Iterable[Component], new: Iterable[Component]) -> list[Change]:
    before = {(part.name, part.origin): part for part in old}
    after = {(part.name, part.origin): part for part in new}
    found = []
    for key in sorted(before.keys() | after.keys()):
        one, other = before.get(key), after.get(key)
        if one == other:
            continue
        found.append(
            Change(
                *key,
                old=one.version if one else None,
                new=other.version if other else None,
                old_licence=one.licence if one else None,
                new_licence=other.licence if other else None,
            )
        )
    return found
