"""Recipes are read strictly, and a mistake is named with file, line and cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ConfigError, NotFoundError
from provisioner.model.release import ReleaseKind
from provisioner.release.recipe import (
    Variant,
    load_recipe,
    recipe_digest,
    recipe_names,
)
from tests.unit.release.conftest import BASE, CHILD, WriteRecipe

OURS = Path(__file__).parents[3] / "images"


def test_a_recipe_gets_defaults(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe("base", BASE))
    assert recipe.kind is ReleaseKind.SYSTEM
    assert recipe.components == ("main",)
    assert recipe.variant is Variant.MINBASE
    assert recipe.modules.keep == ("**",)
    assert (recipe.level, recipe.block_kib) == (15, 128)


def test_extending_joins_lists_and_replaces_values(write_recipe: WriteRecipe) -> None:
    base = write_recipe("base", BASE)
    child = write_recipe("child", CHILD)
    recipe = load_recipe(child)
    assert recipe.packages == ("systemd", "python3", "scratch")
    assert (recipe.minimum.memory_mib, recipe.minimum.disk_mb) == (2048, 8000)
    assert recipe.units.enable == ("ssh.service",)
    assert recipe.units.mask == ("man-db.timer",)
    assert recipe.folders == (base, child)
    assert recipe.summary.zh == "更多"


def test_files_of_the_base_come_first(write_recipe: WriteRecipe) -> None:
    base, child = write_recipe("base", BASE), write_recipe("child", CHILD)
    for folder in (base, child):
        (folder / "files").mkdir()
    assert load_recipe(child).sources("files") == (base / "files", child / "files")


def test_unknown_key_names_line_and_nearest(write_recipe: WriteRecipe) -> None:
    folder = write_recipe("base", BASE + "pakages: [vim]\n")
    with pytest.raises(ConfigError) as caught:
        load_recipe(folder)
    assert caught.value.line == 10
    assert caught.value.field == "pakages"
    assert "packages" in caught.value.hint


def test_unknown_key_inside(write_recipe: WriteRecipe) -> None:
    folder = write_recipe("base", BASE.replace("{enable:", "{enabled:"))
    with pytest.raises(ConfigError) as caught:
        load_recipe(folder)
    assert caught.value.field == "units.enabled"
    assert "enable" in caught.value.hint


def test_circle_of_extends(write_recipe: WriteRecipe) -> None:
    write_recipe("base", BASE + "extends: child\n")
    with pytest.raises(ConfigError, match="circle: child → base → child"):
        load_recipe(write_recipe("child", CHILD))


def test_extending_oneself(write_recipe: WriteRecipe) -> None:
    with pytest.raises(ConfigError, match="circle: base → base"):
        load_recipe(write_recipe("base", BASE + "extends: base\n"))


def test_unknown_parent(write_recipe: WriteRecipe) -> None:
    write_recipe("base", BASE)
    folder = write_recipe("child", CHILD.replace("extends: base", "extends: bass"))
    with pytest.raises(ConfigError) as caught:
        load_recipe(folder)
    assert caught.value.line == 2
    assert "base" in caught.value.hint


def test_unknown_recipe_names_the_nearest(write_recipe: WriteRecipe) -> None:
    folder = write_recipe("base", BASE)
    with pytest.raises(NotFoundError) as caught:
        load_recipe(folder.with_name("bass"))
    assert "base" in caught.value.hint


def test_something_missing(write_recipe: WriteRecipe) -> None:
    folder = write_recipe("base", BASE.replace("suite: trixie\n", ""))
    with pytest.raises(ConfigError, match="suite: This is missing"):
        load_recipe(folder)


def test_folder_and_name_agree(write_recipe: WriteRecipe) -> None:
    with pytest.raises(ConfigError, match="calls itself “base”"):
        load_recipe(write_recipe("other", BASE))


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../x", "usr/../../x", ""])
def test_patterns_stay_inside_the_tree(write_recipe: WriteRecipe, pattern: str) -> None:
    folder = write_recipe("base", BASE + f'keep: ["{pattern}"]\n')
    with pytest.raises(ConfigError) as caught:
        load_recipe(folder)
    assert caught.value.field == "keep.0"


@pytest.mark.parametrize("name", ["-oAPT::x", "a b", "Vim", "x=1", "../x"])
def test_package_names_cannot_be_options(write_recipe: WriteRecipe, name: str) -> None:
    folder = write_recipe("base", BASE.replace("  - python3", f'  - "{name}"'))
    with pytest.raises(ConfigError):
        load_recipe(folder)


def test_digest_follows_recipe_and_files(write_recipe: WriteRecipe) -> None:
    folder = write_recipe("base", BASE)
    seen = {recipe_digest(load_recipe(folder))}
    (folder / "files/etc").mkdir(parents=True)
    (folder / "files/etc/motd").write_text("one")
    seen.add(recipe_digest(load_recipe(folder)))
    (folder / "files/etc/motd").write_text("two")
    seen.add(recipe_digest(load_recipe(folder)))
    (folder / "files/etc/motd").chmod(0o755)
    seen.add(recipe_digest(load_recipe(folder)))
    write_recipe("base", BASE.replace("python3", "perl"))
    seen.add(recipe_digest(load_recipe(folder)))
    assert len(seen) == 5


def test_digest_does_not_know_where_the_folder_lies(
    write_recipe: WriteRecipe, tmp_path: Path
) -> None:
    folder = write_recipe("base", BASE)
    moved = tmp_path / "elsewhere"
    digest = recipe_digest(load_recipe(folder))
    folder.parent.rename(moved)
    assert recipe_digest(load_recipe(moved / "base")) == digest


@pytest.mark.parametrize("name", recipe_names(OURS))
def test_our_own_recipes_load(name: str) -> None:
    recipe = load_recipe(OURS / name)
    assert recipe.summary.en
    assert recipe.summary.zh
    assert recipe.minimum.memory_mib >= 1024
