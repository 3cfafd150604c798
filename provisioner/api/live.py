"""The live feed: what changed on the tiles, at most twice a second.

The board says that *something* changed; the tiles are then read again and compared with what
this listener has seen. So a listener misses nothing whatever order things happen in, and what
the command line changed in another process shows up, too, after `LOOK_EVERY_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio
from anyio.to_thread import run_sync
from sqlalchemy.orm import Session

from provisioner.api.views import TileView
from provisioner.workshop.station import Station

AT_MOST_EVERY_S = 0.5
LOOK_EVERY_S = 2.0

Look = Callable[[Session], list[TileView]]


@dataclass(frozen=True)
class Change:
    """`tiles` are new or different since the last change; `gone` are machines that left.

    `everything` is how all tiles stand now.
    """

    tiles: tuple[TileView, ...]
    gone: tuple[int, ...]
    everything: tuple[TileView, ...]


async def watch_tiles(station: Station, look: Look) -> AsyncIterator[Change]:
    """Everything that `look` finds first, then what changes, without end."""
    # Waiting holds a thread; it must not be one of those that answer requests.
    limiter = anyio.CapacityLimiter(1)
    seen: dict[int, TileView] = {}
    first = True
    while True:
        version = station.board.version
        tiles = await run_sync(_in_transaction, station, look, limiter=limiter)
        now = {tile.id: tile for tile in tiles}
        change = compare(seen, now)
        if first or change.tiles or change.gone:
            yield change
        seen, first = now, False
        await asyncio.sleep(AT_MOST_EVERY_S)
        await run_sync(
            station.board.wait, version, LOOK_EVERY_S, limiter=limiter, abandon_on_cancel=True
        )


def compare(seen: dict[int, TileView], now: dict[int, TileView]) -> Change:
    """What differs between two looks at the same machines."""
    return Change(
        tiles=tuple(tile for number, tile in now.items() if seen.get(number) != tile),
        gone=tuple(number for number in seen if number not in now),
        everything=tuple(now.values()),
    )


def _in_transaction(station: Station, look: Look) -> list[TileView]:
    with station.database.reading() as session:
        return look(session)
