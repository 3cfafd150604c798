"""The one form of a log line: printable, in one piece, of bounded length.

Machines, tools and strangers on the wire choose parts of what is logged. Here, at the edge, every
character that a terminal would obey is written as Python writes it (`\\x1b`), and what follows a
line break is indented, so that nobody can write an entry of his own.
"""

from __future__ import annotations

import logging

LIMIT = 20_000  # characters of one entry; a traceback has some thousand
CONTINUED = "\n    "


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey or that begins a new entry."""
    if len(text) > LIMIT:
        text = f"{text[:LIMIT]} … ({len(text) - LIMIT} more characters)"
    return CONTINUED.join("".join(map(_shown, line)) for line in text.split("\n"))


def install(level: int, *others: str) -> None:
    """Log to standard error in this form; `others` are loggers of libraries that keep to
    themselves unless they have a handler already."""
    handler = logging.StreamHandler()
    handler.setFormatter(PlainFormatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in others:
        logging.getLogger(name).handlers = [handler]


class PlainFormatter(logging.Formatter):
    """Any entry, with its traceback, in that form."""

    def format(self, record: logging.LogRecord) -> str:
        return plain(super().format(record))


def _shown(char: str) -> str:
    return char if char.isprintable() or char == "\t" else ascii(char)[1:-1]
