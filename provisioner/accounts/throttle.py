"""Slowing down whoever guesses passwords: so many failures in so many minutes, then a pause.

Kept in memory: a station that starts anew gives a guesser a few more tries, nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable

WINDOW_S = 15 * 60
# One person's mistakes; one computer's; one account's, from wherever.
BY_BOTH, BY_ADDRESS, BY_LOGIN = 5, 20, 50
MANY = 10_000  # keys that are remembered at most

Key = tuple[str, str, int]


class Throttle:
    """Counts failures. `wait()` says how many seconds somebody has to wait before trying."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._failures: dict[Key, deque[float]] = defaultdict(deque)

    def wait(self, address: str, login: str) -> int:
        """0 when a try is free."""
        with self._lock:
            return max(self._left(key) for key in _keys(address, login))

    def failed(self, address: str, login: str) -> None:
        with self._lock:
            if len(self._failures) > MANY:
                self._failures.clear()
            for key in _keys(address, login):
                self._failures[key].append(self._clock())

    def succeeded(self, address: str, login: str) -> None:
        with self._lock:
            self._failures.pop(_keys(address, login)[0], None)

    def _left(self, key: Key) -> int:
        found = self._failures.get(key)
        if found is None:
            return 0
        while found and found[0] <= self._clock() - WINDOW_S:
            found.popleft()
        limit = key[2]
        return 0 if len(found) < limit else int(found[-limit] + WINDOW_S - self._clock()) + 1


def _keys(address: str, login: str) -> tuple[Key, Key, Key]:
    short = login[:64]
    return ((address, short, BY_BOTH), (address, "", BY_ADDRESS), ("", short, BY_LOGIN))
