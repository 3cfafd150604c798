"""Packs of pictures and sounds, good and hostile."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from provisioner.pupil import library
from provisioner.pupil.assets import AssetPackError, import_assets

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>'


def put(folder: Path, content: bytes, suffix: str = "svg", name: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    path = folder / (name or f"{digest}.{suffix}")
    path.write_bytes(content)
    return path


def test_a_good_pack_is_brought_in_once(tmp_path: Path) -> None:
    pack, shelf = tmp_path / "pack", tmp_path / "shelf"
    put(pack / "static/assets", SVG)
    put(pack, b"RIFF....WAVE", "wav")
    put(pack, b"read me", name="README.txt")
    brought = import_assets(pack, shelf)
    assert (brought.new, brought.known) == (2, 0)
    assert len(library.available([shelf])) == 2
    assert import_assets(pack, shelf).new == 0


def hostile(pack: Path, what: str) -> None:
    if what == "link":
        pack.mkdir(exist_ok=True)
        (pack / f"{'0' * 32}.svg").symlink_to("/etc/passwd")
    elif what == "link to a folder":
        (pack / "more").symlink_to("/etc")
    elif what == "device":
        os.mkfifo(pack / f"{'0' * 32}.svg")
    elif what == "wrong name":
        put(pack, SVG, name=f"{'0' * 32}.svg")
    elif what == "wrong kind":
        put(pack, b"MZ program", "png")
    elif what == "script":
        put(pack, b"<svg><script>alert(1)</script></svg>")
    elif what == "program":
        put(pack, b"MZ", name=f"{'0' * 32}.exe")
    elif what == "huge":
        path = put(pack, SVG)
        os.truncate(path, 21 * 1024 * 1024)


@pytest.mark.parametrize(
    "what",
    ["link", "link to a folder", "device", "wrong name", "wrong kind", "script", "program",
     "huge"],
)  # fmt: skip
def test_a_hostile_pack_is_refused_whole_with_a_sentence(tmp_path: Path, what: str) -> None:
    pack, shelf = tmp_path / "pack", tmp_path / "shelf"
    put(pack, b"<svg>a good one</svg>")
    hostile(pack, what)
    with pytest.raises(AssetPackError) as caught:
        import_assets(pack, shelf)
    assert caught.value.message.endswith(".")
    if what == "wrong name":
        assert "another MD5" in caught.value.message
    assert not shelf.exists() or not list(shelf.iterdir())
    assert not list(tmp_path.glob(".*incoming"))


def test_an_empty_or_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(AssetPackError, match="no pictures"):
        import_assets(tmp_path, tmp_path / "shelf")
    with pytest.raises(AssetPackError, match="no folder"):
        import_assets(tmp_path / "gone", tmp_path / "shelf")


def test_names_are_chinese_in_chinese_and_found_in_both() -> None:
    index: library.Index = {
        "sprites": [{"name": "bat1", "zh": "蝙蝠1", "tags": ["animals"]}, {"name": "x"}]
    }
    shown = library.named(index, "zh-cn")["sprites"]
    assert shown == [{"name": "蝙蝠1", "tags": ["animals", "bat1"]}, {"name": "x"}]
    assert library.named(index, "en")["sprites"][0] == {"name": "bat1", "tags": ["animals"]}


def test_a_sound_is_offered_once_however_it_is_called() -> None:
    none: library.Index = {"costumes": [], "backdrops": [], "sprites": [], "sounds": []}
    ours = {**none, "sounds": [{"name": "Bird", "md5ext": "a"}]}
    official = {**none, "sounds": [{"name": "bird", "md5ext": "a"}, {"name": "b", "md5ext": "b"}]}
    shown = library.offered([ours, official], frozenset({"a"}))["sounds"]
    assert shown == [{"name": "Bird", "md5ext": "a"}]


def test_a_sprite_needs_its_costumes_but_not_its_sounds() -> None:
    sprite = {"name": "a", "costumes": [{"md5ext": "c"}], "sounds": [{"md5ext": "s"}]}
    index = {"costumes": [], "backdrops": [], "sounds": [], "sprites": [sprite]}
    assert library.offered([index], frozenset())["sprites"] == []
    shown = library.offered([index, index], frozenset({"c"}))["sprites"]
    assert shown == [{**sprite, "sounds": []}]
    assert library.missing(index, frozenset({"c"})) == ["s"]
