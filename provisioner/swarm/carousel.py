"""The station's carousel: pieces that several machines lack, sent once to all of them.

A swarm of 25 has to carry every byte 25 times through cables that all are equally thin; the
wire itself can copy. Whoever listens says a few times a second what it lacks; the carousel goes
round and round over the pieces that at least two of them lack, at the rate that they can hear
(`pace`). It waits for nobody: a machine may join, leave or die at any time, and what one alone
lacks it gets from its neighbours. Where the wire does not carry multicast nobody hears it, and
the swarm brings everything as if there were none.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from provisioner.swarm.pace import FORGET_S, Pace
from provisioner.swarm.packet import (
    MAX_REPORT_BYTES,
    NUMBERS,
    PAYLOAD,
    PORT,
    ROOT_BYTES,
    Head,
    Report,
    count_of,
    group_of,
    parts_of,
    read_report,
)
from provisioner.swarm.torrent import TorrentFile

log = logging.getLogger(__name__)

ENOUGH = 2  # so many must lack a piece; one alone is served by its neighbours
# What was sent a moment ago may still be on its way to a disk or into a report.
RECENT_S = 1.2
IDLE_S = 5.0  # with nothing to send for so long it ends; the next report begins it again
UNHEARD_S = 60.0  # and when nobody heard anything, not before this
LOOK_S = 0.02
TURNING_S = 1.0  # since it sent something
AGAIN_S = 0.4  # a packet that several ask for again is sent once in so long
MAX_AGAIN = 4096
TOGETHER = 4  # packets; any switch has room for so many
BURST_S = 0.006  # so much may be caught up after the processor was busy
MAX_LISTENERS = 256
BUFFER_BYTES = 4 * 1024 * 1024
LOOP_OFF = b"\0"

Offered = Mapping[bytes, tuple[TorrentFile, Path]]


@dataclass
class Audience:
    """Who listens to one file, and what they lack. Pure; the clock is told."""

    pieces: int
    pace: Pace
    _lacking: dict[str, int] = field(default_factory=dict)
    _turns: dict[str, int] = field(default_factory=dict)
    _heard: dict[str, float] = field(default_factory=dict)
    _sent: deque[tuple[float, int]] = field(default_factory=deque)
    _recent: int = 0
    _cursor: int = 0
    _again: dict[tuple[int, int], float] = field(default_factory=dict)
    was_heard: bool = False

    def hear(self, report: Report, now: float) -> None:
        """Take in a report; an old one that came late, or nonsense, changes nothing."""
        name = report.listener
        if report.pieces != self.pieces or report.turn <= self._turns.get(name, -1):
            return
        if name not in self._turns and len(self._turns) >= MAX_LISTENERS:
            return
        try:
            lacking = report.lacking()
        except ValueError:
            return
        self._turns[name], self._lacking[name], self._heard[name] = report.turn, lacking, now
        self.was_heard |= report.received > 0
        if lacking:
            self.pace.hear(name, report.received, report.number, report.at, now)
            self._take_holes(report, lacking, now)
        else:
            self.pace.leave(name)

    def _take_holes(self, report: Report, lacking: int, now: float) -> None:
        """Not of a bad cable: it would ask for most packets again and again."""
        if not self.pace.hears(report.listener, now):
            return
        for piece, part in report.holes:
            if piece < self.pieces and lacking >> piece & 1 and len(self._again) < MAX_AGAIN:
                self._again.setdefault((piece, part), 0.0)

    def choose(self, now: float) -> int | None:
        """The next piece to send, of those that enough listeners lack."""
        self._forget(now)
        wanted = lacked_by_two(
            lacking for name, lacking in self._lacking.items() if self.pace.hears(name, now)
        )
        wanted &= ~self._recent
        if not wanted:
            return None
        ahead = wanted >> self._cursor << self._cursor
        piece = first_of(ahead or wanted)
        self._cursor = piece + 1
        self._recent |= 1 << piece
        self._sent.append((now, piece))
        return piece

    def holes(self, now: float) -> dict[int, set[int]]:
        """Single packets to send again now: parts by piece."""
        due: dict[int, set[int]] = {}
        for (piece, part), sent in self._again.items():
            if not sent:
                due.setdefault(piece, set()).add(part)
                self._again[piece, part] = now
        return due

    def _forget(self, now: float) -> None:
        for hole in [hole for hole, at in self._again.items() if at and now - at > AGAIN_S]:
            del self._again[hole]
        while self._sent and now - self._sent[0][0] > RECENT_S:
            self._recent &= ~(1 << self._sent.popleft()[1])
        for name in [name for name, at in self._heard.items() if now - at > FORGET_S]:
            for known in (self._lacking, self._turns, self._heard):
                known.pop(name, None)


def lacked_by_two(sets: Iterable[int]) -> int:
    """The bits that are set in at least two of these numbers."""
    once = twice = 0
    for bits in sets:
        twice |= once & bits
        once |= bits
    return twice


def first_of(bits: int) -> int:
    """The lowest bit that is set."""
    return (bits & -bits).bit_length() - 1


class Carousel:
    """Sends what is `offer`ed and asked for; use as a context manager on the station's wire."""

    def __init__(self, station: IPv4Interface) -> None:
        self._station = station
        self._offered: Offered = {}
        self._rounds: dict[bytes, _Round] = {}
        self._resting: dict[bytes, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="carousel", daemon=True)
        self._ears: socket.socket | None = None

    def __enter__(self) -> Carousel:
        try:
            self._ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._ears.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
            self._ears.bind((str(self._station.ip), PORT))
        except OSError as error:
            log.error("No carousel, machines share among themselves: port %s, %s", PORT, error)
            return self
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        for turning in self._rounds.values():
            turning.stop()
        if self._ears is not None:
            self._ears.close()

    def offer(self, files: Iterable[tuple[TorrentFile, Path]]) -> None:
        """These files may be asked for from now on, and no others."""
        self._offered = {entry.root[:ROOT_BYTES]: (entry, path) for entry, path in files}

    def rates(self) -> dict[bytes, float]:
        """Bytes of payload per second of every file that is being sent, by its root's begin."""
        return {root: turning.rate for root, turning in list(self._rounds.items()) if turning.rate}

    def _run(self) -> None:
        assert self._ears is not None
        while not self._stop.is_set():
            if select.select([self._ears], [], [], 0.5)[0]:
                data, (address, _) = self._ears.recvfrom(MAX_REPORT_BYTES)
                if IPv4Address(address) in self._station.network:
                    self._hear(read_report(data))
            self._sweep()

    def _hear(self, report: Report | None) -> None:
        root = bytes.fromhex(report.root) if report else b""
        if report is None or root not in self._offered:
            return
        if time.monotonic() < self._resting.get(root, 0.0):
            return
        if root not in self._rounds:
            self._rounds[root] = _Round(self._station, *self._offered[root])
        self._rounds[root].hear(report)

    def _sweep(self) -> None:
        for root, turning in list(self._rounds.items()):
            if root not in self._offered:
                turning.stop()
            if turning.over:
                if turning.unheard:
                    self._resting[root] = time.monotonic() + UNHEARD_S
                del self._rounds[root]


