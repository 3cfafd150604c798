"""The tables of the benchmarks, on a screen or for docs/benchmarks.md; each with its goals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from tests.bench.goals import SECTIONS, Goal, Row, goals

BEGIN, END = "<!-- begin of the measured tables -->", "<!-- end of the measured tables -->"
TITLES = {
    "fan_out": "Fan-out: one image to many machines",
    "trouble": "Trouble: some die, some are slow, some are late",
    "disk": "One machine's disk",
    "delta": "Delta: what an update costs",
    "thin_line": "A classroom behind a thin line",
    "dashboard": "The dashboard: 100 schools, 2,500 machines, 25 at work",
}


@dataclass(frozen=True)
class Table:
    """Plain words; the first line is the head."""

    title: str
    lines: list[list[str]]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _seconds(value: Any) -> str:
    return f"{value:.1f}" if value else ""


def _megabytes(value: Any) -> str:
    return f"{value / 1e6:.1f}" if value else ""


def _percent(value: Any) -> str:
    return "" if value is None else f"{value:.1%}"


Column = tuple[str, str, Callable[[Any], str]]
COLUMNS: dict[str, list[Column]] = {
    "fan_out": [
        ("system", "system", _text), ("machines", "clients", _text),
        ("image MB", "image_bytes", _megabytes), ("Mbit/s", "rate_mbit", _text),
        ("one copy s", "ideal_seconds", _seconds), ("seconds", "seconds", _seconds),
        ("station sent MB", "egress_bytes", _megabytes), ("CPU s", "cpu_seconds", _seconds),
    ],
    "trouble": [
        ("system", "system", _text), ("machines", "clients", _text),
        ("undisturbed s", "seconds_without", _seconds), ("healthy s", "seconds_healthy", _seconds),
        ("loss", "loss", _percent), ("healthy", "healthy", _text),
        ("finished", "healthy_finished", _text), ("late", "late", _text),
        ("finished", "late_finished", _text),
    ],
    "disk": [
        ("system", "system", _text), ("layout", "layout", _text),
        ("seconds", "seconds", _seconds), ("and read back s", "seconds_proved", _seconds),
        ("written MB", "bytes_written", _megabytes), ("read MB", "bytes_read", _megabytes),
        ("seeks", "seeks", _text), ("disk busy s", "busy_seconds", _seconds),
        ("CPU s", "cpu_seconds", _seconds), ("sequential MB/s", "sequential_rate", _megabytes),
        ("64 KiB at random MB/s", "random_64k_rate", _megabytes),
    ],
    "delta": [
        ("pair", "pair", _text), ("image MB", "image_bytes", _megabytes),
        ("system", "system", _text), ("bytes", "bytes", lambda value: f"{value:,}"),
        ("of the image", "share", lambda value: f"{value:.2%}"), ("seconds", "seconds", _seconds),
        ("on the slow disk s", "machine_seconds", _seconds), ("CPU s", "cpu_seconds", _seconds),
    ],
    "thin_line": [
        ("system", "system", _text), ("machines", "clients", _text),
        ("Mbit/s", "uplink_mbit", _text), ("over the line MB", "line_bytes", _megabytes),
        ("one delta MB", "one_delta_bytes", _megabytes), ("seconds", "seconds", _seconds),
        ("one alone s", "seconds_alone", _seconds),
    ],
    "dashboard": [
        ("page", "what", _text), ("median ms", "ms", _text), ("of them CPU", "cpu_ms", _text),
        ("first ms", "first_ms", _text), ("of a core", "core", _percent),
    ],
}  # fmt: skip


def tables(results: dict[str, Any]) -> list[tuple[Table, list[Goal]]]:
    """Each section's table and its goals, in the order of the issue."""
    return [section(results, name) for name in SECTIONS]


def section(results: dict[str, Any], name: str) -> tuple[Table, list[Goal]]:
    """One section's table and its goals."""
    found = [goal for goal in goals(results) if goal.section == name]
    return _table(name, results.get(name, ())), found


def _table(name: str, rows: Sequence[Row]) -> Table:
    columns = COLUMNS[name]
    lines = [[head for head, _, _ in columns]]
    lines += [[show(row.get(key)) for _, key, show in columns] for row in rows]
    return Table(TITLES[name], lines)


def _goal_lines(found: Sequence[Goal]) -> list[list[str]]:
    return [
        [goal.text, f"≤ {goal.told(goal.limit)}", goal.told(goal.found), goal.verdict]
        for goal in found
    ]


GOAL_HEAD = ["goal", "limit", "measured", ""]


def on_screen(results: dict[str, Any], console: Console) -> None:
    for table, found in tables(results):
        show(table, found, console)


def show(table: Table, found: Sequence[Goal], console: Console) -> None:
    _rich(table.title, table.lines, console)
    _rich("", [GOAL_HEAD, *_goal_lines(found)], console)


def _rich(title: str, lines: list[list[str]], console: Console) -> None:
    shown = RichTable(title=title or None, title_justify="left")
    for head in lines[0]:
        shown.add_column(head)
    for line in lines[1:]:
        red = "red" if line[-1] == "NOT MET" else None
        shown.add_row(*line, style=red)
    console.print(shown)


def markdown(results: dict[str, Any]) -> str:
    """For docs/benchmarks.md, between its marks."""
    parts = [_about(results.get("about", {}))]
    for table, found in tables(results):
        parts += [f"### {table.title}", _pipes(table.lines)]
        parts.append(_pipes([GOAL_HEAD, *_goal_lines(found)]))
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(about: dict[str, Any]) -> str:
    if not about:
        return ""
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in about["took_seconds"].items())
    return (
        f"{about['cores']} cores ({about['processor']}), {about['memory_mb']} MB, kernel "
        f"{about['kernel']}; load {about['load_before']} before and {about['load_after']} after "
        f"the run. Took: {took}."
    )


def _pipes(lines: list[list[str]]) -> str:
    rows = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
                     for row in rows)  # fmt: skip


def write_into(page: Path, text: str) -> None:
    """Replace what is between the page's marks."""
    before, rest = page.read_text().split(BEGIN)
    _, after = rest.split(END)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
