"""The stock that is taken of a tree; something without a licence stops the build."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from provisioner.errors import ConfigError
from provisioner.release.components import (
    Item,
    check_licences,
    debian_items,
    our_item,
    parse_sources_of,
)
from provisioner.release.papers import PAGE, PLACE, write_papers
from provisioner.release.recipe import LICENCES, load_recipe
from provisioner.release.sbom import SBOM
from tests.unit.release.conftest import BASE, WriteRecipe

STATUS = """\
Package: acl
Status: install ok installed
Version: 2.3-1+b1
Source: acl-source (2.3-1)
Description: lists
 Source: not this line

Package: gone
Status: deinstall ok config-files
Version: 1

Package: mawk
Status: install ok installed
Version: 1.3
Source: mawk-source
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree/var/lib/dpkg").mkdir(parents=True)
    (tmp_path / "tree/var/lib/dpkg/status").write_text(STATUS)
    doc = tmp_path / "tree/usr/share/doc/acl"
    doc.mkdir(parents=True)
    (doc / "copyright").write_text("/usr/share/common-licenses/GPL-2")
    return tmp_path / "tree"


def test_the_source_of_a_rebuilt_package_has_another_version() -> None:
    assert parse_sources_of(STATUS) == {
        "acl": ("2.3-1+b1", "acl-source 2.3-1"), "mawk": ("1.3", "mawk-source 1.3"),
    }  # fmt: skip


def test_a_package_without_a_licence_stops_the_build(tree: Path, write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe("base", BASE))
    items = debian_items(tree, recipe, {"acl": "a" * 64})
    assert [(item.name, item.licences, item.sha256) for item in items] == [
        ("acl", ("GPL-2",), "a" * 64), ("mawk", (), ""),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="No licence is known for: mawk"):
        check_licences(items, recipe)


@pytest.mark.parametrize("where", ["table", "recipe"])
def test_a_person_wrote_it_down(tree: Path, write_recipe: WriteRecipe, where: str) -> None:
    text = BASE if where == "table" else BASE + "licences: {mawk: GPL-2.0-only}\n"
    folder = write_recipe("base", text)
    if where == "table":
        (folder.parent / LICENCES).write_text("licences: {mawk: GPL-2.0-only}\n")
    recipe = load_recipe(folder)
    items = debian_items(tree, recipe, {})
    check_licences(items, recipe)
    assert items[1].licences == ("GPL-2.0-only",)


def test_the_manifest_has_a_short_form() -> None:
    long = Item("x", "1", tuple(f"licence-{number}" for number in range(100)))
    assert len(long.component().licence) <= 200
    assert long.component().licence.endswith(", …")


def test_the_papers_lie_in_the_image_and_in_the_release(
    tree: Path, tmp_path: Path, write_recipe: WriteRecipe
) -> None:
    recipe, release = load_recipe(write_recipe("base", BASE)), tmp_path / "release"
    release.mkdir()
    items = [Item("acl", "1", ("GPL-2",)), Item("<b>", "1", ("MIT",), "npm")]
    write_papers(recipe, items, 5, tree, release)
    page = (tree / PLACE / PAGE).read_text()
    assert 'href="file:///usr/share/doc/acl/copyright"' in page
    assert "&lt;b&gt;" in page
    assert "许可证" in page
    assert (tree / PLACE / SBOM).read_bytes() == (release / SBOM).read_bytes()


def test_our_own_part_has_the_packages_version() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
    assert our_item().version == project["project"]["version"]
