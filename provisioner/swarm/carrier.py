"""Carriers that know every piece of a file: the swarm, and HTTP where there is none.

Both take up whatever right pieces are on the disk, end only when the file stands complete with
the digest of the signed manifest, and go on for ever while everybody is silent. The swarm has
the station's HTTP behind it as web seed; when neither peers nor libtorrent's web seed move, the
carrier itself brings pieces over HTTP and hands them in, until the swarm moves again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol

from provisioner.errors import ImageMismatchError, ProofMissingError, UnreachableError
from provisioner.swarm import part as parts
from provisioner.swarm.fetch import (
    LEAST_PROGRESS,
    CutShortError,
    Fetched,
    HttpCarrier,
    Report,
    Tries,
    Wanted,
)
from provisioner.swarm.merkle import BLOCK
from provisioner.swarm.part import Part
from provisioner.swarm.ranges import read_range
from provisioner.swarm.session import Place, Session, Share, Standing, disk_trouble
from provisioner.swarm.torrent import Torrent, TorrentFile

log = logging.getLogger(__name__)

TURN_S = 0.2
# Nothing from anybody for so long (at the start, and later), and the web server is asked.
START_S, STALL_S = 2.0, 5.0
WEB_S = 15.0  # and left alone again after so long, when there are neighbours
PIECES_AT_ONCE = 16
TAKEN_IN_S = 2.0
WRONG_TRIES = 3  # so often the station may send a wrong piece before its file counts as damaged


class Watcher(Protocol):
    """Whoever wants to look at a file while it grows (proof); called from `fetch`'s thread."""

    def begin(self, path: Path, entry: TorrentFile) -> None: ...

    def turn(self, right: Callable[[], set[int]]) -> None:
        """Called about five times a second; `right` tells the pieces that are here."""

    def end(self) -> bool:
        """The file is complete and flushed; returns whether every piece of it was proved."""

    def drop(self) -> None:
        """Let go of the file, whatever became of it."""


class Nobody:
    """The `Watcher` that sees nothing, so that the carrier reads the whole file once itself."""

    def begin(self, path: Path, entry: TorrentFile) -> None: ...

    def turn(self, right: Callable[[], set[int]]) -> None: ...

    def end(self) -> bool:
        return False

    def drop(self) -> None: ...


@dataclass
class Origin:
    """Where the bytes of a release came from so far, and who was sent away."""

    station: int = 0
    peers: int = 0
    banned: list[str] = field(default_factory=list)