class _Round:
    """One file, sent by a thread of its own for as long as somebody needs it."""

    def __init__(self, station: IPv4Interface, entry: TorrentFile, path: Path) -> None:
        self._entry, self._path = entry, path
        now = time.monotonic()
        self._audience = Audience(len(entry.pieces), Pace(now))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.unheard = False
        self._number = 0
        self._due = self._busy = now
        self._to = (str(group_of(entry.root)), PORT)
        self._mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, station.ip.packed)
        self._mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        self._mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, LOOP_OFF)
        self._thread = threading.Thread(target=self._run, name="carousel-file", daemon=True)
        self._thread.start()

    @property
    def rate(self) -> float:
        """Bytes of payload per second; 0 when nothing was sent for a moment, or nobody hears."""
        turns = self._audience.was_heard and time.monotonic() - self._busy < TURNING_S
        return self._audience.pace.rate if turns else 0.0

    @property
    def over(self) -> bool:
        return not self._thread.is_alive()

    def hear(self, report: Report) -> None:
        with self._lock:
            self._audience.hear(report, time.monotonic())

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._mouth, self._path.open("rb") as file:
                self._turn(file.fileno())
        except OSError as error:
            log.error("The carousel of %s stopped: %s", self._path, error)
            self.unheard = True

    def _turn(self, file: int) -> None:
        while not self._stop.is_set():
            now = time.monotonic()
            with self._lock:
                self._audience.pace.turn(now)
                piece = self._audience.choose(now)
                holes = self._audience.holes(now)
                rate = self._audience.pace.rate
            for again, parts in sorted(holes.items()):
                self._send(file, again, rate, parts)
                self._busy = now
            if piece is not None:
                self._send(file, piece, rate)
                self._busy = now
            elif now - self._busy > IDLE_S:
                self.unheard = self._number > 0 and not self._audience.was_heard
                break
            else:
                self._stop.wait(LOOK_S)

    def _send(
        self, file: int, piece: int, rate: float, only: Collection[int] | None = None
    ) -> None:
        """One piece, or `only` some parts of it, evenly spread over the time that it may take."""
        start, stop = self._entry.span(piece)
        data = memoryview(os.pread(file, stop - start, start))
        if len(data) != stop - start:
            raise OSError(f"{self._path} is shorter than its torrent says")
        count, root = count_of(len(data)), self._entry.root[:ROOT_BYTES]
        for index, first, last in parts_of(len(data)):
            if only is not None and index not in only:
                continue
            self._wait(PAYLOAD / rate)
            head = Head(root, self._number, piece, index, count)
            self._number = (self._number + 1) % NUMBERS
            self._mouth.sendmsg([head.pack(), data[first:last]], [], 0, self._to)

    def _wait(self, seconds: float) -> None:
        """Until the next packet is due, or so few of them that they may go together."""
        now = time.monotonic()
        self._due = max(self._due + seconds, now - BURST_S)
        if self._due - now > TOGETHER * seconds:
            time.sleep(self._due - now)
