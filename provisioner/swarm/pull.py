"""One file on its way through the swarm, from the check of what is there to completion.

The carousel first, as long as it is heard; then the neighbours; when neither they nor
libtorrent's web seed move, pieces are brought over HTTP and handed in, until the swarm moves
again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.errors import UnreachableError
from provisioner.swarm import part as parts
from provisioner.swarm.fetch import HttpCarrier, Report, Tries, Wanted
from provisioner.swarm.listener import Listener
from provisioner.swarm.merkle import BLOCK
from provisioner.swarm.part import Part
from provisioner.swarm.pieces import WrongPieceError, give_up_after, read_pieces
from provisioner.swarm.session import Share, Standing, disk_trouble
from provisioner.swarm.watcher import Watcher

TURN_S, CHECK_TURN_S = 0.2, 0.05
# Nothing from anybody for so long (at the start, and later), and the web server is asked.
START_S, STALL_S = 2.0, 5.0
EAR_S = 0.8  # before neighbours are asked, the carousel may begin
WEB_S = 15.0  # and left alone again after so long, when there are neighbours
PIECES_AT_ONCE = 16
TAKEN_IN_S = 2.0
# What libtorrent 2.1 keeps in memory is proved when it is on the disk; so long it may wait.
FLUSH_S = 5.0


@dataclass(frozen=True)
class Errand:
    """What is to be brought: which file, from where, to where, and who looks on."""

    http: HttpCarrier
    wanted: Wanted
    part: Part
    share: Share
    watcher: Watcher
    report: Report


class Pull:
    """One file on its way: bytes that were here (`resumed`), that we brought in from the
    station (`handed_in`), and that its carousel did (`heard`)."""

    def __init__(self, errand: Errand) -> None:
        self._http, self._wanted, self._part = errand.http, errand.wanted, errand.part
        self._share, self._watcher, self._report = errand.share, errand.watcher, errand.report
        self.resumed = self.handed_in = self.heard = 0
        self._flushed = (0, 0.0)
        self._wrong = 0
        self._tries = Tries(errand.wanted.path)

    def run(self, count: Callable[[], None]) -> None:
        """Returns when every piece is here; raises what the disk or the station does."""
        raise NotImplementedError

    def _standing(self) -> Standing:
        now = self._share.standing()
        if now.error:
            raise disk_trouble(now.error, self._part.path)
        return now

    def _right(self) -> set[int]:
        missing = set(self._share.missing())
        return {n for n in range(len(self._part.entry.pieces)) if n not in missing}

    def _note_flushed(self, done: int) -> None:
        self._flushed = (done, time.monotonic())

    def _flush_when_due(self, done: int) -> None:
        """libtorrent 2.1 keeps blocks for a while by itself, and a cut would lose them."""
        before, at = self._flushed
        step = parts.flush_step(self._wanted.size)
        if done - before >= step or (done > before and time.monotonic() - at > FLUSH_S):
            self._share.flush()
            self._part.flush()
            self._note_flushed(done)

    def _fetch(self, bring: Callable[[], None]) -> None:
        """Ask the station once. Raises when it sends wrong bytes again and again, or for good."""
        try:
            bring()
        except WrongPieceError:
            self._wrong += 1
            give_up_after(self._wrong, self._wanted)
        except UnreachableError as error:
            self._http.wait(error, self._tries.failed(error))


class SwarmPull(Pull):
    """Through the swarm, with the station's carousel and its web server."""

    def __init__(
        self, errand: Errand, web_seed: str, listener: Listener, ear_s: float = EAR_S
    ) -> None:
        super().__init__(errand)
        self._listener, self._listens, self._began = listener, True, 0.0
        self._ear_s, self._in_order = ear_s, False
        self._web_seed, self._web_since = web_seed, 0.0

    def run(self, count: Callable[[], None]) -> None:
        with self._listener:
            self._run(count)
        self.heard = self._listener.brought

    def _run(self, count: Callable[[], None]) -> None:
        checked = False
        received, moved = 0, time.monotonic()
        while not (now := self._standing()).complete:
            self._report(now.done)
            if now.checking:
                moved = time.monotonic()
            elif not checked:
                checked = True
                self._note_flushed(now.done)
                self.resumed = now.done  # nothing is taken before this
            if checked and self._listen():
                moved = time.monotonic()
            if checked:
                self._flush_when_due(now.done)
            if now.received - received >= BLOCK:  # a line that drips counts as silent
                received, moved = now.received, time.monotonic()
            self._keep_order(now)
            self._turn_to_the_station(now, time.monotonic() - moved)
            count()
            if checked:
                self._watcher.turn(self._right)
            time.sleep(TURN_S if checked else CHECK_TURN_S)
        if not checked:
            self.resumed = self._wanted.size
        self._share.take(on=True)
        self._listener.tell(())
        count()
        self._report(self._wanted.size)

    def _keep_order(self, now: Standing) -> None:
        """Alone with the station, no neighbour waits for rare pieces: spare the disk."""
        alone = now.peers <= 1
        if alone != self._in_order:
            self._in_order = alone
            self._share.in_order(alone)

    def _listen(self) -> bool:
        """Let the carousel bring what it brings; meanwhile neighbours are not asked."""
        listener = self._listener
        listener.tell(self._share.missing())
        self._began = self._began or time.monotonic()
        listens = listener.hears or time.monotonic() - self._began < self._ear_s
        if listens != self._listens:
            self._listens = listens
            self._share.take(on=not listens)
        return self._listens

    def _turn_to_the_station(self, now: Standing, silent_s: float) -> None:
        """Neighbours first: if all did take from the web server, it would send 25 copies.

        It is asked when nobody brings anything, first by libtorrent, then by ourselves, again
        and again until somebody does; and left alone again when there are neighbours.
        """
        patience = STALL_S if now.received else START_S
        if silent_s > patience and not self._web_since:
            self._web_since = time.monotonic()
            self._share.use_web_seed(self._web_seed, True)
        elif silent_s > patience + STALL_S:
            self._help()
        elif self._web_since and now.peers > 1 and time.monotonic() - self._web_since > WEB_S:
            self._web_since = 0.0
            self._share.use_web_seed(self._web_seed, False)

    def _help(self) -> None:
        """Bring the first missing pieces over HTTP and wait until they are taken in."""
        first, stop = next(parts.runs(self._share.missing()), (0, 0))
        few = list(range(first, min(stop, first + PIECES_AT_ONCE)))
        if not few:
            return
        self._fetch(lambda: self._hand_in(few))
        until = time.monotonic() + TAKEN_IN_S
        while set(few) & set(self._share.missing()) and time.monotonic() < until:
            time.sleep(TURN_S / 10)

    def _hand_in(self, few: list[int]) -> None:
        for piece, data in read_pieces(self._http, self._wanted, self._part.entry, few):
            self._share.put(piece, data)
            self.handed_in += len(data)
            self._tries.moved()
