"""How fast the carousel turns: as fast as its listeners can hear, and no faster.

Pure: it is told what listeners report and what time it is. The rate is doubled until packets
are lost, which tells what the wire, or the slowest disk, carries; then it stays a little below
that and tries more only seldom. Losses at a rate that was not raised are believed when they
last: 25 machines that ask for the torrent together fill the cable for a moment, too. A machine
that hears less than half of what the others hear (a bad cable, 100 Mbit/s among gigabit) does not
slow them down: the swarm brings it the rest.
"""

from __future__ import annotations

import logging
import statistics
from dataclasses import dataclass

from provisioner.swarm.packet import NUMBERS, PAYLOAD

log = logging.getLogger(__name__)

START_RATE = 500_000.0  # bytes of payload per second
LEAST_RATE, MOST_RATE = 100_000.0, 110_000_000.0
LOSS = 0.01  # of an interval's packets; less is mended one by one
OUTLIER = 0.5  # of what the median hears
HEARD_EVERY_S = 0.3  # one interval; some reports of everybody must lie in it
SETTLE_S = 0.7  # after a change the reports still tell of the time before
FORGET_S = 2.0
DEAF_S = 3.0
# Growth per interval: while nothing is known, and afterwards: ever quicker until packets are
# lost, then not at all for a while that is twice as long each time.
FAST, MIDDLING, SLOW, QUICKER, QUICKEST = 2.0, 0.04, 0.01, 1.5, 0.25
HOLD_S, MOST_LOSSES = 0.5, 6
BUSY = 0.9
BELOW = 0.97  # of what was delivered while packets were lost


@dataclass
class _Heard:
    since: float
    at: float
    own: float  # the listener's clock
    received: int
    number: int
    # as it was at the last look
    own_then: float
    received_then: int
    number_then: int
    delivered: float | None = None  # bytes per second, over the last whole interval
    sent: float = 0.0  # bytes per second that it should have heard
    loss: float = 0.0


class Pace:
    """The rate of one carousel, in bytes of payload per second."""

    def __init__(self, now: float) -> None:
        self.rate = START_RATE
        self._listeners: dict[str, _Heard] = {}
        self._losses = 0
        self._growth = SLOW
        self._grew = self._doubted = False
        self._looked = now
        self._settled = now

    def hear(self, listener: str, received: int, number: int, own: float, now: float) -> None:
        """Take in a report: packets heard since it began, the highest number, its own clock."""
        known = self._listeners.get(listener)
        if known is None or received < known.received:
            start = (own, received, number)
            self._listeners[listener] = _Heard(now, now, *start, *start)
        else:
            known.at, known.own, known.received, known.number = now, own, received, number

    def leave(self, listener: str) -> None:
        self._listeners.pop(listener, None)

    def hears(self, listener: str, now: float) -> bool:
        """Whether it is worth sending what this listener lacks."""
        known = self._listeners.get(listener)
        if known is None or now - known.at > FORGET_S:
            return False
        if not known.received and now - known.since > DEAF_S:
            return False
        return known.delivered is None or known.delivered >= self._half()

    def turn(self, now: float) -> None:
        """Look at the last interval, when it is over, and change the rate."""
        if now - self._looked < HEARD_EVERY_S:
            return
        self._looked = now
        for name in [n for n, h in self._listeners.items() if now - h.at > FORGET_S]:
            del self._listeners[name]
        for heard in self._listeners.values():
            _close_interval(heard)
        if now >= self._settled:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        half = self._half()
        healthy = [heard for heard in self._listeners.values() if (heard.delivered or 0.0) > half]
        if not healthy:
            return
        # One machine that was busy for a moment must not hold up a classroom.
        loss = sorted(heard.loss for heard in healthy)[len(healthy) * 3 // 4]
        log.debug("%.1f Mbit/s, %d listeners lose %.3f", self.rate * 8e-6, len(healthy), loss)
        if loss > LOSS and not (self._grew or self._doubted):
            self._doubted = True
            return
        self._doubted, before = False, self.rate
        self._step(healthy, loss, now)
        self._grew = self.rate > before

    def _step(self, healthy: list[_Heard], loss: float, now: float) -> None:
        if loss > LOSS:
            carried = sorted(heard.delivered or 0.0 for heard in healthy)[len(healthy) // 4]
            self._change(min(self.rate, carried) * BELOW)
            self._settled = now + SETTLE_S
            if not self._grew:
                return  # something else is in the cable; that is not what it carries
            if self._losses:
                self._settled += HOLD_S * 2**self._losses
            self._growth = SLOW if self._losses else MIDDLING
            self._losses = min(self._losses + 1, MOST_LOSSES)
        elif max(heard.sent for heard in healthy) < BUSY * self.rate:
            pass  # it was this computer that was slow, which says nothing about the wire
        elif not self._losses:
            self._change(self.rate * FAST)
        else:
            self._change(self.rate * (1 + self._growth))
            self._growth = min(self._growth * QUICKER, QUICKEST)

    def _change(self, rate: float) -> None:
        self.rate = min(max(rate, LEAST_RATE), MOST_RATE)

    def _half(self) -> float:
        known = [heard.delivered for heard in self._listeners.values() if heard.delivered]
        return statistics.median(known) * OUTLIER if known else 0.0


def _close_interval(heard: _Heard) -> None:
    """What was delivered, and lost, since the last look."""
    passed = heard.own - heard.own_then
    sent = (heard.number - heard.number_then) % NUMBERS
    came = heard.received - heard.received_then
    if passed <= 0:
        return
    if heard.received_then == 0 and came:  # it began in the middle of this interval
        sent = 0
    if 0 < sent < NUMBERS // 2:
        heard.loss = max(0.0, 1.0 - came / sent)
        heard.delivered, heard.sent = came * PAYLOAD / passed, sent * PAYLOAD / passed
    heard.own_then, heard.received_then, heard.number_then = (
        heard.own, heard.received, heard.number
    )  # fmt: skip
