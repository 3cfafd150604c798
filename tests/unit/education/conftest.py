"""Packs for the tests, made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner import yaml_file
from provisioner.education.lessons import build_packs
from provisioner.education.packs import Pack

LESSONS = Path(__file__).parents[3] / "images/packs/first-lessons"


@pytest.fixture(scope="session")
def our_packs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pack]:
    """Our own lessons as web, Kolibri and ZIM packs; tests copy what they change."""
    made = build_packs(LESSONS, tmp_path_factory.mktemp("packs"))
    return {pack.text.kind.value: pack for pack in made}


def write_pack(folder: Path, kind: str = "web", **changes: Any) -> Path:
    """A small pack that is not sealed yet; a change of None leaves a line out."""
    text: dict[str, Any] = {
        "name": "poems", "version": "1", "kind": kind,
        "title": {"en": "Poems", "zh": "古诗"}, "licence": "CC-BY-4.0", "credit": "A teacher",
        "source": "written here", "languages": ["zh-CN"], **changes,
    }  # fmt: skip
    (folder / "content").mkdir(parents=True, exist_ok=True)
    kept = {key: value for key, value in text.items() if value is not None}
    (folder / "pack.yml").write_text(yaml_file.dump(kept), encoding="utf-8")
    if kind == "web":
        (folder / "content/index.html").write_text('<a href="b.html">b</a>')
        (folder / "content/b.html").write_text("<p>静夜思</p>")
    return folder
