"""Parts of an image that are no Debian packages: applications made from npm or PyPI, or by us.

A part is a folder that another program has made ready, laid out as in the image:

    PARTS/NAME/usr/…, etc/…
    PARTS/NAME/usr/lib/NAME/notices/components.json   what it is made of, under which licences

A recipe names it. One that is `optional` may be missing (its maker was not run); one that is
there must say the licence of everything in it, and be what a recipe or a lock pins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, StringConstraints, ValidationError

from provisioner.errors import ConfigError
from provisioner.model.base import Model, ShortText
from provisioner.release.recipe import PartWish, Recipe, folder_digest

COMPONENTS = "usr/lib/{name}/notices/components.json"
FOLDERS = frozenset({"etc", "opt", "usr", "var"})
NO_LICENCE = re.compile(r"^(none|noassertion|unknown|todo|tbd|n/a|free)?$", re.IGNORECASE)
_ORIGIN = re.compile(r"^pkg:(deb|npm|pypi)/")
_ORIGINS = {"deb": "debian", "npm": "npm", "pypi": "pypi"}


class Piece(Model):
    """One component inside a part; `source` is a package URL, or where it is from in words."""

    name: Annotated[ShortText, StringConstraints(min_length=1)]
    version: Annotated[ShortText, StringConstraints(min_length=1)]
    licence: ShortText = ""
    source: ShortText = ""
    files: tuple[str, ...] = Field((), description="which of the part's files it is")

    @property
    def origin(self) -> str:
        """debian, npm, pypi, or project: made by us."""
        found = _ORIGIN.match(self.source)
        return _ORIGINS[found[1]] if found else "project"


class Pieces(RootModel[tuple[Piece, ...]]):
    """The whole of a components.json."""


@dataclass(frozen=True)
class Part:
    """A part that was found and says what it is made of; `sha256` as `folder_digest` counts."""

    name: str
    folder: Path
    pieces: tuple[Piece, ...]
    sha256: str


def find_parts(recipe: Recipe, places: Path) -> tuple[Part, ...]:
    """The recipe's parts from the folder of parts, in the recipe's order.

    Raises ConfigError: a part that is needed is missing, it does not say the licence of
    something, it is not what the recipe pins, or it holds a link out of itself.
    """
    found = (_find(recipe, wish, places / wish.name) for wish in recipe.parts)
    return tuple(part for part in found if part is not None)


def _find(recipe: Recipe, wish: PartWish, folder: Path) -> Part | None:
    if not folder.is_dir():
        if wish.optional:
            return None
        raise ConfigError(
            f"The part “{wish.name}” is not there: {folder}.",
            "Run the program that makes it, or set parts_dir to where it lies.",
            file=recipe.file, field="parts",
        )  # fmt: skip
    digest = folder_digest(folder)
    if wish.sha256 not in (None, digest):
        raise ConfigError(
            f"The part “{wish.name}” has the checksum {digest}, not {wish.sha256}.",
            "Make the part anew, or find out who changed it.",
            file=recipe.file, field="parts",
        )  # fmt: skip
    _check_layout(wish.name, folder)
    return Part(wish.name, folder, _read(wish.name, folder), digest)


def _read(name: str, folder: Path) -> tuple[Piece, ...]:
    path = folder / COMPONENTS.format(name=name)
    try:
        pieces = Pieces.model_validate_json(path.read_bytes()).root
    except FileNotFoundError as error:
        raise ConfigError(f"The part “{name}” does not say what it is made of.",
                          "Make the part anew.", file=path) from error  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(step) for step in first["loc"])
        raise ConfigError(f"{first['msg']}.", "Make the part anew.",
                          file=path, field=field) from error  # fmt: skip
    without = [piece.name for piece in pieces if NO_LICENCE.match(piece.licence.strip())]
    if without or not pieces:
        raise ConfigError(
            f"The part “{name}” has no licence for: {', '.join(without) or 'anything'}.",
            "Say it where the part is made; nothing goes to a school without.", file=path,
        )  # fmt: skip
    return pieces


def _check_layout(name: str, folder: Path) -> None:
    """In a tree a link may point anywhere; copying through one would leave the tree."""
    if odd := sorted({path.name for path in folder.iterdir()} - FOLDERS):
        raise ConfigError(f"The part “{name}” is not laid out as in an image: it has {odd[0]}.",
                          file=folder)  # fmt: skip
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            target = path.readlink()
            if path.is_dir() or not target.is_absolute():
                raise ConfigError(
                    f"{path.relative_to(folder)} is a link out of the part “{name}”.",
                    "Make the part anew.", file=folder,
                )  # fmt: skip
