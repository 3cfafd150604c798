"""Goals of the benchmarks: a number decides, what is missing is said, nothing is hidden."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import report
from tests.bench.goals import Goal, goals

FAN_OUT = [
    {"system": "ours", "clients": 1, "seconds": 10.0, "egress_bytes": 100, "image_bytes": 100},
    {"system": "ours", "clients": 25, "seconds": 12.0, "egress_bytes": 160, "image_bytes": 100},
    {"system": "udpcast", "clients": 25, "seconds": 11.0, "egress_bytes": 1, "image_bytes": 100},
]


def verdicts(name: str, rows: list[dict[str, object]]) -> dict[str, str]:
    return {goal.text: goal.verdict for goal in goals({name: rows}) if goal.section == name}


def test_without_rows_every_goal_is_there_and_not_measured() -> None:
    found = goals({})
    assert {goal.section for goal in found} == set(report.TITLES)
    assert {goal.verdict for goal in found} == {"not measured"}


def test_fan_out() -> None:
    assert verdicts("fan_out", FAN_OUT) == {
        "25 clients, in times of one client": "met",
        "what the station sends, in copies": "NOT MET",
        "25 clients, in times of udpcast": "NOT MET",
    }


def test_trouble_counts_late_machines() -> None:
    row = {"system": "ours", "loss": 0.05, "late": 3, "late_finished": 2}
    assert list(verdicts("trouble", [row]).values()) == ["met", "NOT MET"]


def test_a_disk_is_compared_with_the_best_peer() -> None:
    def row(system: str, layout: str, seconds: float, written: int) -> dict[str, object]:
        return {"system": system, "layout": layout, "seconds": seconds,
                "seconds_proved": 2 * seconds, "bytes_written": written}  # fmt: skip

    rows = [row("ours", "ours", 6, 40), row("ours, unproved", "ours", 4.2, 40),
            row("bmaptool", "classical", 9, 100), row("casync", "classical", 8, 90)]  # fmt: skip
    rows.append(row("bmaptool", "ours", 1, 1))  # no peer of the goal
    found = ["met", "NOT MET", "NOT MET", "met"]
    assert list(verdicts("disk", rows).values()) == [*found, "not measured"]
    rows += [
        row("ours, thin cable", "ours", 23, 1),
        row("ours, thin cable, unproved", "ours", 20, 1),
    ]
    assert list(verdicts("disk", rows).values()) == [*found, "met"]


def test_delta_allows_copying_and_the_transfer() -> None:
    def row(system: str, size: int, seconds: float) -> dict[str, object]:
        return {"pair": "point release", "system": system, "bytes": size, "share": size / 1e9,
                "image_bytes": 10**9, "machine_seconds": seconds, "package_bytes": 1}  # fmt: skip

    rows = [row("copy", 0, 10.0), row("pieces", 260_000_000, 10.1), row("patch", 10**8, 9.9)]
    found = verdicts("delta", rows)
    assert found["point release by pieces, of the image"] == "NOT MET"
    assert found["point release by patch, of the image"] == "met"
    assert [v for text, v in found.items() if "copying" in text] == ["NOT MET", "met"]


@pytest.mark.parametrize("found", [None, 1.0, 2.0])
def test_every_goal_stands_in_the_page(tmp_path: Path, found: float | None) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_into(page, report.markdown({"fan_out": FAN_OUT}))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert text.count("NOT MET") == 2
    goal = Goal("fan_out", "x", 1.5, found)
    assert goal.verdict == {None: "not measured", 1.0: "met", 2.0: "NOT MET"}[found]
