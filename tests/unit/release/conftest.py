"""Small recipes on disk, and a key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.model.signed import PrivateKey

BASE = """\
name: base
kind: system
suite: trixie
minimum: {memory_mib: 1024, disk_mb: 8000}
packages:
  - systemd
  - python3
exclude: [usr/share/man/**]
units: {enable: [ssh.service]}
"""
CHILD = """\
name: child
extends: base
summary: {en: More of it, zh: 更多}
minimum: {memory_mib: 2048}
packages: [scratch, python3]
units: {mask: [man-db.timer]}
"""

WriteRecipe = Callable[[str, str], Path]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def write_recipe(images: Path) -> WriteRecipe:
    def write(name: str, text: str) -> Path:
        folder = images / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return PrivateKey.generate()
