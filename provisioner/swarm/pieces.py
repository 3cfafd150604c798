"""Pieces of a file over HTTP, each checked as it is complete: the last resort of the swarm."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import ImageMismatchError
from provisioner.swarm import part as parts
from provisioner.swarm.fetch import LEAST_PROGRESS, CutShortError, HttpCarrier, Wanted
from provisioner.swarm.ranges import read_range
from provisioner.swarm.torrent import TorrentFile

WRONG_TRIES = 3  # so often the station may send a wrong piece before its file counts as damaged


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
                while piece < stop and len(data) >= size_of(entry, piece):
                    size = size_of(entry, piece)
                    whole = bytes(data[:size])
                    if not entry.holds(piece, whole):
                        raise WrongPieceError
                    yield piece, whole
                    del data[:size]
                    piece += 1
        except CutShortError:
            if at - before < LEAST_PROGRESS:
                raise


def size_of(entry: TorrentFile, piece: int) -> int:
    """Bytes of one piece."""
    start, stop = entry.span(piece)
    return stop - start


def give_up_after(wrong: int, wanted: Wanted) -> None:
    """Raises ImageMismatchError when the station has sent too many wrong pieces."""
    if wrong >= WRONG_TRIES:
        raise ImageMismatchError(
            f"{wanted.path} comes from the station otherwise than its signed manifest says.",
            "The release on the station is damaged; run “provisioner image verify”.",
        )
