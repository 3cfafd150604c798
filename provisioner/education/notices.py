"""What an application or a pack is made of: each part with its version, licence and source.

The list is written by a person beside the sources (`components.yml`). A file that no entry names
ends the build: nothing goes to a school of which we cannot say where it comes from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import Field, RootModel

from provisioner import yaml_file
from provisioner.errors import ConfigError
from provisioner.model.base import Model, ShortText
from provisioner.model.wish import Licence
from provisioner.release.patterns import compile_patterns

# Words that have the shape but say nothing.
EMPTY_WORDS = re.compile(r"^(none|noassertion|unknown|todo|tbd|n/a|free)$", re.IGNORECASE)


class ComponentText(Model):
    """One part: what the licence page says of it, and which files it is."""

    name: ShortText = Field(min_length=1)
    version: ShortText = Field(min_length=1)
    licence: Licence
    source: ShortText = Field(min_length=1)
    files: tuple[ShortText, ...] = Field(min_length=1)


class Components(RootModel[tuple[ComponentText, ...]]):
    """The whole of a `components.yml`."""


def read_components(path: Path) -> tuple[ComponentText, ...]:
    """The parts named in a file. Raises ConfigError naming file, line and field."""
    return yaml_file.load(path, Components).root


def check_covered(tree: Path, components: Iterable[ComponentText], file: Path) -> None:
    """Raise ConfigError for the first file below `tree` that no component names."""
    known = compile_patterns(pattern for part in components for pattern in part.files)
    for path in sorted(tree.rglob("*")):
        name = path.relative_to(tree).as_posix()
        if not path.is_dir() and not known.fullmatch(name):
            raise ConfigError(
                f"Nothing says under which licence “{name}” is.",
                "Add it to an entry's “files”, or leave the file out.",
                file=file,
            )


def write_components(components: Iterable[ComponentText], folder: Path) -> None:
    """The list for people in the application itself, and for programs (`components.json`)."""
    rows = [part.model_dump(mode="json") for part in components]
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(rows, ensure_ascii=False, indent=1)
    (folder / "components.json").write_text(text + "\n", encoding="utf-8")
