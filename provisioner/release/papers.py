"""What an image says about itself: its licence page and its bill of materials.

Both lie inside the image, for whoever sits before it; the bill lies in the release as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from provisioner import templating
from provisioner.release.components import Item
from provisioner.release.recipe import Recipe
from provisioner.release.sbom import SBOM, bill_of_materials, write_bill

PLACE = Path("usr/share/classroom/licences")
PAGE = "index.html"
TEXTS = "/usr/share/common-licenses"


def write_papers(
    recipe: Recipe, items: Sequence[Item], epoch: int, tree: Path | None, release: Path
) -> None:
    """Write the bill of materials into the release, and it and the licence page into a tree."""
    write_bill(release / SBOM, bill_of_materials(recipe.name, recipe.suite, epoch, items))
    if tree is None:
        return
    place = tree / PLACE
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(release / SBOM, place / SBOM)
    ordered = sorted(items, key=lambda item: (item.name.lower(), item.version))
    page = templating.render("image/licences.html.j2", items=ordered, texts=TEXTS)
    (place / PAGE).write_text(page, encoding="utf-8")
