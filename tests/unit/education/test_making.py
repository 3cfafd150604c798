"""A recipe's parts are made before its image; what nobody can make is left to the build to miss."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from provisioner.education import placing
from provisioner.education.making import Workbench, chosen_assets, make_blocks, make_parts
from provisioner.education.packs import Store, seal
from provisioner.errors import ConfigError
from provisioner.release.parts import find_parts
from provisioner.release.progress import silent
from provisioner.release.recipe import Recipe, load_recipe
from tests.unit.education.conftest import LESSONS, write_pack

RECIPE = """\
name: small
kind: system
suite: trixie
minimum: {memory_mib: 512, disk_mb: 2000}
packages: [systemd]
"""


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    images = tmp_path / "images"
    shutil.copytree(LESSONS, images / "packs/first-lessons")
    return Workbench(parts=tmp_path / "parts", cache=tmp_path / "cache", packs=tmp_path / "packs",
                     images=images)  # fmt: skip


def recipe(bench: Workbench, *parts: str) -> Recipe:
    folder = bench.images / "small"
    folder.mkdir(exist_ok=True)
    listed = ", ".join(f"{{name: {name}}}" for name in parts)
    (folder / "recipe.yaml").write_text(f"{RECIPE}parts: [{listed}]\n")
    return load_recipe(folder)


def test_our_lessons_become_the_packs_that_a_recipe_names(bench: Workbench) -> None:
    wanted = recipe(bench, "pack-first-lessons-web", "pack-first-lessons-zim")
    assert make_parts(wanted, bench, silent) == ["pack-first-lessons-web", "pack-first-lessons-zim"]
    web, zim = find_parts(wanted, bench.parts)
    assert {piece.licence for part in (web, zim) for piece in part.pieces} == {
        "CC-BY-SA-4.0", "Apache-2.0",
    }  # fmt: skip
    inside = web.folder / "usr/share/classroom/packs/first-lessons-web/content/zh"
    assert (inside / "paper-plane.html").is_file()
    assert list((bench.cache / "education/work").iterdir()) == []
    make_parts(wanted, bench, silent)
    assert [part.sha256 for part in find_parts(wanted, bench.parts)] == [web.sha256, zim.sha256]


def test_an_imported_pack_is_placed(bench: Workbench, tmp_path: Path) -> None:
    Store(bench.packs).take(seal(write_pack(tmp_path / "poems")).folder)
    wanted = recipe(bench, "pack-poems")
    assert make_parts(wanted, bench, silent) == ["pack-poems"]
    assert find_parts(wanted, bench.parts)[0].pieces[0].licence == "CC-BY-4.0"


def test_what_nobody_can_make_is_missed_by_the_build(bench: Workbench) -> None:
    wanted = recipe(bench, "pack-nobody", "robot")
    assert make_parts(wanted, bench, silent) == []
    with pytest.raises(ConfigError, match="pack-nobody"):
        find_parts(wanted, bench.parts)


def test_the_operators_pictures_are_taken_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that is built later must not lose what was chosen by hand."""
    taken: list[Sequence[Path]] = []

    def place_blocks(parts: Path, _cache: object, **given: Sequence[Path]) -> Path:
        parts.mkdir(exist_ok=True)
        taken.append(given["assets"])
        return parts

    monkeypatch.setattr(placing, "place_blocks", place_blocks)
    assert chosen_assets(bench.parts) == []
    make_blocks(bench, silent, [bench.images])
    assert make_parts(recipe(bench, "classroom-blocks"), bench, silent) == [placing.BLOCKS]
    assert taken == [[bench.images], [bench.images]]
