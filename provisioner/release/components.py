"""What exactly is in an image, and under which licence: the stock that is taken of a tree.

From it come the manifest's list, the bill of materials and the licence page. Something without a
licence stops the build: who hands an image on must be able to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.errors import ConfigError
from provisioner.model.release import Component
from provisioner.release.bootstrap import STATUS
from provisioner.release.licences import SEE_FILE, read_names
from provisioner.release.parts import Part
from provisioner.release.recipe import LICENCES, Recipe

MAX_LICENCE = 200
OUR_VERSION = "0.1.0"  # as in pyproject.toml, which a machine has not got
_SOURCE = re.compile(r"^(?P<name>\S+)(?: \((?P<version>[^)]+)\))?$")


@dataclass(frozen=True)
class Item:
    """One component: `licences` are short names; `source` is Debian's `name version`."""

    name: str
    version: str
    licences: tuple[str, ...]
    origin: str = "debian"
    source: str = ""
    sha256: str = ""
    place: str = field(default="tree", compare=False)

    def component(self) -> Component:
        """As the manifest lists it."""
        text = ", ".join(self.licences)
        short = text if len(text) <= MAX_LICENCE else f"{text[: MAX_LICENCE - 3]}, …"
        return Component(name=self.name, version=self.version, licence=short, origin=self.origin)


def debian_items(tree: Path, recipe: Recipe, digests: Mapping[str, str]) -> list[Item]:
    """The packages that dpkg has in the tree; `digests` are their files' SHA-256 by name."""
    sources = parse_sources_of((tree / STATUS).read_text())
    found = []
    for name, (version, source) in sorted(sources.items()):
        own = recipe.licences.get(name)
        licences = tuple(own.split(", ")) if own else tuple(read_names(tree, name))
        found.append(Item(name, version, licences, source=source, sha256=digests.get(name, "")))
    return found


def our_item() -> Item:
    """The agent, and everything of ours that lies in a recipe's files."""
    return Item("classroom-provisioner", OUR_VERSION, ("Apache-2.0",), "project")


def part_items(parts: Iterable[Part]) -> list[Item]:
    """Everything that parts say they are made of."""
    return [
        Item(piece.name, piece.version, (piece.licence,), piece.origin)
        for part in parts
        for piece in part.pieces
    ]


def loader_items(components: Iterable[Component]) -> list[Item]:
    """The boot loaders' packages: not in the tree, but in the release."""
    return [
        Item(part.name, part.version, tuple(part.licence.split(", ")), part.origin, place="loader")
        for part in components
    ]


def check_licences(items: Iterable[Item], recipe: Recipe) -> None:
    """Raises ConfigError naming everything that has no licence."""
    if without := [item.name for item in items if not item.licences or SEE_FILE in item.licences]:
        more = f" and {len(without) - 20} more" if len(without) > 20 else ""
        raise ConfigError(
            f"No licence is known for: {', '.join(without[:20])}{more}.",
            f"Read usr/share/doc/NAME/copyright in the package and write it into {LICENCES}, or "
            "into the recipe's licences.", file=recipe.file, field="licences",
        )  # fmt: skip


def parse_sources_of(status: str) -> dict[str, tuple[str, str]]:
    """Version and source (`name version`) of every installed package, from dpkg's status file."""
    found = {}
    for stanza in status.split("\n\n"):
        lines = (line.partition(": ") for line in stanza.splitlines() if not line.startswith(" "))
        fields = {name: value for name, sep, value in lines if sep}
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        source = _SOURCE.match(fields.get("Source", name))
        own = (source["name"], source["version"]) if source else (name, None)
        found[name] = (version, f"{own[0]} {own[1] or version}")
    return found
