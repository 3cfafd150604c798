"""Text from firmware and disks, made fit for the model.

Vendors write anything into these fields, and a swapped controller board can write worse:
megabytes, terminal escapes, half characters. Cut and cleaned, never refused: a machine with
an odd serial number still has to register.
"""

from __future__ import annotations

from pathlib import Path

LIMIT = 200  # characters, as base.ShortText
READ_LIMIT = 4096  # bytes


def clean(value: object, limit: int = LIMIT) -> str:
    """`value` as one short line without control characters; what is not text becomes ''."""
    if not isinstance(value, str):
        return ""
    head = value[: limit * 8].encode("utf-8", "replace").decode("utf-8", "replace")
    plain = "".join(" " if _is_control(char) else char for char in head)
    return " ".join(plain.split())[:limit]


def read_line(path: Path) -> str:
    """The start of a small file of sysfs or procfs, cleaned; '' when it cannot be read."""
    try:
        with path.open("rb") as file:
            return clean(file.read(READ_LIMIT).decode("utf-8", "replace"))
    except OSError:
        return ""


def read_int(path: Path) -> int | None:
    """A decimal number in such a file, or None."""
    try:
        return int(read_line(path))
    except ValueError:
        return None


def _is_control(char: str) -> bool:
    return char < " " or "\x7f" <= char <= "\x9f"
