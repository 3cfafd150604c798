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
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from provisioner.errors import ProofMissingError, UnreachableError
from provisioner.swarm import part as parts
from provisioner.swarm.fetch import (
    Fetched,
    HttpCarrier,
    Report,
    Tries,
    Wanted,
    flush_folder,
)
from provisioner.swarm.listener import Listener
from provisioner.swarm.part import Part
from provisioner.swarm.pieces import WrongPieceError, give_up_after, read_pieces, size_of
from provisioner.swarm.pull import EAR_S, Errand, Pull, SwarmPull
from provisioner.swarm.session import Place, Session, Share
from provisioner.swarm.torrent import Torrent
from provisioner.swarm.watcher import Nobody, Watcher

log = logging.getLogger(__name__)


@dataclass
class Origin:
    """Where the bytes of a release came from so far, and who was sent away."""

    station: int = 0
    peers: int = 0
    carousel: int = 0
    banned: list[str] = field(default_factory=list)


class RangeCarrier:
    """Piece by piece over HTTP. Files that the torrent does not carry go by `http` as before."""

    def __init__(self, http: HttpCarrier, torrent: Torrent, watcher: Watcher | None = None) -> None:
        self._http, self._torrent = http, torrent
        self._watcher: Watcher = watcher or Nobody()
        self.origin = Origin()

    def __enter__(self) -> RangeCarrier:
        return self

    def __exit__(self, *_: object) -> None:
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
        flush_folder(into.parent)
        self.origin.station += wanted.size - resumed
        return Fetched(wanted.size - resumed, resumed)

    def _fill(self, wanted: Wanted, part: Part, report: Report) -> int:
        """Fetch all pieces that are not right yet; returns the bytes that were."""
        right = part.right_pieces(report)
        self._watcher.begin(part.path, part.entry)
        resumed = have = sum(size_of(part.entry, piece) for piece in right)
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
        self._station = _address_of(station_url)
        self._release_url = release_url.rstrip("/") + "/"
        self._shares: list[Share] = []
        self._ear_s = EAR_S

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
            asking=True,  # until what was here is counted
        )
        self._shares.append(share)
        try:
            self._watcher.begin(part.path, part.entry)
            pull = self._pull(Errand(self._http, wanted, part, share, self._watcher, report))
            pull.run(lambda: share.count(self._is_station))
            share.flush()
            os.fsync(part.handle)
            if not self._watcher.end():
                parts.check_whole(part.path, wanted)
            share.rename(into.name)
            flush_folder(into.parent)
        except BaseException:
            self._shares.remove(share)
            with contextlib.suppress(ProofMissingError):  # the first trouble is the one to tell
                self._session.remove(share, held=1)
            raise
        return self._account(wanted, share, pull)

    def _pull(self, errand: Errand) -> Pull:
        # libtorrent adds the file's name itself (BEP 19)
        path = errand.wanted.path
        folder = self._release_url + path.removesuffix(path.split("/")[-1])

        def put(piece: int, data: bytes) -> None:
            errand.part.write(piece, data)  # libtorrent 2.1 would keep it for a while
            errand.share.put(piece, data)

        listener = Listener(self._session.wire, self._station, errand.part.entry, put)
        return SwarmPull(errand, folder, listener, self._ear_s)

    def _account(self, wanted: Wanted, share: Share, pull: Pull) -> Fetched:
        """Who brought what. Station: its web seed, its own peer, and what we asked it for."""
        fetched = wanted.size - pull.resumed
        carousel = min(pull.heard, fetched)
        # who was alone for a whole file does not wait for a carousel before the next
        self._ear_s = EAR_S if carousel else 0.0
        peers = min(share.sources.peers, max(fetched - carousel - pull.handed_in, 0))
        self.origin.carousel += carousel
        self.origin.peers += peers
        self.origin.station += fetched - carousel - peers
        self.origin.banned += [who for who in share.sources.banned if who not in self.origin.banned]
        return Fetched(fetched, pull.resumed, peers, carousel)


def _address_of(station_url: str) -> IPv4Address:
    """The station's; one that is on no wire when the URL has a name instead."""
    try:
        return IPv4Address(urlsplit(station_url).hostname or "")
    except ValueError:
        return IPv4Address(0)
