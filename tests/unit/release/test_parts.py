"""Parts that are no Debian packages: whole, pinned, with licences, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.errors import ConfigError
from provisioner.release.parts import find_parts
from provisioner.release.recipe import Recipe, folder_digest, load_recipe
from tests.unit.release.conftest import BASE, WriteRecipe

PIECES = [
    {"name": "blocks", "version": "1", "licence": "Apache-2.0", "source": "this project"},
    {"name": "@scratch/scratch-gui", "version": "15.2.0", "licence": "AGPL-3.0-only",
     "source": "pkg:npm/%40scratch/scratch-gui@15.2.0", "files": ["usr/lib/**"]},
]  # fmt: skip


@pytest.fixture
def places(tmp_path: Path) -> Path:
    notices = tmp_path / "parts/blocks/usr/lib/blocks/notices"
    notices.mkdir(parents=True)
    write_pieces(tmp_path / "parts", PIECES)
    return tmp_path / "parts"


def write_pieces(places: Path, pieces: object) -> None:
    path = places / "blocks/usr/lib/blocks/notices/components.json"
    path.write_text(json.dumps(pieces))


def wishing(write_recipe: WriteRecipe, wish: str) -> Recipe:
    return load_recipe(write_recipe("base", f"{BASE}parts: [{wish}]\n"))


def test_a_part_with_what_it_is_made_of(write_recipe: WriteRecipe, places: Path) -> None:
    (part,) = find_parts(wishing(write_recipe, "{name: blocks}"), places)
    assert [(p.name, p.origin, p.licence) for p in part.pieces] == [
        ("blocks", "project", "Apache-2.0"),
        ("@scratch/scratch-gui", "npm", "AGPL-3.0-only"),
    ]


def test_a_part_that_is_missing(write_recipe: WriteRecipe, tmp_path: Path) -> None:
    recipe = wishing(write_recipe, "{name: blocks}")
    with pytest.raises(ConfigError, match="is not there"):
        find_parts(recipe, tmp_path / "none")
    assert find_parts(wishing(write_recipe, "{name: blocks, optional: true}"), tmp_path) == ()


@pytest.mark.parametrize("licence", ["", "NONE", "NOASSERTION", "unknown", " "])
def test_something_without_a_licence(write_recipe: WriteRecipe, places: Path, licence: str) -> None:
    write_pieces(places, [*PIECES, {"name": "left-pad", "version": "1", "licence": licence}])
    with pytest.raises(ConfigError, match="no licence for: left-pad"):
        find_parts(wishing(write_recipe, "{name: blocks}"), places)


@pytest.mark.parametrize("pieces", [[], {}, [{"name": "x"}], "x"])
def test_a_list_that_says_nothing(write_recipe: WriteRecipe, places: Path, pieces: object) -> None:
    write_pieces(places, pieces)
    with pytest.raises(ConfigError, match="blocks"):
        find_parts(wishing(write_recipe, "{name: blocks}"), places)


def test_no_list_at_all(write_recipe: WriteRecipe, places: Path) -> None:
    (places / "blocks/usr/lib/blocks/notices/components.json").unlink()
    with pytest.raises(ConfigError, match="does not say what it is made of"):
        find_parts(wishing(write_recipe, "{name: blocks}"), places)


def test_wrong_checksum(write_recipe: WriteRecipe, places: Path) -> None:
    right = folder_digest(places / "blocks")
    find_parts(wishing(write_recipe, f'{{name: blocks, sha256: "{right}"}}'), places)
    (places / "blocks/usr/lib/blocks/more.js").write_text("changed")
    with pytest.raises(ConfigError, match=f"has the checksum .*, not {right}") as caught:
        find_parts(wishing(write_recipe, f'{{name: blocks, sha256: "{right}"}}'), places)
    assert caught.value.field == "parts"


def test_a_link_out_of_the_part(write_recipe: WriteRecipe, places: Path) -> None:
    (places / "blocks/usr/lib/blocks/out").symlink_to("../../../../../../etc")
    with pytest.raises(ConfigError, match="link out of the part"):
        find_parts(wishing(write_recipe, "{name: blocks}"), places)


def test_a_link_to_a_place_in_the_image_is_fine(write_recipe: WriteRecipe, places: Path) -> None:
    (places / "blocks/usr/lib/blocks/font.otf").symlink_to("/usr/share/fonts/none.otf")
    assert find_parts(wishing(write_recipe, "{name: blocks}"), places)


def test_what_is_not_laid_out_as_an_image(write_recipe: WriteRecipe, places: Path) -> None:
    (places / "blocks/package.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"package\.json"):
        find_parts(wishing(write_recipe, "{name: blocks}"), places)


def test_a_childs_wish_replaces_its_parents(write_recipe: WriteRecipe) -> None:
    write_recipe("base", f"{BASE}parts: [{{name: blocks, optional: true}}, {{name: more}}]\n")
    child = write_recipe("child", "name: child\nextends: base\nparts: [{name: blocks}]\n")
    parts = load_recipe(child).parts
    assert [(part.name, part.optional) for part in parts] == [("blocks", False), ("more", False)]
