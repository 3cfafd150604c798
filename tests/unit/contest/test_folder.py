"""A contest's folder: every mistake is named, with the line where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.contest.folder import check_contest, load_contest
from provisioner.errors import NotFoundError
from tests import hostile_entries as hostile
from tests.unit.contest.conftest import CONTEST_YML, write_contest

NAME = "contest-2027"


def test_a_good_folder(inventories: Path, game: bytes) -> None:
    folder = inventories / "contests" / NAME
    (folder / "starters").mkdir()
    (folder / "starters/迷宫.sb3").write_bytes(game)
    (folder / "guide").mkdir()
    (folder / "guide/start.html").write_text("<p>")
    assert check_contest(inventories, NAME) == []
    card = load_contest(inventories, NAME).card
    assert (card.name, card.title.zh, len(card.age_groups)) == (NAME, "设计一个游戏", 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("high-pasture", "high-pastures", "contest.yml:8: schools: There is no school"),
        ("17:00:00+08:00", "08:00:00+08:00", "is not after"),
        ("17:00:00+08:00", "17:00:00", "time zone"),
        ("name: middle", "name: primary", "stands twice"),
        ("new-shoots, high-pasture", "new-shoots, new-shoots", "stands twice"),
        ("version: 1", "versoin: 1", "Did you mean “version”"),
        ("[new-shoots, high-pasture]", "[]", "at least 1"),
        ("version: 1", "version: 1\neditor: 3.0.0", "The block editor here is"),
    ],
)
def test_mistakes_in_contest_yml(inventories: Path, old: str, new: str, said: str) -> None:
    write_contest(inventories, CONTEST_YML.replace(old, new))
    assert said in " ".join(str(problem) for problem in check_contest(inventories, NAME))


def test_mistakes_beside_it(inventories: Path, game: bytes) -> None:
    folder = inventories / "contests" / NAME
    (folder / "rules.zh.md").write_text("\n")
    (folder / "rule.en.md").write_text("x")
    (folder / "starters").mkdir()
    (folder / "starters/broken.sb3").write_bytes(game[:-1])
    (folder / "starters/maze.sb2").write_bytes(game)
    active = hostile.SVG.format("", "<script/>")
    (folder / "starters/active.sb3").write_bytes(hostile.with_picture(game, active))
    (folder / "guide").mkdir()
    (folder / "guide/run.exe").write_text("MZ")
    (folder / "guide/link.html").symlink_to("/etc/passwd")
    said = "\n".join(str(problem) for problem in check_contest(inventories, NAME))
    for words in ("rules.zh.md: The rules", "rule.en.md: Nothing reads", "broken.sb3: This file",
                  "maze.sb2: A starter", "active.sb3: The picture", "run.exe: The guide",
                  "link.html: Links"):  # fmt: skip
        assert words in said, words


def test_an_unknown_contest_names_the_nearest(inventories: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_contest(inventories, "contest-2028")
    assert NAME in caught.value.hint
