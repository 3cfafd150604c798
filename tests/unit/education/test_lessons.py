"""Our own lessons: the same bytes each time, whole in both languages, findable in Chinese."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from libzim.reader import Archive
from libzim.search import Query, Searcher

from provisioner.education.lessons import build_packs, read_lessons
from provisioner.education.packs import Pack
from tests.unit.education.conftest import LESSONS


def test_the_same_lessons_give_the_same_packs(our_packs: dict[str, Pack], tmp_path: Path) -> None:
    again = build_packs(LESSONS, tmp_path)
    assert [pack.sha256 for pack in again] == [pack.sha256 for pack in our_packs.values()]


def test_each_lesson_is_there_in_both_languages_and_long_enough_to_teach() -> None:
    lessons = read_lessons(LESSONS)
    assert [lesson.id for lesson in lessons.text.lessons] == ["paper-plane", "story", "catch"]
    for lesson in lessons.text.lessons:
        chinese = lessons.pages[f"zh/{lesson.id}.html"].decode()
        english = lessons.pages[f"en/{lesson.id}.html"].decode()
        assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 500
        assert len(english.split()) > 350
        assert chinese.count("<h2>") == english.count("<h2>") >= 6
        assert chinese.count("<li") == english.count("<li"), lesson.id


def test_no_page_loads_anything_from_elsewhere() -> None:
    for name, page in read_lessons(LESSONS).pages.items():
        if name.endswith(".html"):
            assert b"http" not in page, name


def test_the_channel_is_a_tree_in_both_languages(our_packs: dict[str, Pack]) -> None:
    database = next((our_packs["kolibri"].folder / "content/databases").iterdir())
    with sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True) as opened:
        rows = opened.execute(
            "SELECT title, kind, lft, rght, level, lang_id FROM content_contentnode ORDER BY lft"
        ).fetchall()
    assert [row[1] for row in rows] == ["topic", "topic", *["html5"] * 3, "topic", *["html5"] * 3]
    assert [row[4] for row in rows] == [0, 1, 2, 2, 2, 1, 2, 2, 2]
    numbers = sorted(number for row in rows for number in row[2:4])
    assert numbers == list(range(1, 2 * len(rows) + 1)), "nested sets count through"
    assert rows[0][2:4] == (1, 2 * len(rows))
    assert {row[5] for row in rows} == {"zh-CN", "en"}


def test_the_zim_is_searched_in_chinese(our_packs: dict[str, Pack]) -> None:
    path = next((our_packs["zim"].folder / "content").iterdir())
    archive = Archive(path)
    assert archive.check()
    assert archive.has_fulltext_index
    found = Searcher(archive).search(Query().set_query("随机数"))
    assert "zh/catch.html" in list(found.getResults(0, 10))
    assert archive.get_metadata("License") == b"CC-BY-SA-4.0"
    # kiwix-serve 3.7 refuses to search a book that names two languages.
    assert archive.get_metadata("Language") == b"zho"
