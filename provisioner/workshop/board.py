"""The board: what each machine is doing this very second. Kept in memory only.

Progress arrives every second from every machine; writing it to the database would wear out a
disk to remember what nobody asks for. What must last goes to the store; after a restart the
board is empty for the second that machines need to say more.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Live:
    """The latest word from one machine. `heard` is monotonic seconds of this process."""

    step: str = ""
    fraction: float = 0.0
    bytes_per_second: float | None = None
    heard: float = 0.0


class Board:
    """Live progress by machine, and a counter that rises with each change, to wait on."""

    def __init__(self) -> None:
        self._live: dict[int, Live] = {}
        self._changed = threading.Condition()
        self._version = 0

    @property
    def version(self) -> int:
        return self._version

    def show(
        self, machine: int, step: str, fraction: float, bytes_per_second: float | None = None
    ) -> None:
        """Put a machine's progress on the board; `fraction` runs from 0 to 1."""
        with self._changed:
            self._live[machine] = Live(step, fraction, bytes_per_second, time.monotonic())
            self._bump()

    def clear(self, machine: int) -> None:
        """The machine is no longer working on anything."""
        with self._changed:
            self._live.pop(machine, None)
            self._bump()

    def touch(self) -> None:
        """Something in the store changed that watchers want to see."""
        with self._changed:
            self._bump()

    def get(self, machine: int) -> Live | None:
        return self._live.get(machine)

    def wait(self, seen: int, timeout_s: float) -> int:
        """Block until the board has changed since version `seen`; returns the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout_s)
            return self._version

    def _bump(self) -> None:
        self._version += 1
        self._changed.notify_all()
