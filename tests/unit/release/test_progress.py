"""Progress never goes back, and never stops the work."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from provisioner.release.progress import part_of, size_of, watched


def test_a_part_of_the_whole() -> None:
    told: list[float] = []
    report = part_of(lambda _step, done: told.append(done), 0.2, 0.4)
    for done in (0.0, 0.5, 1.0, 7.0):
        report("x", done)
    assert told == pytest.approx([0.2, 0.3, 0.4, 0.4])


def test_it_is_told_while_the_work_runs() -> None:
    told: list[float] = []
    values = iter([0.3, 0.1, 0.6])

    def measure() -> float:
        try:
            return next(values)
        except StopIteration:
            raise FileNotFoundError from None

    with watched(lambda _step, done: told.append(done), "x", measure, each_s=0.001):
        end = time.monotonic() + 5
        while len(told) < 4 and time.monotonic() < end:
            time.sleep(0.005)
    assert told[:4] == [0.0, 0.3, 0.3, 0.6]  # what was measured less stays, what failed is left out


def test_an_error_of_the_work_comes_through() -> None:
    with pytest.raises(ValueError, match="work"), watched(lambda *_: None, "x", lambda: 0.0, 0.001):
        raise ValueError("work")


def test_size_of_what_is_not_there(tmp_path: Path) -> None:
    assert size_of(tmp_path / "none") == 0
