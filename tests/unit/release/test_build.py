"""The list of steps: a release is there in whole, or nothing is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import CommandError, ImageMismatchError, StationError
from provisioner.model.release import Component, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release import build
from provisioner.release.build import Made, build_release, ensure_release
from provisioner.release.catalog import Catalog
from provisioner.release.chunking import verify_chunk_map
from provisioner.release.materials import Materials
from provisioner.release.recipe import Recipe
from tests.unit.release.conftest import BASE, WriteRecipe

Make = Callable[..., Made]


class NoLoaders:
    def copy(self, kind: ReleaseKind, release: Path) -> None:
        (release / "loader").mkdir()
        (release / "loader/boot.img").write_bytes(b"boot")

    def components(self) -> list[Component]:
        return []


class Bench:
    """A builder whose slow steps are replaced."""

    def __init__(self, tmp_path: Path, folder: Path, key: PrivateKey) -> None:
        self.catalog, self.cache = Catalog(tmp_path / "releases"), tmp_path / "cache"
        self.folder, self.key, self.steps = folder, key, list[str]()

    def build(self, **more: Any) -> Any:
        return build_release(self.folder, **self._common(), **more)

    def ensure(self) -> Any:
        return ensure_release(self.folder, **self._common())

    def leftovers(self) -> list[str]:
        return sorted(path.name for path in self.catalog.root.iterdir())

    def _common(self) -> dict[str, Any]:
        return {
            "catalog": self.catalog, "key": self.key, "cache": self.cache,
            "report": lambda step, _fraction: self.steps.append(step),
        }  # fmt: skip


@pytest.fixture
def bench(
    tmp_path: Path, write_recipe: WriteRecipe, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    def gather(recipe: Recipe, *_: Any) -> Materials:
        return Materials(recipe, None, tmp_path, NoLoaders(), 5)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "gather", gather)
    monkeypatch.setattr(build, "unpack", lambda _archive, into: into.mkdir())
    monkeypatch.setattr(build, "check_installed", lambda *_: {})
    monkeypatch.setattr(build, "make_system", good)
    return Bench(tmp_path, write_recipe("base", BASE), key)


def good(_materials: Any, _tree: Path, folder: Path, *_: Any) -> Made:
    (folder / "system.squashfs").write_bytes(b"system")
    return Made((Component(name="acl", version="1", licence="GPL-2"),), 10)


def failing(error: Exception) -> Make:
    def make(_materials: Any, _tree: Path, folder: Path, *_: Any) -> Made:
        (folder / "system.squashfs").write_bytes(b"half")
        raise error

    return make


def test_a_release_comes_out_signed(bench: Bench) -> None:
    made = bench.build()
    assert made == bench.catalog.verify(made.id, trusted=bench.key.public)
    assert {entry.path for entry in made.files} == {
        "system.squashfs", "system.chunks", "loader/boot.img",
    }  # fmt: skip
    assert verify_chunk_map(bench.catalog.folder(made.id)) == 1
    assert bench.leftovers() == [made.id]
    assert (bench.catalog.root / made.id).stat().st_mode & 0o777 == 0o755


def test_the_next_one_has_a_higher_number(bench: Bench) -> None:
    first, second = bench.build(), bench.build()
    assert second.number == first.number + 1
    assert second.recipe_sha256 == first.recipe_sha256


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/x/system.squashfs"),
        CommandError("“mksquashfs” exited with 1.\nWrite failed because No space left on device"),
    ],
)
def test_a_full_disk_is_said_plainly_and_leaves_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(build, "make_system", failing(error))
    with pytest.raises(StationError, match="disk is full"):
        bench.build()
    assert bench.leftovers() == []
    assert list((bench.cache / "build/work").iterdir()) == []


def test_any_other_failure_leaves_nothing_either(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "make_system", failing(KeyboardInterrupt()))  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        bench.build()
    assert bench.leftovers() == []


def test_ensure_builds_once(bench: Bench) -> None:
    first = bench.ensure()
    bench.steps.clear()
    assert bench.ensure() == first
    assert bench.steps == []


def test_ensure_builds_again_for_a_changed_recipe(bench: Bench, write_recipe: WriteRecipe) -> None:
    first = bench.ensure()
    write_recipe("base", BASE.replace("1024", "2048"))
    assert bench.ensure().number == first.number + 1


def test_ensure_builds_again_for_another_key(bench: Bench) -> None:
    first = bench.ensure()
    bench.key = PrivateKey.generate()
    assert bench.ensure().number == first.number + 1


def test_ensure_does_not_take_a_damaged_one(bench: Bench) -> None:
    first = bench.ensure()
    (bench.catalog.root / first.id / "system.squashfs").write_bytes(b"sYstem")
    with pytest.raises(ImageMismatchError):
        bench.catalog.verify(first.id)
    assert bench.ensure().number == first.number + 1
