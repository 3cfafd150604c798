"""Tables for spreadsheets: CSV and XLSX of which no cell is ever a formula.

Models, serials and names come from machines and from people, and =cmd|… is a serial that somebody
has tried. In CSV such a cell gets an apostrophe before it; in XLSX every text is written as text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xlsxwriter import Workbook

# OWASP: these begin a formula; a tab or carriage return may hide one.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "＝", "＋", "－", "＠")
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
# What Excel allows in a cell and in the name of a sheet.
_LONGEST, _LONGEST_NAME = 32_000, 31
_WIDEST = 60

Cell = str | int | float | None


@dataclass(frozen=True)
class Sheet:
    """One table: its name, its head, its rows."""

    name: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def csv_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """UTF-8 with a byte order mark, so that spreadsheets read Chinese."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([csv_cell(value) for value in row] for row in rows)
    return "\ufeff" + out.getvalue()


def csv_cell(value: object) -> str:
    """A number as it is; a text that a spreadsheet would compute gets an apostrophe."""
    if isinstance(value, int | float):
        return str(value)
    text = plain("" if value is None else str(value))
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text


def xlsx_book(sheets: Sequence[Sheet]) -> bytes:
    """A workbook; texts are texts, whatever they look like, and no address becomes a link."""
    out = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False,
               "strings_to_numbers": False}  # fmt: skip
    with Workbook(out, options) as book:
        bold = book.add_format({"bold": True, "bottom": 1})
        for sheet in sheets:
            page = book.add_worksheet(sheet.name[:_LONGEST_NAME])
            page.freeze_panes(1, 0)
            for column, title in enumerate(sheet.head):
                page.write_string(0, column, title, bold)
                page.set_column(column, column, _width(sheet, column))
            for number, row in enumerate(sheet.rows, 1):
                for column, value in enumerate(row):
                    if isinstance(value, int | float):
                        page.write_number(number, column, value)
                    elif value is not None:
                        page.write_string(number, column, plain(value)[:_LONGEST])
    return out.getvalue()


def plain(text: str) -> str:
    """Text without signs that are not shown."""
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _width(sheet: Sheet, column: int) -> int:
    longest = max((len(str(row[column])) for row in sheet.rows), default=0)
    return min(_WIDEST, max(longest, len(sheet.head[column])) + 2)
