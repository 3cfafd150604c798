"""Projects from anywhere, judged without believing them."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from provisioner.pupil import sb3
from tests import blocks_factory


@pytest.mark.parametrize("kind", blocks_factory.METAS)
def test_projects_of_all_years_are_good(kind: str, tmp_path: Path) -> None:
    path = blocks_factory.make_project(kind, tmp_path / "a.sb3")
    assert sb3.check_sb3(path.read_bytes())["meta"] == blocks_factory.METAS[kind]
    assert sb3.looks_openable(path.read_bytes())


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def with_costume(md5ext: Any) -> bytes:
    target = {"isStage": True, "name": "Stage", "costumes": [{"md5ext": md5ext}], "sounds": []}
    return json.dumps({"targets": [target]}).encode()


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"project.json": b"{"},
        {"project.json": b"[" * 100_000},
        {"project.json": b"[]"},
        {"project.json": b'{"targets": []}'},
        {"project.json": b'{"targets": [{"name": "a"}]}'},
        {"project.json": b'{"targets": "x"}'},
        {"project.json": with_costume("0" * 32 + ".svg")},
        {"project.json": with_costume("0" * 32 + ".svg"), "0" * 32 + ".svg": b"other"},
        {"project.json": with_costume("../../x.svg")},
    ],
)  # fmt: skip
def test_what_is_no_project_is_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(sb3.NotAProjectError):
        sb3.check_sb3(zipped(files))


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zipped({"project.json": b"{}", "a": bytes(3_000_000)})
    monkeypatch.setattr(sb3, "MAX_UNPACKED", 1_000_000)
    with pytest.raises(sb3.NotAProjectError, match="larger than it looks"):
        sb3.check_sb3(bomb)
    assert not sb3.looks_openable(bomb)


def test_the_old_format_may_be_opened() -> None:
    assert sb3.looks_openable(b"ScratchV02 and so on")
    assert not sb3.looks_openable(b"MZ")
