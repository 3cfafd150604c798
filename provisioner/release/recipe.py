"""A recipe: the description an image is built from, `images/NAME/recipe.yaml`.

Beside it lie `files/` (copied over the tree) and `initramfs/` (programs of the early boot). A
recipe may extend another: lists are joined, the parent's entries first; single values are the
child's. What comes out is one frozen `Recipe` that no longer knows where its parts came from,
save for the folders.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from provisioner import yaml_file
from provisioner.errors import ConfigError, NotFoundError, nearest
from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.release import Minimum, ReleaseKind

RECIPE = "recipe.yaml"
# Beside the recipes: licences of packages whose copyright file no program can read
LICENCES = "licences.yaml"
FILES = "files"
INITRAMFS = "initramfs"
MAX_DEPTH = 8

PackageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]
Suite = Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
Component = Annotated[str, StringConstraints(pattern=r"^[a-z-]+$")]
Unit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9@:_.\\-]+\.[a-z]+$")]


def _inside(pattern: str) -> str:
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ValueError(f"“{pattern}” must be a path inside the tree, without a slash in front")
    return pattern


TreePattern = Annotated[ShortText, StringConstraints(min_length=1), AfterValidator(_inside)]


class Variant(StrEnum):
    """What mmdebstrap starts from: what dpkg calls essential, or a base with apt as well."""

    ESSENTIAL = "essential"
    MINBASE = "minbase"


class Summary(Model):
    """One line about the image, for people."""

    en: ShortText = ""
    zh: ShortText = ""


class Modules(Model):
    """Kernel module folders, below `kernel/`. What a kept module needs is kept with it."""

    keep: tuple[TreePattern, ...] = ()
    drop: tuple[TreePattern, ...] = ()


class Units(Model):
    """systemd units to start, and units that nothing may start."""

    enable: tuple[Unit, ...] = ()
    mask: tuple[Unit, ...] = ()


class Compression(Model):
    """How the tree is packed: zstd level 1 to 22, block size in KiB."""

    level: int | None = Field(None, ge=1, le=22)
    block_kib: int | None = Field(None, ge=4, le=1024)


class PartWish(Model):
    """Something that is no Debian package (see `release/parts.py`), by the name of its folder."""

    name: Name
    optional: bool = False
    sha256: Sha256 | None = Field(None, description="of its files, when the recipe pins it")


class LicenceTable(Model):
    """licences.yaml: what a person read in a package's copyright file."""

    licences: dict[PackageName, ShortText]


class MinimumText(Model):
    """`Minimum`, of which an extending recipe may leave out a part."""

    memory_mib: int | None = Field(None, gt=0)
    disk_mb: int | None = Field(None, gt=0)


class RecipeText(Model):
    """What may stand in a recipe.yaml. All but the name may come from the extended recipe."""

    name: Name
    extends: Name | None = None
    kind: ReleaseKind | None = None
    summary: Summary = Summary()
    suite: Suite | None = None
    components: tuple[Component, ...] = ()
    variant: Variant | None = None
    minimum: MinimumText = MinimumText()
    packages: tuple[PackageName, ...] = ()
    debconf: tuple[ShortText, ...] = ()
    exclude: tuple[TreePattern, ...] = ()
    keep: tuple[TreePattern, ...] = ()
    modules: Modules = Modules()
    units: Units = Units()
    compression: Compression = Compression()
    parts: tuple[PartWish, ...] = ()
    licences: dict[PackageName, ShortText] = Field(default_factory=dict)


class Recipe(Model):
    """A complete recipe. `folders` are its own and those it extends, the base first."""

    name: Name
    kind: ReleaseKind
    summary: Summary
    suite: Suite
    components: tuple[Component, ...]
    variant: Variant
    minimum: Minimum
    packages: tuple[PackageName, ...]
    debconf: tuple[str, ...]
    exclude: tuple[str, ...]
    keep: tuple[str, ...]
    modules: Modules
    units: Units
    level: int
    block_kib: int
    parts: tuple[PartWish, ...]
    licences: dict[str, str]
    folders: tuple[Path, ...] = Field(exclude=True)

    @property
    def file(self) -> Path:
        """The recipe.yaml itself, for messages."""
        return self.folders[-1] / RECIPE

    def sources(self, part: str) -> tuple[Path, ...]:
        """The folders named `part` that exist: the base's first, so that later ones win."""
        return tuple(folder / part for folder in self.folders if (folder / part).is_dir())


def load_recipe(folder: Path) -> Recipe:
    """Read `folder`/recipe.yaml and what it extends.

    Raises NotFoundError when there is none, and ConfigError naming file, line and field: bad
    YAML, an unknown key or parent, a circle of parents, something missing.
    """
    if not (folder / RECIPE).is_file():
        raise NotFoundError(
            f"There is no recipe “{folder.name}”.",
            nearest(folder.name, recipe_names(folder.parent)),
        )
    texts, folders = _chain(folder)
    text = texts[0]
    for child in texts[1:]:
        text = extend(text, child)
    return _complete(text, folders)


