"""libtorrent among the machines of one room, which find each other with or without a tracker.

A `Session` that also says on the wire what is shared here, and tries whoever says the same. One
machine needs one: its update and its site cache use it together.
"""

from __future__ import annotations

import contextlib
import time
from ipaddress import IPv4Address, IPv4Interface

from provisioner.swarm.neighbours import Connect, Neighbours
from provisioner.swarm.session import Place, Session, Share
from provisioner.swarm.torrent import info_hash

# How long neighbours need until they know each other: in a room that was just entered (three
# datagrams within three seconds), and for one more file among those who know each other.
ENTER_S, MEET_S = 4.0, 1.5


class Classroom(Session):
    """Use as a context manager, or `close` it."""

    def __init__(
        self,
        wire: IPv4Interface,
        *,
        port: int = 0,
        upload_limit: int = 0,
        changes: dict[str, int | bool | str] | None = None,
    ) -> None:
        super().__init__(wire, port=port, upload_limit=upload_limit, changes=changes)
        self._entered = time.monotonic()
        self._hashes: dict[Share, bytes] = {}
        self._neighbours = Neighbours(wire, self.port)
        self._neighbours.__enter__()

    def close(self) -> None:
        self._neighbours.close()
        super().close()

    def share(
        self, torrent: bytes, place: Place, *, tracker: str, whole: bool = False,
        asking: bool = False,
    ) -> Share:  # fmt: skip
        """As `Session.share`; the neighbours are told."""
        share = super().share(torrent, place, tracker=tracker, whole=whole, asking=asking)
        self._hashes[share] = info_hash(torrent)
        self._neighbours.add(self._hashes[share], _connect(share))
        return share

    def remove(self, share: Share, held: int = 0) -> None:
        if share in self._hashes:
            self._neighbours.drop(self._hashes.pop(share))
        super().remove(share, held)

    def settled_at(self) -> float:
        """When a file that is shared from now on will have met its neighbours (monotonic)."""
        return max(self._entered + ENTER_S, time.monotonic() + MEET_S)


def _connect(share: Share) -> Connect:
    def connect(address: IPv4Address, port: int) -> None:
        with contextlib.suppress(RuntimeError):  # the file was let go of meanwhile
            share.connect(address, port)

    return connect
