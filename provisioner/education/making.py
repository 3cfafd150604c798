"""The parts of a recipe that this project can make by itself, made before the image is built.

`classroom-blocks` comes from npm and Debian; `pack-NAME` from a pack that was imported, or from
lessons of our own beside the recipes (`images/packs/`). Whatever else a recipe names has been put
into the folder of parts by somebody, or is missing, which the build says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner import yaml_file
from provisioner.education import lessons, placing
from provisioner.education.packs import Store
from provisioner.errors import NotFoundError
from provisioner.model.pack import LessonsText
from provisioner.release.cache import Cache
from provisioner.release.progress import Report
from provisioner.release.recipe import Recipe

LESSONS = "packs"  # the folder of lessons among the recipes
CACHE = "education"
PREFIX = "pack-"
CHOSEN = ".classroom-blocks.assets.json"  # which further pictures the operator chose


@dataclass(frozen=True)
class Workbench:
    """Where parts are made and what from."""

    parts: Path
    cache: Path
    packs: Path
    images: Path
    mirror: str = ""


def make_parts(recipe: Recipe, bench: Workbench, report: Report) -> list[str]:
    """Make those of the recipe's parts that we know how to make; their names.

    Raises what the makers raise: StationError (npm, network, room), PackError, ConfigError.
    """
    made = []
    for wish in recipe.parts:
        if wish.name == placing.BLOCKS:
            make_blocks(bench, report, chosen_assets(bench.parts))
        elif not wish.name.startswith(PREFIX) or not make_pack(wish.name, bench):
            continue
        made.append(wish.name)
    return made


def make_blocks(bench: Workbench, report: Report, assets: Sequence[Path] = ()) -> Path:
    """Block programming, with the further pictures that an operator chose."""
    made = placing.place_blocks(
        bench.parts, Cache(bench.cache / CACHE), mirror=bench.mirror, assets=assets, report=report
    )
    (bench.parts / CHOSEN).write_text(json.dumps([str(path.absolute()) for path in assets]))
    return made


def chosen_assets(parts: Path) -> list[Path]:
    """The folders of pictures that were named when block programming was last made by hand."""
    try:
        return [Path(name) for name in json.loads((parts / CHOSEN).read_text())]
    except FileNotFoundError:
        return []


def make_pack(name: str, bench: Workbench) -> bool:
    """Place the pack of a part's `name`; False when there is neither pack nor lessons for it."""
    wanted = name.removeprefix(PREFIX)
    try:
        pack = Store(bench.packs).newest(wanted)
    except NotFoundError:
        return _from_lessons(wanted, bench)
    placing.place_pack(pack, bench.parts)
    return True


def _from_lessons(name: str, bench: Workbench) -> bool:
    """The pack `name`, made of the lessons that it is named after."""
    for file in sorted((bench.images / LESSONS).glob(f"*/{lessons.TEXTS}")):
        title = yaml_file.load(file, LessonsText).name
        if name not in [f"{title}-{kind}" for kind in lessons.KINDS]:
            continue
        cache = Cache(bench.cache / CACHE)
        with cache.locked(), cache.workspace() as work:
            made = lessons.build_packs(file.parent, work)
            placing.place_pack(next(p for p in made if p.text.name == name), bench.parts)
        return True
    return False
