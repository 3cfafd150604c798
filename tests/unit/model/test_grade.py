"""Grades by the written rules: the worst decides, each is named, unknown is never good."""

from __future__ import annotations

import pytest

from provisioner.model.grade import CHECKLIST, LIMITS, Letter, Looked, grade
from provisioner.model.record import CheckOutcome, PartCheck, SmartReading

GOOD = SmartReading(passed=True, power_on_hours=100, reallocated=0, uncorrectable=0, timeouts=0,
                    pending=0, offline_uncorrectable=0)  # fmt: skip
TESTS = (PartCheck(id="memory-pattern", outcome=CheckOutcome.PASS),)
ALL_GOOD = dict.fromkeys(CHECKLIST, Looked.GOOD)


def letter(**values: int | bool | None) -> str:
    return grade(TESTS, GOOD.model_copy(update=values), ALL_GOOD).letter


def test_a_good_machine_that_a_person_looked_at_is_a() -> None:
    found = grade(TESTS, GOOD, ALL_GOOD)
    assert (found.letter, found.reasons) == (Letter.A, ())


# The published limits (splunk-smartmon): 5 warns from 1 and replaces above 4; 187, 197 and 198
# replace above 1; 188 replaces above 13. Hours and wear: this house's.
@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("reallocated", 1, "B"), ("reallocated", 4, "B"), ("reallocated", 5, "D"),
        ("uncorrectable", 1, "B"), ("uncorrectable", 2, "D"),
        ("timeouts", 13, "B"), ("timeouts", 14, "D"),
        ("pending", 1, "B"), ("pending", 2, "D"),
        ("offline_uncorrectable", 2, "D"),
        ("power_on_hours", 19_999, "A"), ("power_on_hours", 20_000, "B"),
        ("power_on_hours", 40_000, "C"), ("power_on_hours", None, "B"),
        ("percentage_used", 49, "A"), ("percentage_used", 50, "B"), ("percentage_used", 80, "C"),
        ("percentage_used", 100, "D"), ("critical_warning", 1, "D"), ("media_errors", 3, "C"),
        ("passed", False, "D"), ("passed", None, "C"),
    ],
)  # fmt: skip
def test_each_limit(field: str, value: int | bool | None, expected: str) -> None:
    assert letter(**{field: value}) == expected


def test_unknown_is_never_good() -> None:
    assert grade((), GOOD, ALL_GOOD).letter is Letter.C
    assert grade(TESTS, SmartReading(), ALL_GOOD).letter is Letter.C
    assert grade(TESTS, GOOD, {}).letter is Letter.B
    unknown = PartCheck(id="memory-pattern", outcome=CheckOutcome.UNKNOWN)
    assert grade((unknown,), GOOD, ALL_GOOD).letter is Letter.C


@pytest.mark.parametrize(("outcome", "expected"), [("warn", "B"), ("unknown", "C"), ("fail", "D")])
def test_a_test_that_did_not_pass(outcome: str, expected: str) -> None:
    check = PartCheck(id="disk-read", outcome=CheckOutcome(outcome), value="3 MB/s")
    found = grade((*TESTS, check), GOOD, ALL_GOOD)
    assert found.letter == expected
    assert [(r.rule, r.saw) for r in found.reasons] == [("disk-read", f"{outcome}: 3 MB/s")]


def test_what_a_person_finds_bad_counts_and_what_is_not_there_does_not() -> None:
    assert grade(TESTS, GOOD, {**ALL_GOOD, "screen": Looked.BAD}).letter is Letter.C
    assert grade(TESTS, GOOD, {**ALL_GOOD, "sound": Looked.NONE}).letter is Letter.A


def test_all_reasons_are_named_the_worst_first_with_a_source() -> None:
    found = grade(TESTS, GOOD.model_copy(update={"pending": 9, "power_on_hours": 25_000}), {})
    assert [reason.letter for reason in found.reasons] == ["D", "B", "B"]
    assert all(reason.source for reason in found.reasons)
    assert all(limit.a <= limit.b <= limit.c for limit in LIMITS)
