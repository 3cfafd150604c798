"""Printing: JSON for programs, tables for people, plain columns for pipes.

Whatever came from a machine is text: control characters never reach the terminal, and nothing
is read as markup.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

import click
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
# C1 controls, and the marks that turn the direction of writing: legal in JSON, not on a terminal.
_UNPRINTED = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, as the API does.")


@dataclass(frozen=True)
class Column(Generic[T]):
    """A column of a table: its title, how it is read from a row, and rich's style for it."""

    title: str
    read: Callable[[T], object]
    style: Callable[[T], str] = lambda _: ""


def printable(text: object) -> str:
    """Text without control characters, in one line."""
    line = " ".join(str(text).split())
    return "".join(sign if sign.isprintable() else "�" for sign in line)


def show_list(rows: Sequence[T], columns: Sequence[Column[T]], as_json: bool, nothing: str) -> None:
    """Print a listing; `nothing` tells a person what an empty one means."""
    if as_json:
        print_json(rows)
    elif not rows:
        click.echo(nothing, err=True)
    elif sys.stdout.isatty():
        _console().print(_table(rows, columns))
    else:
        click.echo("\t".join(column.title for column in columns))
        for row in rows:
            click.echo("\t".join(printable(column.read(row)) for column in columns))


def show_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Print names and values, one a line; empty values are left out."""
    shown = [(name, printable(value)) for name, value in facts if value not in ("", None)]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{click.style(name.ljust(width), bold=True)}  {value}")


def print_json(value: Any) -> None:
    """Print views or plain data as JSON; control characters are written as escapes."""
    text = json.dumps(_plain(value), indent=2, ensure_ascii=False)
    click.echo(_UNPRINTED.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text))


def report_steps() -> Callable[[str, float], None]:
    """A reporter of long work: one line on standard error for each new step.

    On a terminal the last line is a bar that moves.
    """
    said: list[str] = []
    live = sys.stderr.isatty()

    def report(step: str, fraction: float) -> None:
        fresh = step not in said[-1:]
        if fresh:
            said.append(step)
        if live:
            start = "\n" if fresh and len(said) > 1 else "\r"
            click.echo(
                f"{start}{bar(fraction)} {printable(step)}\x1b[K", err=True, nl=fraction >= 1
            )
        elif fresh:
            click.echo(f"{fraction:4.0%}  {printable(step)}", err=True)

    return report


def bar(fraction: float, width: int = 20) -> str:
    """How much is done, to be seen at a glance.

    >>> bar(0.5, 4)
    '[##--]  50%'
    """
    fraction = min(max(fraction, 0.0), 1.0)
    done = round(fraction * width)
    return f"[{'#' * done}{'-' * (width - done)}] {fraction:4.0%}"


def fitting(model: type[M], **values: object) -> M:
    """A value of the model from what was typed. Raises click's UsageError naming the field."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise click.UsageError(f"{field}: {first['msg']}.") from error


def moment(at: datetime | None) -> str:
    """A moment by the clock on the wall."""
    return at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def size(count: float) -> str:
    """Bytes in the units that are printed on disks."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("the last unit always fits")


def _table(rows: Sequence[T], columns: Sequence[Column[T]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column.title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(c.read(row)), style=c.style(row)) for c in columns))
    return table


def _console() -> Console:
    return Console(markup=False, highlight=False, emoji=False)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
