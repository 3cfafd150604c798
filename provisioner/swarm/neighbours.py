"""Finding the classroom's machines without a tracker: local service discovery on one wire.

A school may have no station in reach, and libtorrent announces no private torrent to the
neighbourhood. So this says it itself, in BEP 14's form: UDP to 239.192.152.143:6771 that no
router passes on (TTL 1), naming only files of our own. What is heard is believed as far as an
address of this wire, a port and a file that is shared here; all that follows is that a peer is
tried, and pieces are judged by their hashes as ever.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import secrets
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

log = logging.getLogger(__name__)

GROUP, PORT = "239.192.152.143", 6771  # BEP 14
MAX_DATAGRAM = 1400  # as BEP 14 demands
MAX_HASHES = 20  # in one datagram: 20 x 52 bytes and the head fit
# BEP 14 wants five minutes between announces; a machine that is switched on should not wait so
# long, and 25 machines that say 600 bytes each half-minute are 500 bytes a second.
EVERY_S = 30.0
START_S = (0.0, 1.0, 3.0)  # after a file is new: a datagram may be lost
ANSWER_S = 1.0  # somebody new is answered within so long, at random, so that not all speak at once
LEAST_BETWEEN_S = 0.5
# Limits against whoever shouts: datagrams looked at per second, peers remembered.
MAX_HEARD_A_SECOND = 200
MAX_PEERS = 512
TRY_AGAIN_S = 10.0  # the same peer for the same file
_HASH = re.compile(rb"^[0-9a-fA-F]{40}$")
_COOKIE = re.compile(rb"^[!-~]{1,64}$")

Connect = Callable[[IPv4Address, int], None]


@dataclass(frozen=True)
class Call:
    """What one datagram says: somebody on `port` has or wants these files."""

    port: int
    hashes: tuple[bytes, ...]
    cookie: bytes


def write_call(call: Call) -> bytes:
    """A datagram as BEP 14 has it."""
    lines = [b"BT-SEARCH * HTTP/1.1", b"Host: %b:%d" % (GROUP.encode(), PORT),
             b"Port: %d" % call.port, *(b"Infohash: " + h.hex().encode() for h in call.hashes),
             b"cookie: " + call.cookie]  # fmt: skip
    return b"\r\n".join(lines) + b"\r\n\r\n\r\n"


def read_call(data: bytes) -> Call | None:
    """The sense of a datagram; None for anything that is not one of these."""
    if len(data) > MAX_DATAGRAM or not data.startswith(b"BT-SEARCH * HTTP/1.1\r\n"):
        return None
    port, cookie, hashes = 0, b"", list[bytes]()
    for line in data.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        value = value.strip()
        match name.strip().lower():
            case b"port" if value.isdigit() and len(value) <= 5:
                port = int(value)
            case b"infohash" if _HASH.match(value):
                hashes.append(bytes.fromhex(value.decode()))
            case b"cookie" if _COOKIE.match(value):
                cookie = value
    if not 1 <= port <= 65535 or not 0 < len(hashes) <= MAX_HASHES:
        return None
    return Call(port, tuple(hashes), cookie)


class Room:
    """What is shared here and who else was heard; pure, with the clock handed in."""

    def __init__(self, wire: IPv4Interface, port: int, cookie: bytes) -> None:
        self._wire, self._port, self._cookie = wire, port, cookie
        self._files: dict[bytes, Connect] = {}
        self._quiet: set[bytes] = set()
        self._known: dict[tuple[IPv4Address, int], float] = {}
        self._tried: dict[tuple[IPv4Address, int, bytes], float] = {}
        self._due: list[float] = []
        self._said = self._second = float("-inf")
        self._heard = 0

    def add(self, info_hash: bytes, connect: Connect, now: float) -> None:
        """A file is shared from now on; everybody known is tried for it at once."""
        self._files[info_hash] = connect
        self._due = sorted([*self._due, *(now + later for later in START_S)])[:64]
        for address, port in self._known:
            self._try(address, port, info_hash, now)

    def listen(self, info_hash: bytes, connect: Connect) -> None:
        """A file is wanted, and nobody is told."""
        self._files[info_hash] = connect
        self._quiet.add(info_hash)

    def drop(self, info_hash: bytes) -> None:
        """A file is shared no longer; if it comes again, everybody is tried anew."""
        self._quiet.discard(info_hash)
        self._files.pop(info_hash, None)
        for key in [key for key in self._tried if key[2] == info_hash]:
            del self._tried[key]

    def to_say(self, now: float) -> list[bytes]:
        """The datagrams that are due."""
        due = bool(self._due) and self._due[0] <= now
        hashes = [name for name in self._files if name not in self._quiet]
        if not hashes or now - self._said < LEAST_BETWEEN_S:
            return []
        if not due and now - self._said < EVERY_S:
            return []
        self._due = [at for at in self._due if at > now]
        self._said = now
        groups = [hashes[at : at + MAX_HASHES] for at in range(0, len(hashes), MAX_HASHES)]
        return [write_call(Call(self._port, tuple(some), self._cookie)) for some in groups]

    def hear(self, data: bytes, sender: str, now: float) -> None:
        """Take in a datagram; what makes no sense or comes from elsewhere is passed over."""
        if now - self._second >= 1.0:
            self._second, self._heard = now, 0
        self._heard += 1
        address = self._neighbour(sender)
        if address is None or self._heard > MAX_HEARD_A_SECOND:
            return
        call = read_call(data)
        if call is None or call.cookie == self._cookie:
            return
        common = [info_hash for info_hash in call.hashes if info_hash in self._files]
        if not common:
            return
        if (address, call.port) not in self._known:
            self._due = sorted([*self._due, now + random.uniform(0, ANSWER_S)])[:64]  # noqa: S311
        self._known[address, call.port] = now
        while len(self._known) > MAX_PEERS:
            del self._known[min(self._known, key=self._known.__getitem__)]
        for info_hash in common:
            self._try(address, call.port, info_hash, now)

    def _neighbour(self, sender: str) -> IPv4Address | None:
        address = IPv4Address(sender)
        network = self._wire.network
        edges = (network.network_address, network.broadcast_address)
        if address not in network or address == self._wire.ip or address in edges:
            return None
        return address

    def _try(self, address: IPv4Address, port: int, info_hash: bytes, now: float) -> None:
        key = (address, port, info_hash)
        if now - self._tried.get(key, float("-inf")) < TRY_AGAIN_S:
            return
        if len(self._tried) > 4 * MAX_PEERS:
            self._tried.clear()
        self._tried[key] = now
        self._files[info_hash](address, port)


class Neighbours:
    """The room on a real wire, in a thread of its own; use as a context manager.

    Without a socket for it (another program holds the port, no multicast) machines find each
    other by the tracker only; that is logged and no failure.
    """

    def __init__(self, wire: IPv4Interface, port: int) -> None:
        self._room = Room(wire, port, secrets.token_hex(8).encode())
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._socket = _opened(wire)
        self._thread = threading.Thread(target=self._run, name="neighbours", daemon=True)

    def __enter__(self) -> Neighbours:
        if self._socket is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._socket is not None:
            self._socket.close()

    def add(self, info_hash: bytes, connect: Connect) -> None:
        """Say from now on that this file is shared; `connect` is told who else has it."""
        with self._lock:
            self._room.add(info_hash, connect, time.monotonic())

    def listen(self, info_hash: bytes, connect: Connect) -> None:
        """Be told who has this file, without a word on the wire."""
        with self._lock:
            self._room.listen(info_hash, connect)

    def drop(self, info_hash: bytes) -> None:
        """Say it no longer."""
        with self._lock:
            self._room.drop(info_hash)

    def _run(self) -> None:
        assert self._socket is not None
        while not self._stop.is_set():
            ready, _, _ = select.select([self._socket], [], [], 0.1)
            with contextlib.suppress(OSError):  # a cable that is out
                with self._lock:
                    say = self._room.to_say(time.monotonic())
                for data in say:
                    self._socket.sendto(data, (GROUP, PORT))
            if ready:
                self._listen(self._socket)

    def _listen(self, ears: socket.socket) -> None:
        with contextlib.suppress(OSError):
            data, sender = ears.recvfrom(MAX_DATAGRAM + 1)
            with self._lock:
                self._room.hear(data, sender[0], time.monotonic())


def _opened(wire: IPv4Interface) -> socket.socket | None:
    """A socket that speaks to the group on `wire` and hears it there; None where that fails."""
    ears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        own = wire.ip.packed
        ears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ears.bind((GROUP, PORT))  # the group's address: nothing that is sent to us alone
        member = struct.pack("4s4s", socket.inet_aton(GROUP), own)
        ears.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        ears.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, own)
        ears.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        ears.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)  # other programs here
        ears.setblocking(False)
    except OSError as error:
        log.warning("No discovery of neighbours on %s: %s", wire, error)
        ears.close()
        return None
    return ears
