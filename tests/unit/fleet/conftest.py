"""A school's folder to damage, and the school in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.fleet.school import load_school
from provisioner.model.school import School

INVENTORIES = Path(__file__).parents[3] / "inventories"

Edit = Callable[[str, str, str], Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of an example school."""
    return Path(shutil.copytree(INVENTORIES / "new-shoots", tmp_path / "new-shoots"))


@pytest.fixture
def edit(folder: Path) -> Edit:
    """edit(file, old, new) changes one place in a file of the school's folder."""

    def change(name: str, old: str, new: str) -> Path:
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
        return path

    return change


@pytest.fixture
def school(folder: Path) -> School:
    return load_school(folder)
