"""How far the work on an order has come: one fraction over several steps, and the rate now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WINDOW_S = 5.0
MIN_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Standing:
    """Where the work is: a word of `words.STEPS`, 0 to 1, bytes per second where bytes flow."""

    step: str = "start"
    fraction: float = 0.0
    rate: float | None = None


class Journey:
    """The steps of one order with the share of its time that each takes (any unit)."""

    def __init__(
        self,
        steps: Sequence[tuple[str, float]],
        tell: Callable[[Standing], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        total = sum(share for _, share in steps)
        self._shares = {name: share / total for name, share in steps}
        self._order = [name for name, _ in steps]
        self._tell, self._clock = tell, clock
        self._step, self._last_told = "start", float("-inf")
        self._points: deque[tuple[float, int]] = deque()

    def enter(self, step: str) -> None:
        """The work on `step` begins. Raises KeyError for a step that is not on the list."""
        self._shares[step]
        self._step = step
        self._points.clear()
        self._say(0.0, None)

    def at(self, done: int, total: int) -> None:
        """`done` of `total` bytes of the present step; cheap, told ten times a second."""
        now = self._clock()
        if now - self._last_told < MIN_INTERVAL_S and done < total:
            return
        self._points.append((now, done))
        while len(self._points) > 2 and now - self._points[0][0] > WINDOW_S:
            self._points.popleft()
        self._say(min(done / total, 1.0) if total else 1.0, self._rate())

    def _rate(self) -> float | None:
        (start, first), (end, last) = self._points[0], self._points[-1]
        return max(last - first, 0) / (end - start) if end > start else None

    def _say(self, part: float, rate: float | None) -> None:
        before = sum(self._shares[name] for name in self._order[: self._order.index(self._step)])
        self._last_told = self._clock()
        self._tell(Standing(self._step, min(before + part * self._shares[self._step], 1.0), rate))