class RangeCarrier:
    """Piece by piece over HTTP. Files that the torrent does not carry go by `http` as before."""

    def __init__(self, http: HttpCarrier, torrent: Torrent, watcher: Watcher | None = None) -> None:
        self._http, self._torrent = http, torrent
        self._watcher: Watcher = watcher or Nobody()
        self.origin = Origin()

    def __enter__(self) -> RangeCarrier:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop giving and taking."""

    def rest(self) -> None:
        """Close every file, so that its disk can be unmounted."""

    def resume(self) -> None:
        """The files are back at their places: go on giving."""

    def fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched:
        """Continue `into`.part or begin it; check it; give it its name.

        Raises ImageMismatchError when the station's file is not what its torrent says,
        NotFoundError when it is withdrawn, WrongStateError when somebody else is at it,
        OSError for the disk's own trouble.
        """
        entry = self._torrent.file(wanted.path)
        if entry is None:
            got = self._http.fetch(wanted, into, report)
            self.origin.station += got.fetched
            return got
        with parts.opened(into, entry) as part:
            try:
                return self._bring(wanted, into, part, report)
            finally:
                self._watcher.drop()

    def _bring(self, wanted: Wanted, into: Path, part: Part, report: Report) -> Fetched:
        resumed = self._fill(wanted, part, report)
        os.fsync(part.handle)
        if not self._watcher.end():
            parts.check_whole(part.path, wanted)
        part.path.replace(into)
        parts.flush_folder(into.parent)
        self.origin.station += wanted.size - resumed
        return Fetched(wanted.size - resumed, resumed)

    def _fill(self, wanted: Wanted, part: Part, report: Report) -> int:
        """Fetch all pieces that are not right yet; returns the bytes that were."""
        right = part.right_pieces(report)
        self._watcher.begin(part.path, part.entry)
        resumed = have = sum(_size(part.entry, piece) for piece in right)
        flushed, wrong, tries = have, 0, Tries(wanted.path)
        while missing := [n for n in range(len(part.entry.pieces)) if n not in right]:
            try:
                for piece, data in read_pieces(self._http, wanted, part.entry, missing):
                    part.write(piece, data)
                    right.add(piece)
                    have += len(data)
                    tries.moved()
                    if have - flushed >= parts.flush_step(wanted.size):
                        part.flush()
                        flushed = have
                    report(have)
                    self._watcher.turn(lambda: right)
            except WrongPieceError:
                wrong += 1
                give_up_after(wrong, wanted)
            except UnreachableError as error:
                self._http.wait(error, tries.failed(error))
        return resumed


class SwarmCarrier(RangeCarrier):
    """With the neighbours; goes on giving each file until it is closed."""

    def __init__(
        self,
        http: HttpCarrier,
        torrent: Torrent,
        session: Session,
        *,
        station_url: str,
        release_url: str,
        is_station: Callable[[str], bool],
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(http, torrent, watcher)
        self._session, self._is_station = session, is_station
        self._tracker = station_url.rstrip("/") + "/announce"
        self._release_url = release_url.rstrip("/") + "/"
        self._shares: list[Share] = []

    def close(self) -> None:
        self._session.close()

    def rest(self) -> None:
        for share in self._shares:
            share.pause()

    def resume(self) -> None:
        for share in self._shares:
            share.resume()

    def _bring(self, wanted: Wanted, into: Path, part: Part, report: Report) -> Fetched:
        share = self._session.share(
            self._torrent.alone(wanted.path),
            Place(part.path.parent, part.path.name),
            tracker=self._tracker,
        )
        self._shares.append(share)
        try:
            self._watcher.begin(part.path, part.entry)
            pull = self._pull(wanted, part, share, report)
            pull.run(lambda: share.count(self._is_station))
            share.flush()
            os.fsync(part.handle)
            if not self._watcher.end():
                parts.check_whole(part.path, wanted)
            share.rename(into.name)
            parts.flush_folder(into.parent)
        except BaseException:
            self._shares.remove(share)
            with contextlib.suppress(ProofMissingError):  # the first trouble is the one to tell
                self._session.remove(share, held=1)
            raise
        return self._account(wanted, share, pull)

    def _pull(self, wanted: Wanted, part: Part, share: Share, report: Report) -> Pull:
        # libtorrent adds the file's name itself (BEP 19)
        folder = self._release_url + wanted.path.removesuffix(wanted.path.split("/")[-1])
        return _Pull(self._http, wanted, part, share, self._watcher, report, folder)

    def _account(self, wanted: Wanted, share: Share, pull: Pull) -> Fetched:
        """Who brought what. Station: its web seed, its own peer, and what we asked it for."""
        fetched = wanted.size - pull.resumed
        from_peers = min(share.sources.peers, fetched - min(pull.handed_in, fetched))
        self.origin.peers += from_peers
        self.origin.station += fetched - from_peers
        self.origin.banned += [who for who in share.sources.banned if who not in self.origin.banned]
        return Fetched(fetched, pull.resumed, from_peers)


class Pull(Protocol):
    """One file on its way through the swarm: bytes that were here, and that we brought in."""

    resumed: int
    handed_in: int

    def run(self, count: Callable[[], None]) -> None: ...


class _Pull:
    """One file on its way through the swarm, from the check of what is there to completion."""

    def __init__(
        self,
        http: HttpCarrier,
        wanted: Wanted,
        part: Part,
        share: Share,
        watcher: Watcher,
        report: Report,
        web_seed: str,
    ) -> None:
        self._web_seed, self._web_since = web_seed, 0.0
        self._http, self._wanted, self._part, self._share = http, wanted, part, share
        self._watcher, self._report = watcher, report
        self.resumed = 0
        self.handed_in = 0
        self._wrong = 0
        self._tries = Tries(wanted.path)

    def run(self, count: Callable[[], None]) -> None:
        """Returns when the swarm has every piece; raises what the disk or the station does."""
        checked = False
        flushed, received, moved = 0, 0, time.monotonic()
        while not (now := self._standing()).complete:
            self._report(now.done)
            if now.checking:
                moved = time.monotonic()
            elif not checked:
                checked, flushed = True, now.done
                self.resumed = max(now.done - now.received, 0)
            if checked and now.done - flushed >= parts.flush_step(self._wanted.size):
                self._share.flush()  # libtorrent 2.1 keeps blocks for a while by itself
                self._part.flush()
                flushed = now.done
            if now.received - received >= BLOCK:  # a line that drips counts as silent
                received, moved = now.received, time.monotonic()
            self._turn_to_the_station(now, time.monotonic() - moved)
            count()
            if checked:
                self._watcher.turn(self._right)
            time.sleep(TURN_S)
        if not checked:
            self.resumed = max(self._wanted.size - now.received, 0)
        count()
        self._report(self._wanted.size)

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

    def _standing(self) -> Standing:
        now = self._share.standing()
        if now.error:
            raise disk_trouble(now.error, self._part.path)
        return now

    def _right(self) -> set[int]:
        missing = set(self._share.missing())
        return {n for n in range(len(self._part.entry.pieces)) if n not in missing}

    def _help(self) -> None:
        """Bring the first missing pieces over HTTP and wait until they are taken in."""
        first, stop = next(parts.runs(self._share.missing()), (0, 0))
        few = list(range(first, min(stop, first + PIECES_AT_ONCE)))
        if not few:
            return
        try:
            for piece, data in read_pieces(self._http, self._wanted, self._part.entry, few):
                self._share.put(piece, data)
                self.handed_in += len(data)
                self._tries.moved()
        except WrongPieceError:
            self._wrong += 1
            give_up_after(self._wrong, self._wanted)
        except UnreachableError as error:
            self._http.wait(error, self._tries.failed(error))
        until = time.monotonic() + TAKEN_IN_S
        while set(few) & set(self._share.missing()) and time.monotonic() < until:
            time.sleep(TURN_S / 10)


class WrongPieceError(Exception):
    """The station sent a piece that is not what the torrent says."""


def read_pieces(
    http: HttpCarrier, wanted: Wanted, entry: TorrentFile, missing: list[int]
) -> Iterator[tuple[int, bytes]]:
    """The first run of `missing` pieces over HTTP, each checked as it is complete.

    An answer that is cut short is gone on from where it ended, also in the middle of a piece, as
    long as each brings something. Raises WrongPieceError, and what `read_range` does; pieces
    before that are good.
    """
    first, stop = next(parts.runs(missing))
    data = bytearray()
    piece = first
    while piece < stop:
        before = at = entry.span(piece)[0] + len(data)
        try:
            for some in read_range(http, wanted, at, entry.span(stop - 1)[1]):
                data += some
                at += len(some)
                while piece < stop and len(data) >= _size(entry, piece):
                    size = _size(entry, piece)
                    whole = bytes(data[:size])
                    if not entry.holds(piece, whole):
                        raise WrongPieceError
                    yield piece, whole
                    del data[:size]
                    piece += 1
        except CutShortError:
            if at - before < LEAST_PROGRESS:
                raise


def _size(entry: TorrentFile, piece: int) -> int:
    start, stop = entry.span(piece)
    return stop - start


def give_up_after(wrong: int, wanted: Wanted) -> None:
    """Raises ImageMismatchError when the station has sent too many wrong pieces."""
    if wrong >= WRONG_TRIES:
        raise ImageMismatchError(
            f"{wanted.path} comes from the station otherwise than its signed manifest says.",
            "The release on the station is damaged; run “provisioner image verify”.",
        )
