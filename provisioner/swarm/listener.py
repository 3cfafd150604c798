"""The machine's ear for the station's carousel.

Packets are put together to pieces and handed on; how well it hears and what it lacks goes back
to the station. It never waits for anything and is never needed: what it does not hear, the
swarm brings. Only the station's own address is listened to; a piece with a wrong hash is thrown
away, and after a few of them nothing more is believed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from itertools import islice

from provisioner.swarm.packet import (
    HEAD,
    MAX_HOLES,
    NUMBERS,
    PAYLOAD,
    PORT,
    ROOT_BYTES,
    Head,
    Report,
    count_of,
    group_of,
    pack_missing,
    read_head,
)
from provisioner.swarm.torrent import TorrentFile

log = logging.getLogger(__name__)

REPORT_S = 0.25
SILENCE_S = 0.6  # after so long without a packet it is over, for now
MAX_PARTIAL = 8  # pieces of which some packets came: 2 MiB of memory
MAX_HANDED = 32  # pieces that wait for the disk: 8 MiB; more is not taken in, and so not sent
WRONG_PIECES = 3
FEW_HOLES = 0.25  # of a piece's packets: so few are asked for one by one
HOLE_AGE_S = 0.04  # a packet may be overtaken by the next one
JUDGE_S, WORTH = 3.0, 0.4  # hearing less than this share over so long is not worth listening
# Waking up for each packet costs more than the packet does; the buffer holds far more than this.
GATHER_S = 0.01
BUFFER_BYTES = 4 * 1024 * 1024
SO_RCVBUFFORCE = 33  # linux/socket.h; root may pass the limit for everybody
TICK = struct.pack("ll", 0, 100_000)


@dataclass
class _Partial:
    """A piece on its way: its bytes so far, and which packets came."""

    data: bytearray
    came: bytearray
    left: int
    at: float


class Listener:
    """Hears one file; use as a context manager. `put` is called from its own thread."""

    def __init__(
        self,
        wire: IPv4Interface,
        station: IPv4Address,
        entry: TorrentFile,
        put: Callable[[int, bytes], None],
    ) -> None:
        self._wire, self._station, self._entry, self._put = wire, station, entry, put
        self.brought = 0  # bytes that were put
        self._missing: frozenset[int] = frozenset()
        self._handed: dict[int, float] = {}
        self._partial: OrderedDict[int, _Partial] = OrderedDict()
        self._name = os.urandom(8).hex()
        self._turn = self._received = self._number = self._wrong = 0
        self._judged: tuple[float, int, int] | None = None
        self._useful_at = 0.0
        self._deaf = False
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._told.set()
        self._thread.join()

    @property
    def hears(self) -> bool:
        """Whether the carousel brings what is missing just now."""
        return not self._deaf and time.monotonic() - self._useful_at < SILENCE_S

    def tell(self, missing: Collection[int]) -> None:
        """What is missing now; the first call begins the listening."""
        with self._lock:
            self._missing = frozenset(missing)
            for piece in [piece for piece in self._handed if piece not in self._missing]:
                del self._handed[piece]
        self._told.set()

    def _run(self) -> None:
        self._told.wait()
        if self._station not in self._wire.network:
            return  # multicast ends at the next router
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ears:
                self._join(ears)
                self._listen(ears)
        except OSError as error:
            log.warning("No carousel is heard here: %s", error)
        self._deaf = True

    def _join(self, ears: socket.socket) -> None:
        group = group_of(self._entry.root)
        try:
            ears.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:
            ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TICK)
        ears.bind((str(group), PORT))
        member = group.packed + self._wire.ip.packed
        ears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)

    def _listen(self, ears: socket.socket) -> None:
        packet, station = bytearray(2048), str(self._station)
        view, due = memoryview(packet), 0.0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.bind((str(self._wire.ip), 0))
            while not self._stop.is_set() and not self._deaf:
                with contextlib.suppress(BlockingIOError):  # nothing more, or nothing for a while
                    wait = 0
                    while True:
                        size, (address, _) = ears.recvfrom_into(packet, 0, wait)
                        if address == station:
                            self._take(view[:size])
                        wait = socket.MSG_DONTWAIT
                if wait:
                    time.sleep(GATHER_S)
                if (now := time.monotonic()) >= due:
                    due = now + REPORT_S
                    self._report(mouth, now)
            self._report(mouth, time.monotonic())

    def _take(self, packet: memoryview) -> None:
        head = read_head(packet)
        if head is None or head.root != self._entry.root[:ROOT_BYTES]:
            return
        with self._lock:
            if len(self._handed) >= MAX_HANDED:
                return  # the disk is behind: to the station this packet is lost
            self._received += 1
            self._number = head.number
            if head.piece in self._missing and head.piece not in self._handed:
                self._useful_at = time.monotonic()
                self._place(head, packet[HEAD.size :])

    def _place(self, head: Head, data: memoryview) -> None:
        start, stop = self._entry.span(head.piece)
        if head.parts != count_of(stop - start):
            return
        if head.piece not in self._partial:
            made = _Partial(bytearray(stop - start), bytearray(head.parts), head.parts, 0.0)
            self._partial[head.piece] = made
            if len(self._partial) > MAX_PARTIAL:
                self._partial.popitem(last=False)
        self._add(head.piece, head.part, data)

    def _add(self, piece: int, index: int, data: memoryview) -> None:
        partial = self._partial.get(piece)
        if partial is None or partial.came[index]:
            return
        first = index * PAYLOAD
        if len(data) != min(PAYLOAD, len(partial.data) - first):
            return
        partial.data[first : first + len(data)] = data
        partial.came[index] = 1
        partial.left -= 1
        partial.at = time.monotonic()
        if not partial.left:
            del self._partial[piece]
            self._finish(piece, bytes(partial.data))

    def _finish(self, piece: int, data: bytes) -> None:
        if not self._entry.holds(piece, data):
            self._wrong += 1
            log.warning("A wrong piece came from the carousel")
            self._deaf = self._wrong >= WRONG_PIECES
            return
        self._handed[piece] = time.monotonic()
        self.brought += len(data)
        self._put(piece, data)

    def _report(self, mouth: socket.socket, now: float) -> None:
        with self._lock:
            lacking = self._missing.difference(self._handed)
            report = Report(
                root=self._entry.root[:ROOT_BYTES].hex(),
                listener=self._name,
                turn=self._turn,
                at=now,
                received=self._received,
                number=self._number,
                pieces=len(self._entry.pieces),
                missing=pack_missing(lacking, len(self._entry.pieces)),
                holes=tuple(islice(self._holes(now), MAX_HOLES)),
            )
            self._turn += 1
            self._judge(now)
        mouth.sendto(report.pack(), (str(self._station), PORT))

    def _holes(self, now: float) -> Iterator[tuple[int, int]]:
        """What is missing in pieces that have gone by almost whole."""
        for piece, partial in self._partial.items():
            if now - partial.at > HOLE_AGE_S and partial.left <= FEW_HOLES * len(partial.came):
                yield from ((piece, at) for at, came in enumerate(partial.came) if not came)

    def _judge(self, now: float) -> None:
        """A cable that loses most of it only suffers from it."""
        if not self._received:
            return
        if self._judged is None:
            self._judged = (now, self._received, self._number)
        since, received, number = self._judged
        if now - since < JUDGE_S:
            return
        sent = (self._number - number) % NUMBERS
        if sent > 100 and self._received - received < WORTH * sent:
            log.info("The carousel is too fast for this machine; its neighbours bring the rest")
            self._deaf = True
        self._judged = (now, self._received, self._number)
