"""When a machine may start again: hours, an announcement, and a teacher who says “later”."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from provisioner.agent.quiet import MAX_POSTPONED, NOTICE, POSTPONE, WISHES, Patience, read_site
from provisioner.model.renewal import When
from provisioner.model.site import Site

MONDAY = datetime(2029, 3, 5, 10, 0)


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self, now: datetime, each: Callable[[datetime], None] = lambda _: None) -> None:
        self.now, self.each = now, each

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.each(self.now)


def waited(folder: Path, when: When, clock: Clock) -> tuple[bool, datetime]:
    patience = Patience(folder, Site, lambda: clock.now, clock.sleep)
    return patience.wait(when), clock.now


def test_it_waits_for_the_evening_and_says_so_first(tmp_path: Path) -> None:
    seen: list[str] = []

    def look(_now: datetime) -> None:
        if (tmp_path / NOTICE).exists():
            seen.append(json.loads((tmp_path / NOTICE).read_text())["zh"])

    at_once, at = waited(tmp_path, When.QUIET, Clock(MONDAY, look))
    assert at_once
    assert at.hour == 18
    assert 9 <= at.minute <= 11  # ten minutes after the room has closed
    assert "十分钟后重启" in seen[0]
    assert not (tmp_path / NOTICE).exists()


def test_now_is_now(tmp_path: Path) -> None:
    assert waited(tmp_path, When.NOW, Clock(MONDAY))[1] == MONDAY + timedelta(minutes=10)


@pytest.mark.parametrize("when", list(When))
def test_later_means_the_evening(tmp_path: Path, when: When) -> None:
    def say_no(now: datetime) -> None:
        if (tmp_path / NOTICE).exists() and now < MONDAY + timedelta(hours=9):
            (tmp_path / WISHES / POSTPONE).touch()

    _, at = waited(tmp_path, when, Clock(MONDAY, say_no))
    assert at.hour >= 18


def test_nobody_says_no_for_ever(tmp_path: Path) -> None:
    noes: list[datetime] = []

    def say_no(now: datetime) -> None:
        if (tmp_path / NOTICE).exists():
            noes.append(now)
            (tmp_path / WISHES / POSTPONE).touch()

    clock = Clock(MONDAY, say_no)
    _, at = waited(tmp_path, When.QUIET, clock)
    assert at - MONDAY < timedelta(days=3)
    assert len({no.hour for no in noes}) >= MAX_POSTPONED


def test_a_machine_that_does_not_know_the_hour_waits_for_its_users(tmp_path: Path) -> None:
    at_once, at = waited(tmp_path, When.QUIET, Clock(datetime(2009, 1, 1)))
    assert not at_once
    assert at == datetime(2009, 1, 1)


def test_a_school_without_hours_of_its_own_has_most_schools_hours(tmp_path: Path) -> None:
    assert read_site(tmp_path).is_open(MONDAY)
    assert not read_site(tmp_path).is_open(MONDAY - timedelta(days=1))


@pytest.mark.parametrize("text", ["{", "[]", '{"hours": {"times": [{"open": "7"}]}}'])
def test_a_damaged_file_is_no_reason_to_stop(tmp_path: Path, text: str) -> None:
    path = tmp_path / "etc/classroom/school.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert read_site(tmp_path) == Site()


def test_what_a_newer_program_says_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "etc/classroom/school.json"
    path.parent.mkdir(parents=True)
    times = [{"days": ["sun"], "open": "08:00", "close": "12:00", "bell": True}]
    path.write_text(json.dumps({"hours": {"times": times}, "moon": 1, "line": None}))
    site = read_site(tmp_path)
    assert site.is_open(MONDAY - timedelta(days=1))
    assert not site.is_open(MONDAY)
