"""Entries are judged without being run: what is whole passes, what is not gets its sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.entry import sb3
from provisioner.entry.facts import alike
from provisioner.entry.refusal import SENTENCES, EntryRefusedError
from provisioner.model.entry import Limits
from tests import hostile_entries as hostile
from tests.blocks_factory import METAS, make_project

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name")


@pytest.mark.parametrize("kind", METAS)
def test_entries_of_all_years_pass(kind: str, tmp_path: Path) -> None:
    facts = sb3.judge(make_project(kind, tmp_path / "game.sb3").read_bytes())
    assert (facts.sprites, facts.scripts, facts.costumes, facts.sounds) == (1, 1, 2, 1)
    assert facts.blocks == 13
    assert facts.extensions == ()


def test_a_hundred_hostile_files_get_their_sentence(tmp_path: Path) -> None:
    """Each is refused for its own reason, in both languages, and none of them otherwise."""
    wrong, names = [], []
    for name, data, codes in hostile.cases(tmp_path):
        names.append(name)
        try:
            sb3.judge(data, hostile.LIMITS)
            wrong.append(f"{name}: taken")
        except EntryRefusedError as error:
            if error.code not in codes:
                wrong.append(f"{name}: {error.code} {error.words.en}")
            assert error.words.en.endswith((".", "…"))
            assert re.search("[\u4e00-\u9fff]", error.words.zh)
            assert (error.words.en + error.words.zh).isprintable()
    assert wrong == []
    assert len(names) == len(set(names)) >= 100


def test_each_sentence_is_short_and_complete() -> None:
    for code in SENTENCES:
        error = EntryRefusedError(code, "x" * 100, 50)
        assert "{" not in error.words.en + error.words.zh
        assert error.words.en.endswith((".", "“x”.")), code
        assert error.words.zh.endswith("。"), code


def test_every_cut_is_refused(tmp_path: Path) -> None:
    good = hostile.good_entry(tmp_path)
    for end in range(0, len(good), 31):
        with pytest.raises(EntryRefusedError):
            sb3.judge(good[:end])


def test_every_flipped_byte_is_harmless(tmp_path: Path) -> None:
    """Refused, or the same project: nothing but EntryRefusedError comes out."""
    good = hostile.good_entry(tmp_path)
    project, assets = sb3.read(good)
    for at in range(0, len(good), 37):
        data = bytearray(good)
        data[at] ^= 0xFF
        try:
            assert sb3.read(bytes(data)) == (project, assets)
        except EntryRefusedError as error:
            assert error.code in SENTENCES


def test_limits_are_the_contests_own(tmp_path: Path) -> None:
    good = hostile.good_entry(tmp_path)
    with pytest.raises(EntryRefusedError, match="at most 0 MB"):
        sb3.judge(good, Limits(bytes=1000))


def test_a_harmless_drawing_with_outside_picture_is_only_marked(tmp_path: Path) -> None:
    good = hostile.good_entry(tmp_path)
    assert not sb3.judge(good).foreign
    svg = hostile.SVG.format("", "<image href='http://example.org/a.png'/>")
    assert sb3.judge(hostile.with_picture(good, svg)).foreign


def test_illustrators_doctype_passes(tmp_path: Path) -> None:
    svg = ('<?xml version="1.0" encoding="utf-8"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
           '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
           + hostile.SVG.format("", "<a xlink:href='#x'/>"))  # fmt: skip
    sb3.judge(hostile.with_picture(hostile.good_entry(tmp_path), svg))


def test_renaming_everything_does_not_hide_a_copy(tmp_path: Path) -> None:
    first = sb3.judge(hostile.good_entry(tmp_path))
    renamed = hostile.good_entry(tmp_path, sprite="我的猫").replace(
        "得分".encode(), "分数".encode()
    )
    assert alike(first, sb3.judge(renamed)) == 1.0
    project, assets = hostile.contents(renamed)
    project["targets"][1]["blocks"]["move"]["inputs"]["STEPS"] = [1, [4, "51"]]
    assert alike(first, sb3.judge(hostile.packed(project, assets))) == 0.0
    project["targets"][1]["blocks"] = {}
    assert alike(first, sb3.judge(hostile.packed(project, assets))) == 0.0


def test_blocks_that_point_in_circles_are_counted_once(tmp_path: Path) -> None:
    project, assets = hostile.contents(hostile.good_entry(tmp_path))
    project["targets"][1]["blocks"]["send"]["next"] = "flag"
    assert sb3.judge(hostile.packed(project, assets)).blocks == 13
