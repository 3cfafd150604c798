"""The station's tracker: who else on this wire has, or wants, the same file (BEP 3, 7 and 23).

Pure state without clock or network. A peer is known by the address that its request came from,
never by one that it names; whoever is silent for a while is forgotten. There are limits on
everything, because anybody on the wire may ask.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from urllib.parse import unquote_to_bytes

from provisioner.swarm import bencode
from provisioner.swarm.bencode import Value

# A machine that starts late or again is known to all after so long at most; 25 of them make
# five short requests a second even if each shares four files at once.
INTERVAL_S = 20
FORGET_AFTER_S = 3 * INTERVAL_S
MAX_PEERS_TOLD = 50
MAX_PEERS = 512  # of one torrent
MAX_TORRENTS = 256
MAX_QUERY_BYTES = 2048
HASH_BYTES = 20


class AnnounceError(Exception):
    """The request makes no sense; the text is told to who asked."""


@dataclass(frozen=True)
class Announce:
    """What a peer says of itself: the file, its port, whether it still lacks something."""

    info_hash: bytes
    port: int
    left: int
    stopped: bool
    numwant: int


@dataclass(frozen=True)
class _Peer:
    address: IPv4Address
    port: int

    def compact(self) -> bytes:
        return self.address.packed + self.port.to_bytes(2, "big")


@dataclass(frozen=True)
class _Seen:
    at: float
    complete: bool


class Tracker:
    """Peers by torrent. `network` is the workshop's wire: nobody else is heard or told of."""

    def __init__(self, network: IPv4Network) -> None:
        self._network = network
        self._lock = threading.Lock()
        self._torrents: OrderedDict[bytes, dict[_Peer, _Seen]] = OrderedDict()

    def answer(self, query: bytes, address: str, now: float) -> bytes:
        """The bencoded answer to GET /announce?`query` from `address` at `now` (seconds).

        Nonsense gets a bencoded “failure reason”, as the protocol has it; nothing is raised.
        """
        try:
            known = parse_address(address, self._network)
            return bencode.encode(self._announce(parse_announce(query), known, now))
        except AnnounceError as error:
            return bencode.encode({b"failure reason": str(error).encode()})

    def _announce(self, asked: Announce, address: IPv4Address, now: float) -> dict[bytes, Value]:
        me = _Peer(address, asked.port)
        with self._lock:
            peers = self._peers(asked.info_hash)
            for peer in [peer for peer, seen in peers.items() if now - seen.at > FORGET_AFTER_S]:
                del peers[peer]
            peers.pop(me, None)
            others = list(peers)
            if not asked.stopped:
                while len(peers) >= MAX_PEERS:
                    del peers[next(iter(peers))]
                peers[me] = _Seen(now, asked.left == 0)
            complete = sum(seen.complete for seen in peers.values())
            incomplete = len(peers) - complete
        told = others[-asked.numwant :] if asked.numwant and not asked.stopped else []
        return {
            b"complete": complete,
            b"incomplete": incomplete,
            b"interval": INTERVAL_S,
            b"min interval": INTERVAL_S // 2,
            b"peers": b"".join(peer.compact() for peer in told),
        }

    def _peers(self, info_hash: bytes) -> dict[_Peer, _Seen]:
        peers = self._torrents.setdefault(info_hash, {})
        self._torrents.move_to_end(info_hash)
        while len(self._torrents) > MAX_TORRENTS:
            self._torrents.popitem(last=False)
        return peers


def parse_announce(query: bytes) -> Announce:
    """Read the raw query string; info_hash is 20 bytes of anything, so it is no text."""
    if len(query) > MAX_QUERY_BYTES:
        raise AnnounceError("the request is too long")
    values: dict[bytes, bytes] = {}
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        values.setdefault(unquote_to_bytes(name), unquote_to_bytes(value.replace(b"+", b" ")))
    info_hash = values.get(b"info_hash", b"")
    if len(info_hash) != HASH_BYTES:
        raise AnnounceError("info_hash must have 20 bytes")
    port = _number(values, b"port", None)
    if not 1 <= port <= 65535:
        raise AnnounceError("port must be from 1 to 65535")
    left = _number(values, b"left", 1)
    wanted = _number(values, b"numwant", MAX_PEERS_TOLD)
    return Announce(
        info_hash=info_hash,
        port=port,
        left=max(left, 0),
        stopped=values.get(b"event") == b"stopped",
        numwant=min(wanted, MAX_PEERS_TOLD) if wanted >= 0 else MAX_PEERS_TOLD,
    )


def parse_address(address: str, network: IPv4Network) -> IPv4Address:
    """Who asked, when that is somebody of this wire."""
    try:
        known = IPv4Address(address)
    except ValueError as error:
        raise AnnounceError("only addresses of this wire are served") from error
    if known not in network or known in (network.network_address, network.broadcast_address):
        raise AnnounceError("only addresses of this wire are served")
    return known


def _number(values: Mapping[bytes, bytes], name: bytes, default: int | None) -> int:
    text = values.get(name)
    if text is None and default is not None:
        return default
    if text is None or len(text) > 20 or not text.removeprefix(b"-").isdigit():
        raise AnnounceError(f"{name.decode()} must be a number")
    return int(text)
