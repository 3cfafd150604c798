"""Over the line once: what a room lacks comes from the station one time, for all of it.

The neighbours come first, by the swarm. What none of them has, one machine fetches (`turns`) and
hands in. It asks by ranges and only for the bytes that are missing: of a piece of 256 KiB of
which an older release held all but 8 KiB, those. The station's own seed is shut out, because
it would give to all of them at once.
"""

from __future__ import annotations

import bisect
import logging
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from provisioner.model.release import Manifest
from provisioner.release.chunks import Span, merge
from provisioner.swarm import turns
from provisioner.swarm.carrier import SwarmCarrier
from provisioner.swarm.classroom import Classroom
from provisioner.swarm.delta import CLOSE_BYTES, RangesRefusedError, read_span
from provisioner.swarm.fetch import (
    LEAST_PROGRESS,
    CutShortError,
    Fetched,
    HttpCarrier,
    Report,
    Wanted,
)
from provisioner.swarm.merkle import BLOCK
from provisioner.swarm.pieces import WrongPieceError, read_pieces
from provisioner.swarm.pull import Errand, Pull
from provisioner.swarm.session import Place, Share, Standing
from provisioner.swarm.torrent import MAX_TORRENT_BYTES, Torrent, TorrentFile
from provisioner.swarm.turns import Outlook
from provisioner.swarm.watcher import Watcher

log = logging.getLogger(__name__)

TURN_S = 0.2
BATCH_BYTES, BATCH_PIECES = 256 * 1024, 16
TAKEN_IN_S = 20.0  # a piece that was handed in and is still missing then is fetched again


def all_carried(manifest: Manifest, torrent: Torrent) -> Torrent:
    """The release's torrent with all its smaller files too, each of one piece.

    A file's root is in the manifest, and of one piece that is all there is to know.
    """
    small = (
        document(entry.path, entry.size, bytes.fromhex(entry.merkle))
        for entry in manifest.files
        if entry.merkle and torrent.file(entry.path) is None and entry.size <= MAX_TORRENT_BYTES
    )
    return Torrent(torrent.name, (*torrent.files, *small))


def document(path: str, size: int, root: bytes) -> TorrentFile:
    """A file as one piece."""
    piece_bytes = max(BLOCK, 1 << max(size - 1, 0).bit_length())
    return TorrentFile(path, size, root, (root,), piece_bytes)