def recipe_names(images: Path) -> list[str]:
    """The recipes in a folder of recipes."""
    return sorted(path.parent.name for path in images.glob(f"*/{RECIPE}"))


def extend(parent: RecipeText, child: RecipeText) -> RecipeText:
    """The child with everything that it inherits."""
    return RecipeText.model_validate(_join(_given(parent), _given(child)))


def recipe_digest(recipe: Recipe) -> str:
    """SHA-256 of everything a person wrote for this image: the recipe and the files beside it."""
    digest = hashlib.sha256(recipe.model_dump_json().encode())
    for part in (FILES, INITRAMFS):
        for source in recipe.sources(part):
            digest.update(folder_digest(source).encode())
    return digest.hexdigest()


def folder_digest(folder: Path) -> str:
    """SHA-256 over names, kinds, execute bits and contents below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts:
            continue
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            digest.update(f"l {name} {path.readlink()}\0".encode())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            executable = path.stat().st_mode & 0o100
            digest.update(f"f {name} {executable} {content}\0".encode())
        else:
            digest.update(f"d {name}\0".encode())
    return digest.hexdigest()


def _chain(folder: Path) -> tuple[list[RecipeText], tuple[Path, ...]]:
    """The recipe and its parents, the base first."""
    texts: list[RecipeText] = []
    folders: list[Path] = []
    while True:
        text = _load_text(folder)
        texts.insert(0, text)
        folders.insert(0, folder)
        if text.extends is None:
            return texts, tuple(folders)
        parent = folder.parent / text.extends
        if not (parent / RECIPE).exists():
            _fail(folder, "extends", f"There is no recipe “{text.extends}”.",
                  nearest(text.extends, recipe_names(folder.parent)))  # fmt: skip
        if parent in folders:
            circle = " → ".join([*(f.name for f in reversed(folders)), parent.name])
            _fail(folder, "extends", f"Recipes extend each other in a circle: {circle}.",
                  "Take one “extends” out.")  # fmt: skip
        folder = parent


def _load_text(folder: Path) -> RecipeText:
    text = yaml_file.load(folder / RECIPE, RecipeText)
    if text.name != folder.name:
        _fail(folder, "name", f"The recipe in “{folder.name}” calls itself “{text.name}”.",
              "Folder and name must be the same.")  # fmt: skip
    return text


def _given(text: RecipeText) -> dict[str, object]:
    return text.model_dump(exclude_unset=True)


def _join(parent: dict[str, object], child: dict[str, object]) -> dict[str, object]:
    joined = dict(parent)
    for key, value in child.items():
        old = joined.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            joined[key] = _join(old, value)
        elif isinstance(old, tuple) and isinstance(value, tuple):
            joined[key] = _join_lists(old, value)
        else:
            joined[key] = value
    return joined


def _join_lists(old: tuple[object, ...], new: tuple[object, ...]) -> tuple[object, ...]:
    """The old ones, then those that are new; entries with a name replace that name's."""
    joined = {_name_of(entry): entry for entry in old}
    return tuple((joined | {_name_of(entry): entry for entry in new}).values())


def _name_of(entry: object) -> object:
    return entry["name"] if isinstance(entry, dict) else entry


def _complete(text: RecipeText, folders: tuple[Path, ...]) -> Recipe:
    """Fill in defaults. Raises ConfigError for what has none."""
    folder = folders[-1]
    needed = {"kind": text.kind, "suite": text.suite, "packages": text.packages,
              "minimum.memory_mib": text.minimum.memory_mib,
              "minimum.disk_mb": text.minimum.disk_mb}  # fmt: skip
    for name, value in needed.items():
        if not value:
            _fail(folder, name, "This is missing.", "Write it, or extend a recipe that has it.")
    whole = text.model_dump(exclude={"extends", "compression"})
    whole["components"] = text.components or ("main",)
    whole["variant"] = text.variant or Variant.MINBASE
    whole["modules"] = text.modules if text.modules.keep else Modules(
        keep=("**",), drop=text.modules.drop)  # fmt: skip
    whole["level"] = text.compression.level or 15
    whole["block_kib"] = text.compression.block_kib or 128
    whole["licences"] = {**_licence_table(folder.parent), **text.licences}
    return Recipe(**whole, folders=folders)


def _licence_table(images: Path) -> dict[str, str]:
    path = images / LICENCES
    return yaml_file.load(path, LicenceTable).licences if path.is_file() else {}


def _fail(folder: Path, field: str, message: str, hint: str) -> None:
    _, lines = yaml_file.load_plain(folder / RECIPE)
    line = lines.get(tuple(field.split(".")))
    raise ConfigError(message, hint, file=folder / RECIPE, line=line, field=field)
