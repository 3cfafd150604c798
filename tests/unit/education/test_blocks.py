"""Building the application, without its 150 MB: the parts that decide."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from provisioner.education import blocks, media, npm
from provisioner.education.notices import ComponentText, check_covered, read_components
from provisioner.errors import ConfigError, StationError, UntrustedError
from provisioner.pupil import library
from provisioner.release.cache import Cache


def archive(tmp_path: Path, files: dict[str, bytes]) -> Path:
    path = tmp_path / "package.tgz"
    with tarfile.open(path, "w:gz") as made:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("package/dist/link.js")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    return path


def test_the_editor_is_taken_without_what_is_of_no_use(tmp_path: Path) -> None:
    good = ["scratch-gui-standalone.js", "chunks/540.x.js", "chunks/zh_CN-steps.1.js",
            "static/assets/add-effects.zh_CN.0187e2faf56e7bfed23a.png",
            "static/assets/add-effects.316864c7b28097124b92.jpg"]  # fmt: skip
    bad = ["scratch-gui.js", "scratch-gui-standalone.js.map", "types/a.d.ts", "x.hex",
           "chunks/mediapipe/a.wasm", "chunks/fr-steps.1.js", "chunks/pt_BR-steps.1.js",
           "static/assets/add-effects.fr.bf25a4537fdd4b19d2ff.png"]  # fmt: skip
    files = {f"package/dist/{name}": b"x" for name in (*good, *bad)}
    files |= {f"package/dist/libraries/{kind}.json": b"[]" for kind in library.KINDS}
    files |= {"package/LICENSE": b"AGPL", "package/src/a.js": b"x", "../evil": b"x"}
    root = tmp_path / "root"
    blocks.put_editor(archive(tmp_path, files), root)
    found = {path.relative_to(root / "editor").as_posix()
             for path in (root / "editor").rglob("*") if path.is_file()}  # fmt: skip
    assert found == set(good)
    assert (root / "notices/scratch-gui-LICENSE.txt").read_bytes() == b"AGPL"
    assert not (tmp_path / "evil").exists()


def test_another_archive_than_was_tried_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = archive(tmp_path, {"package/a": b"x"}).read_bytes()

    def pack(_package: npm.NpmPackage, work: Path) -> Path:
        (work / "a.tgz").write_bytes(content)
        return work / "a.tgz"

    monkeypatch.setattr(npm, "_pack", pack)
    cache = Cache(tmp_path / "cache")
    wrong = npm.NpmPackage("a", "1", "0" * 64)
    with pytest.raises(UntrustedError, match="SHA-256"):
        npm.fetch(wrong, cache)
    right = npm.NpmPackage("a", "1", hashlib.sha256(content).hexdigest())
    path = npm.fetch(right, cache)
    monkeypatch.setattr(npm, "_pack", None)  # the cache needs no npm
    assert npm.fetch(right, cache) == path


def test_no_npm_is_said_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StationError, match="cannot be fetched") as caught:
        npm.fetch(blocks.GUI, Cache(tmp_path / "cache"))
    assert "npm" in caught.value.hint


def picture(path: Path, kind: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("P" if kind == "GIF" else "RGB", (40, 20), 7).save(path, kind)


def test_pictures_become_sprites_and_trademarks_stay_out(tmp_path: Path) -> None:
    costumes = tmp_path / "Costumes"
    picture(costumes / "Animals/bat1-a.gif", "GIF")
    Image.new("RGB", (40, 20), (9, 9, 9)).save(costumes / "Animals/bat1-b.png")
    for name in ("Animals/cat1-a.gif", "Fantasy/gobo1.gif", "Letters/scratch/a.gif"):
        picture(costumes / name, "GIF")
    picture(costumes / "Letters/stone/a.gif", "GIF")
    picture(tmp_path / "Backgrounds/Nature/hill.jpg", "JPEG")
    (tmp_path / "Sounds/Animal").mkdir(parents=True)
    (tmp_path / "Sounds/Animal/Bird.wav").write_bytes(b"RIFF")
    made = media.make_library(tmp_path)
    names = {sprite["name"]: sprite for sprite in made.index["sprites"]}
    assert set(names) == {"bat1", "stone a"}
    assert len(names["bat1"]["costumes"]) == 2
    assert {name.split(".")[1] for name in made.files} == {"png", "jpg", "wav"}
    for name, content in made.files.items():
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == name[:32]
    (costume, *_) = names["bat1"]["costumes"]
    assert (costume["rotationCenterX"], costume["rotationCenterY"]) == (20, 10)


@pytest.mark.parametrize(
    ("name", "chinese"),
    [("bat1", "蝙蝠1"), ("boy4-walking-a", "男孩4走路a"), ("BabyCry", "婴儿哭"),
     ("beach-malibu", "海滩"), ("mako-laughing", ""), ("stone a", ""), ("a", "")],
)  # fmt: skip
def test_names_of_pictures_become_chinese(name: str, chinese: str) -> None:
    words = media.read_words(blocks.DATA / "words-zh.txt")
    assert media.in_chinese(name, words) == chinese


def test_a_file_that_no_licence_covers_ends_the_build(tmp_path: Path) -> None:
    part = ComponentText(name="a", version="1", licence="MIT", source="here", files=("usr/a/**",))
    (tmp_path / "usr/a/b").mkdir(parents=True)
    (tmp_path / "usr/a/b/c").write_text("x")
    check_covered(tmp_path, [part], tmp_path)
    (tmp_path / "usr/d").write_text("x")
    with pytest.raises(ConfigError, match="usr/d"):
        check_covered(tmp_path, [part], tmp_path)


def test_every_component_says_version_licence_and_source() -> None:
    found = {part.name: part.licence for part in read_components(blocks.COMPONENTS)}
    assert found == {"classroom-blocks": "Apache-2.0", "@scratch/scratch-gui": "AGPL-3.0-only",
                     "scratch-media": "CC-BY-SA-3.0"}  # fmt: skip


def test_the_start_project_is_ours_and_whole() -> None:
    start = json.loads((blocks.PACKAGE / "pupil/page/start.json").read_text())
    for target in start["targets"]:
        for asset in (*target["costumes"], *target["sounds"]):
            content = (blocks.DATA / "ours" / asset["md5ext"]).read_bytes()
            assert hashlib.md5(content, usedforsecurity=False).hexdigest() == asset["assetId"]
