"""What the agent must not forget: the last counter it used and the orders it was given.

In the live environment both live as long as its key, in memory. On the installed system they
are files, so that neither a restart nor a clock that jumps back lets an order run twice or a
counter fall.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from provisioner.errors import StationError

# So many counters are set aside at once, to spare the disk a write for each request.
RESERVE = 1000
TOP = 2**63 - 1
KEEP_ORDERS = 10_000
_ORDER = re.compile(r"^[0-9a-f]{32}$")


class Counter:
    """Strictly rising numbers; starts at the clock in nanoseconds or past the last one kept."""

    def __init__(self, file: Path | None = None, start: int | None = None) -> None:
        self._file = file
        self._last = max(_kept_number(file), time.time_ns() if start is None else start)
        self._limit = self._last if file else TOP

    def next(self) -> int:
        """A number larger than any before it, across restarts too."""
        if self._last >= self._limit:
            self._limit = self._last + RESERVE
            if self._file:
                write_whole(self._file, f"{self._limit}\n")
        self._last += 1
        return self._last


class UsedOrders:
    """Identifiers of all orders that were taken up; a second time is a replay."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        lines = file.read_text().split() if file and file.exists() else []
        self._seen = dict.fromkeys(line for line in lines if _ORDER.match(line))

    def __contains__(self, order: str) -> bool:
        return order in self._seen

    def add(self, order: str) -> None:
        """Remember `order` for good, before anything of it is carried out."""
        self._seen[order] = None
        if self._file:
            write_whole(self._file, "\n".join(list(self._seen)[-KEEP_ORDERS:]) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Replace a small file so that a power cut leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = path.with_name(path.name + ".new")
    with new.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _kept_number(file: Path | None) -> int:
    if not file or not file.exists():
        return 0
    text = file.read_text().strip()
    if not (text.isascii() and text.isdigit() and int(text) < TOP - RESERVE):
        raise StationError(f"{file} is damaged.", "Image this machine again.")
    return int(text)