class OnceCarrier(SwarmCarrier):
    """Files of one folder on the station, for a machine among neighbours.

    `room` stays open; what was brought is given on until this is closed.
    """

    def __init__(
        self,
        http: HttpCarrier,
        torrent: Torrent,
        room: Classroom,
        *,
        station: IPv4Address | None,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(
            http, torrent, room, station_url="", release_url="",
            is_station=lambda address: address == str(station), watcher=watcher,
        )  # fmt: skip
        self._room = room
        self._spans: tuple[Span, ...] | None = None
        self._tracker = ""  # the station's, which is shut out with it; neighbours are discovered
        if station is not None:
            room.shut_out(station)

    def close(self) -> None:
        """Let go of the files that this brought; the room stays."""
        while self._shares:
            self._room.remove(self._shares.pop())

    def fill(self, wanted: Wanted, into: Path, missing: Sequence[Span], report: Report) -> Fetched:
        """As `fetch`, for a begun file of which only these bytes are not right."""
        self._spans = tuple(missing)
        try:
            return self.fetch(wanted, into, report)
        finally:
            self._spans = None

    def is_nearby(self, wanted: Wanted, folder: Path) -> bool:
        """Whether the neighbours have the whole file between them; nothing is taken yet."""
        entry = self._torrent.file(wanted.path)
        if entry is None:
            return False
        probe = Place(folder, f".{Path(wanted.path).name}.asking")  # never written
        share = self._room.share(
            self._torrent.alone(wanted.path), probe, tracker=self._tracker, asking=True
        )
        try:
            until = self._room.settled_at()
            while time.monotonic() < until:
                time.sleep(TURN_S)
                around = share.around()
                if len(around) == len(entry.pieces) and all(around):
                    return True
            return False
        finally:
            self._room.remove(share)

    def _pull(self, errand: Errand) -> OncePull:
        return OncePull(errand, self._room, self._spans)

    def _account(self, wanted: Wanted, share: Share, pull: Pull) -> Fetched:
        peers = share.sources.peers
        self.origin.peers += peers
        self.origin.station += pull.handed_in
        self.origin.banned += [who for who in share.sources.banned if who not in self.origin.banned]
        fetched = min(pull.handed_in + peers, wanted.size)
        return Fetched(fetched, wanted.size - fetched, min(peers, fetched))


class OncePull(Pull):
    """From the neighbours, and from the station what none of them has."""

    def __init__(self, errand: Errand, room: Classroom, spans: tuple[Span, ...] | None) -> None:
        super().__init__(errand)
        self._room, self._spans = room, spans
        self._me, self._settled_at = room.wire.ip, room.settled_at()
        self._next = turns.first_place(self._me, len(errand.part.entry.pieces))
        self._given: dict[int, float] = {}  # pieces handed in, and when
        self._whole: set[int] = set()  # pieces to be fetched anew from their first byte
        self._begun = (-1, bytearray())
        self._heard = (0, 0)
        self._moved = time.monotonic()
        self._ranges = True

    def run(self, count: Callable[[], None]) -> None:
        checked = False
        while not (now := self._standing()).complete:
            self._report(now.done)
            if not now.checking and not checked:
                checked = True
                self._share.take(on=True)
                self._note_flushed(now.done)
                self._settled_at, self._moved = self._room.settled_at(), time.monotonic()
            count()
            if checked:
                self._flush_when_due(now.done)
                self._watcher.turn(self._right)
            if not checked or not self._ask(now):
                time.sleep(TURN_S)
        count()
        self._report(self._wanted.size)

    def _ask(self, now: Standing) -> bool:
        """Ask the station for something, if it is our turn; whether we did."""
        missing, around = self._share.missing(), self._share.around()
        heard = (now.received, sum(around[n] for n in missing if n < len(around)))
        if heard[0] > self._heard[0] or heard[1] > self._heard[1]:
            self._moved = time.monotonic()
        self._heard = heard
        clock = time.monotonic()
        takers = frozenset(other for other in self._share.takers() if other != self._me)
        outlook = Outlook(self._me, takers, clock - self._moved, clock >= self._settled_at)
        if turns.lost_patience(outlook):
            open_pieces = missing
        elif turns.may_ask(outlook):
            open_pieces = turns.lonely(missing, around)
        else:
            return False
        open_pieces = [n for n in open_pieces if clock - self._given.get(n, -1e9) > TAKEN_IN_S]
        if not open_pieces:
            return False
        self._fetch(lambda: self._ask_for(open_pieces))
        return True

    def _ask_for(self, open_pieces: list[int]) -> None:
        try:
            if self._ranges:
                cost = self._cost
                some = turns.choose_pieces(open_pieces, self._next, cost, BATCH_BYTES, BATCH_PIECES)
                self._fetch_spans(some)
                self._next = some[-1] + 1
            else:
                self._fetch_stream(open_pieces)
            self._tries.moved()
        except RangesRefusedError:
            self._ranges = False

    def _cost(self, piece: int) -> int:
        return sum(span.size for span in self._lacking(piece))

    def _lacking(self, piece: int) -> list[Span]:
        """The bytes of a piece that are not here, as far as anybody knows; else all of them."""
        start, stop = self._part.entry.span(piece)
        if self._spans is None or piece in self._whole:
            return [Span(start, stop)]
        at = bisect.bisect_right(self._spans, start, key=lambda span: span.stop)
        found = []
        for span in self._spans[at:]:
            if span.start >= stop:
                break
            found.append(Span(max(span.start, start), min(span.stop, stop)))
        return found or [Span(start, stop)]  # it was right, they say, and is not

    def _fetch_spans(self, some: Sequence[int]) -> None:
        """Fetch what these pieces lack, put them together and hand them in."""
        came = [
            (span, self._bytes(span))
            for span in merge((s for piece in some for s in self._lacking(piece)), CLOSE_BYTES)
        ]
        for piece in some:
            start, stop = self._part.entry.span(piece)
            data = bytearray(self._here(start, stop))
            for span, new in came:
                first, last = max(span.start, start), min(span.stop, stop)
                if first < last:
                    data[first - start : last - start] = new[first - span.start : last - span.start]
            self._hand_in(piece, bytes(data))

    def _here(self, start: int, stop: int) -> bytes:
        with self._part.path.open("rb") as file:
            file.seek(start)
            return file.read(stop - start).ljust(stop - start, b"\0")

    def _hand_in(self, piece: int, data: bytes) -> None:
        if self._part.entry.holds(piece, data):
            self._share.put(piece, data)
            self._given[piece] = time.monotonic()
            return
        whole = piece in self._whole or self._spans is None
        self._whole.add(piece)
        if whole:
            raise WrongPieceError

    def _bytes(self, span: Span) -> bytes:
        """The bytes of one span, gone on from where the last try ended."""
        if self._begun[0] != span.start:
            self._begun = (span.start, bytearray())
        data = self._begun[1]
        while len(data) < span.size:
            before = len(data)
            try:
                for some in read_span(
                    self._http, self._wanted, Span(span.start + len(data), span.stop)
                ):
                    data += some
                    self.handed_in += len(some)
            except CutShortError:
                if len(data) - before < LEAST_PROGRESS:
                    raise
        self._begun = (-1, bytearray())
        return bytes(data[: span.size])

    def _fetch_stream(self, open_pieces: list[int]) -> None:
        """From a station that answers no ranges: everything, once."""
        stretch = list(range(min(open_pieces), max(open_pieces) + 1))
        for piece, data in read_pieces(self._http, self._wanted, self._part.entry, stretch):
            self._share.put(piece, data)
            self._given[piece] = time.monotonic()
            self.handed_in += len(data)
            self._report(self._standing().done)
