"""Whose turn it is to ask the station: one machine for the whole room, and which pieces.

Pure. 25 machines that lack the same piece must not fetch it 25 times through one thin line. Each
sees for itself which pieces no neighbour has, and who else lacks something; among those the
lowest address asks the station, and gives to the others. Nobody is told so: if that one does not
bring anything, the next one takes over after a while, and in the end everybody helps himself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

# At 64 kbit/s, the thinnest line that makes sense, a piece of 128 KiB takes 16 s.
PATIENCE_S = 20.0
MOST_PATIENCE_S = 120.0
# A prime, so that neighbouring addresses begin far apart from each other in the file
_STRIDE = 2_654_435_761


@dataclass(frozen=True)
class Outlook:
    """What a machine sees of one file: itself, neighbours that lack something, since how many
    seconds none of them has brought anything, and whether it has met them all."""

    me: IPv4Address
    takers: frozenset[IPv4Address]
    silent_s: float
    settled: bool


def may_ask(outlook: Outlook) -> bool:
    """Whether to ask the station now for pieces that no neighbour has."""
    if not outlook.settled:
        return False
    return outlook.silent_s >= patience(outlook)


def patience(outlook: Outlook) -> float:
    """Seconds of silence before it is this machine's turn; 0 for the lowest address."""
    before = sum(other < outlook.me for other in outlook.takers)
    return min(before * PATIENCE_S, MOST_PATIENCE_S)


def lost_patience(outlook: Outlook) -> bool:
    """Whether to ask even for pieces that neighbours have, because they do not give them."""
    return outlook.settled and outlook.silent_s >= patience(outlook) + PATIENCE_S


def choose_pieces(
    missing: Iterable[int], begin: int, cost: Callable[[int], int], most_bytes: int, most: int
) -> list[int]:
    """The next pieces from `begin` on, round the end, at most so many bytes of cost."""
    ordered = sorted(missing)
    at = next((n for n, piece in enumerate(ordered) if piece >= begin), 0)
    chosen: list[int] = []
    total = 0
    for piece in itertools.islice(itertools.chain(ordered[at:], ordered[:at]), most):
        total += cost(piece)
        if chosen and (total > most_bytes or piece < chosen[-1]):
            break
        chosen.append(piece)
    return chosen


def first_place(me: IPv4Address, pieces: int) -> int:
    """Where in a file of so many pieces a machine begins: not where the others do."""
    return int(me) * _STRIDE % max(pieces, 1)


def lonely(missing: Sequence[int], around: Sequence[int]) -> list[int]:
    """The missing pieces that no neighbour has."""
    return [piece for piece in missing if piece >= len(around) or not around[piece]]
