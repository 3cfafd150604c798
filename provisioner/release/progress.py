"""How far long work has come: told while it runs, from what can be seen of it.

The programs that do the work (apt, mmdebstrap, mksquashfs) speak each in its own way or not at
all; what they leave on the disk can be counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Report = Callable[[str, float], None]  # what is being done, how much of all is done (0 to 1)
EACH_S = 1.0


def silent(_step: str, _fraction: float) -> None:
    """For callers who do not want to know."""


def part_of(report: Report, first: float, last: float) -> Report:
    """A report for one part of the work: its 0 to 1 is the whole's `first` to `last`."""
    return lambda step, done: report(step, first + (last - first) * min(max(done, 0.0), 1.0))


@contextmanager
def watched(
    report: Report, step: str, measure: Callable[[], float], each_s: float = EACH_S
) -> Iterator[None]:
    """While the body runs, report `step` and what `measure` says, never less than before.

    What cannot be measured just then (a file that was there is gone) is left out.
    """
    report(step, 0.0)
    ended = threading.Event()

    def watch() -> None:
        furthest = 0.0
        while not ended.wait(each_s):
            try:
                furthest = max(furthest, min(measure(), 1.0))
            except (OSError, StopIteration):
                continue
            report(step, furthest)

    watcher = threading.Thread(target=watch, name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def size_of(path: Path) -> int:
    """Bytes of a file; 0 when it is not there (yet)."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
