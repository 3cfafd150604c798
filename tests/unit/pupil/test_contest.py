"""A card that is there, none, and one that is no card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.pupil.contest import contest_now

CARD = {"title": {"en": "Game", "zh": "游戏"}, "closes": "2027-05-01T17:00:00+08:00",
        "autosave_s": 30}  # fmt: skip


def test_the_card_says_when_it_ends_and_how_often_to_save(tmp_path: Path) -> None:
    card = tmp_path / "contest.json"
    assert contest_now(card) is None
    card.write_text(json.dumps({**CARD, "more": 1}))
    found = contest_now(card)
    assert found == {"title": {"en": "Game", "zh-cn": "游戏"}, "closes": CARD["closes"],
                     "autosave_s": 30}  # fmt: skip
    card.write_text(json.dumps({**CARD, "autosave_s": 1}))
    found = contest_now(card)
    assert found is not None
    assert found["autosave_s"] == 5


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"title": 1, "autosave_s": "x"}'])
def test_what_is_no_card_is_no_contest(tmp_path: Path, text: str) -> None:
    (tmp_path / "contest.json").write_text(text)
    assert contest_now(tmp_path / "contest.json") is None
