"""No text is missing in either language, and nothing that happens is without words."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import pytest

from provisioner.api.views import EventView
from provisioner.errors import ConfigError, ProvisionerError
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model import grade as grades
from provisioner.model.batch import DiskRule
from provisioner.model.record import CheckOutcome, Problem, SmartReading
from provisioner.store.tables import now
from provisioner.web import words
from provisioner.web.catalogue import FOLDER, catalogue, read_po
from provisioner.web.speech import Speech, choose_language
from provisioner.workshop.runs import ERRANDS
from provisioner.workshop.screens import TITLES
from tests.unit.web import extract

PO = FOLDER / "zh_CN.po"
ZH = catalogue("zh")


def test_every_text_is_in_the_chinese_catalogue() -> None:
    assert extract.all_texts() - set(ZH) == set()


def test_the_catalogue_holds_nothing_that_is_never_said() -> None:
    assert set(ZH) - extract.all_texts() == set()


def test_translations_are_chinese_and_keep_their_figures() -> None:
    for english, chinese in ZH.items():
        assert _fields(english) == _fields(chinese), english
        assert re.search(r"[\u4e00-\u9fff]", chinese) or not re.sub(r"{\w+}|\W", "", chinese), (
            english
        )


def test_english_texts_are_english() -> None:
    for text in extract.all_texts():
        assert not re.search(r"[\u4e00-\u9fff]", text), text


def test_the_extraction_sees_templates_code_and_machines() -> None:
    texts = extract.all_texts()
    assert {"Today", "of {size} ready", "Erasing the old data", "Overwriting the disk"} <= texts


def test_every_stage_state_and_rule_has_words() -> None:
    assert set(words.STAGES) == {*Verb, *ERRANDS}
    assert set(words.RUN_STATES) == set(RunState)
    assert set(words.CHECK_OUTCOMES) == set(CheckOutcome)
    assert set(words.DISK_RULES) == set(DiskRule)


def test_every_part_that_is_checked_has_words() -> None:
    assert len(extract.checked_parts()) > len(words.PARTS) // 2
    assert extract.checked_parts() <= set(words.PARTS)


@pytest.mark.parametrize(
    ("step", "english", "chinese"),
    [
        ("Overwriting the disk", "Overwriting the disk", "正在覆盖硬盘"),
        ("3/14 accounts : Make the accounts", "3/14 Make the accounts", "3/14 创建账户"),
        ("something : new\nline", "new\nline", "new\nline"),
        ("", "", ""),
    ],
)
def test_steps_are_told_in_both_languages(step: str, english: str, chinese: str) -> None:
    assert Speech("en").step(step) == english
    assert Speech("zh").step(step) == chinese


def test_a_card_is_named_with_its_speed() -> None:
    assert Speech("zh").part("network-speed-eno1") == "网络速度 eno1"


def test_every_milestone_has_a_title_in_both_languages() -> None:
    assert set(TITLES) == set(Milestone)
    for english, chinese in TITLES.values():
        assert english
        assert re.search(r"[\u4e00-\u9fff]", chinese)


def test_every_event_that_is_noted_has_words() -> None:
    assert extract.noted_kinds() == set(words.EVENTS)


def test_every_error_has_words() -> None:
    kinds = {kind.__name__ for kind in ProvisionerError.__subclasses__()}
    assert kinds <= set(words.PROBLEMS)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("kind", sorted(words.EVENTS))
def test_events_are_sentences_even_without_figures(language: str, kind: str) -> None:
    speech = Speech(language)
    for data in ({}, {"verb": "wipe", "problem": {"message": "{0} {message.__class__}"}}):
        event = EventView(
            id=1, at=now(), kind=kind, actor="station", machine="", batch="", data=data
        )
        assert speech.event(event)
        assert "{stage}" not in speech.event(event)


def test_an_unknown_event_shows_itself() -> None:
    event = EventView(
        id=1, at=now(), kind="new-thing", actor="x", machine="", batch="", data={"a": 1}
    )
    assert Speech("zh").event(event) == "new-thing {'a': 1}"


def test_figures_are_never_read_as_patterns() -> None:
    problem = {"message": "{verb} {stage} {0}"}
    event = EventView(
        id=1, at=now(), kind="run-failed", actor="station", machine="", batch="",
        data={"verb": "wipe", "problem": problem},
    )  # fmt: skip
    assert Speech("en").event(event) == "wipe failed: {verb} {stage} {0}"


def test_advice_is_in_the_readers_language() -> None:
    problem = Problem(kind="DiskFaultError", message="m", hint="Replace the disk sda.")
    assert Speech("en").advice(problem) == "Replace the disk sda."
    assert "硬盘" in Speech("zh").advice(problem)
    unknown = Problem(kind="Surprise", message="m")
    assert Speech("zh").trouble(unknown) == "出错了"
    assert Speech("en").advice(unknown)


@pytest.mark.parametrize(
    ("asked", "cookie", "accepted", "chosen"),
    [
        ("zh", "en", "en", "zh"),
        (None, "zh", "en", "zh"),
        ("xx", "yy", "fr;q=0.9, zh-CN;q=0.8, en", "zh"),
        (None, None, "fr", "en"),
        (None, None, "", "en"),
    ],
)
def test_the_language_is_asked_for_remembered_or_the_browsers(
    asked: str | None, cookie: str | None, accepted: str, chosen: str
) -> None:
    assert choose_language(asked, cookie, accepted, "en") == chosen


def test_figures_read_well_in_both() -> None:
    english, chinese = Speech("en"), Speech("zh")
    assert [english.size(n) for n in (0, 999, 1500, 250_059_350_016)] == [
        "0 B", "999 B", "2 kB", "250.1 GB",
    ]  # fmt: skip
    assert english.left(5) == "under a minute left"
    assert (english.left(400), chinese.left(400)) == ("about 7 min left", "约剩 7 分钟")
    assert english.left(3 * 3600 + 300) == "about 3 h 5 min left"
    assert (english.duration(12), chinese.duration(75)) == ("12 s", "1 分 15 秒")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('msgid "a"\nmsgstr "1"\n\nmsgid "a"\nmsgstr "2"\n', "twice"),
        ('msgid "a"\nmsgstr "1"\nrubbish\n', "no line"),
        ('msgid_plural "a"\n', "no line"),
    ],
)
def test_a_broken_catalogue_says_where(content: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read_po(content, Path("x.po"))


def test_a_catalogue_is_read_over_several_lines() -> None:
    content = (
        '# c\nmsgid ""\nmsgstr "Language: zh"\n\nmsgid "one "\n"two"\nmsgstr "一"\n"\\"二\\""\n'
    )
    assert read_po(content, PO) == {"one two": '一"二"'}
    assert read_po('msgid "later"\nmsgstr ""\n', PO) == {}


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_every_rule_of_a_grade_has_words() -> None:
    """What the rules can say, from the rules themselves: with every limit passed, and none read."""
    worst = SmartReading(passed=True, **{limit.field: 999_999 for limit in grades.LIMITS})
    bad = dict.fromkeys(grades.CHECKLIST, grades.Looked.BAD)
    readings = (worst, SmartReading(passed=True), SmartReading(passed=False), SmartReading())
    speech = Speech("zh")
    for smart in readings:
        for looked in (bad, {}):
            for reason in grades.grade((), smart, looked).reasons:
                assert re.search("[\u4e00-\u9fff]", speech.rule(reason.rule)), reason
                saw = speech.saw(reason.saw)
                assert saw.isdecimal() or re.search("[\u4e00-\u9fff]", saw), reason
                assert not re.search("[a-z]{3,}", saw), reason
                assert re.search("[\u4e00-\u9fff]", speech.source(reason.source)), reason
    assert speech.saw("warn: 12 MB/s").endswith(": 12 MB/s")
    assert Speech("en").saw("not yet: screen, case") == "not yet: screen, case"
