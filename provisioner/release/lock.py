"""A release's package lock: every package file that went into it, by name, size and SHA-256.

It lies in the release and is signed with it. A build with a lock takes just these files,
whatever Debian's archive has by then; two stations with the same recipe and the same lock make
the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, ValidationError

from provisioner.errors import ConfigError, NotFoundError
from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.release.catalog import Catalog
from provisioner.release.packages import Deb
from provisioner.release.recipe import Recipe

LOCK = "packages.lock.json"
DebName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*_[^_/]+_[a-z0-9]+\.deb$")]


class LockedDeb(Model):
    """One package file: its name in apt's cache, size in bytes."""

    file: DebName
    size: int = Field(gt=0)
    sha256: Sha256

    def deb(self) -> Deb:
        return Deb(self.file, self.size, self.sha256)


class Lock(Model):
    """All that a build fetches: packages of the tree and of the loaders, parts beside Debian's."""

    schema_version: int = 1
    recipe: Name
    suite: ShortText
    source_date_epoch: int = Field(ge=0, description="seconds since 1970")
    packages: tuple[LockedDeb, ...]
    loaders: tuple[LockedDeb, ...]
    parts: dict[Name, Sha256] = Field(default_factory=dict)

    def check(self, recipe: Recipe) -> None:
        """Raises ConfigError unless the lock is this recipe's and has all its packages."""
        if (self.recipe, self.suite) != (recipe.name, recipe.suite):
            raise ConfigError(
                f"The lock is for {self.recipe} of {self.suite}, the recipe is {recipe.name} of "
                f"{recipe.suite}.", "Give the recipe's own lock, or build without.",
                file=recipe.file,
            )  # fmt: skip
        names = {deb.file.partition("_")[0] for deb in self.packages}
        if new := [name for name in recipe.packages if name not in names]:
            raise ConfigError(
                f"The lock does not have: {', '.join(new)}.",
                "The recipe has changed since; build without the lock once to make a new one.",
                file=recipe.file, field="packages",
            )  # fmt: skip

    def check_parts(self, parts: Mapping[str, str]) -> None:
        """Raises ConfigError unless these parts (name to SHA-256) are the lock's."""
        if odd := sorted(set(self.parts.items()) ^ set(parts.items())):
            names = ", ".join(dict.fromkeys(name for name, _ in odd))
            raise ConfigError(
                f"These parts are not those of the lock: {names}.",
                "Bring the same parts, or build without the lock.",
            )


def locked(debs: tuple[Deb, ...]) -> tuple[LockedDeb, ...]:
    """Package files as a lock lists them."""
    return tuple(LockedDeb(file=deb.file, size=deb.size, sha256=deb.sha256) for deb in debs)


def write_lock(folder: Path, lock: Lock) -> None:
    """Write a release's lock, one package a line, so that two can be compared line by line."""
    data = lock.model_dump()
    fields = [f"{json.dumps(name)}: {_rows(value)}" for name, value in data.items()]
    (folder / LOCK).write_text("{\n" + ",\n".join(fields) + "\n}\n", encoding="utf-8")


def read_lock(path: Path) -> Lock:
    """Read a lock file. Raises NotFoundError, or ConfigError for what is none."""
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no lock {path}.", "Older releases have none.") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{first['msg']}.", "Is this a lock file, whole and unchanged?",
                          file=path, field=field) from error  # fmt: skip


def find_lock(text: str, catalog: Catalog) -> Lock:
    """A lock by the name of a release in the catalogue, or by its file's path."""
    path = Path(text)
    return read_lock(path if path.is_file() else catalog.folder(text) / LOCK)


def _rows(value: object) -> str:
    if not isinstance(value, tuple) or not value:
        return json.dumps(value)
    return "[\n" + ",\n".join(f"  {json.dumps(row)}" for row in value) + "\n]"
