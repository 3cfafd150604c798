"""Live parts of a page, as HTML by server-sent events.

The same templates make the first paint and every change, so a page looks the same before,
during and without the stream.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter
from sse_starlette import EventSourceResponse

from provisioner.api import reading
from provisioner.api.live import watch_tiles
from provisioner.api.operator import HEARTBEAT_S, Word
from provisioner.api.views import TileView
from provisioner.web import parts
from provisioner.web.page import TheVisitor, Visitor
from provisioner.workshop import desk

router = APIRouter(include_in_schema=False)
Sent = dict[str, str]


@router.get("/live")
def live(visitor: TheVisitor, batch: Word | None = None) -> EventSourceResponse:
    """The tiles of Today, or of one batch."""
    if batch is not None:
        with visitor.station.database.reading() as session:
            desk.find_batch(session, batch)
    return EventSourceResponse(_tiles(visitor, batch), ping=HEARTBEAT_S)


@router.get("/machines/{tag}/live")
def live_machine(visitor: TheVisitor, tag: Word) -> EventSourceResponse:
    """What changes on one machine's page."""
    with visitor.station.database.reading() as session:
        number = desk.find_machine(session, tag).id
    return EventSourceResponse(_machine(visitor, tag, number), ping=HEARTBEAT_S)


async def _tiles(visitor: Visitor, batch: str | None) -> AsyncIterator[Sent]:
    before, station = ("", ""), visitor.station
    async for change in watch_tiles(station, lambda s: reading.tiles(station, s, batch)):
        for tile in change.tiles:
            html = visitor.fragment("_tile", tile=tile)
            yield _part(f"tile-{tile.id}", html, parts.order_of(tile))
        for number in change.gone:
            yield {"event": "gone", "data": json.dumps({"id": f"tile-{number}"})}
        batches, hands = await run_sync(_around, visitor, batch, change.everything)
        if batches != before[0]:
            yield _part("batches", batches)
        if hands != before[1]:
            yield _part("hands", hands)
        before = (batches, hands)


async def _machine(visitor: Visitor, tag: Word, number: int) -> AsyncIterator[Sent]:
    stages, station = "", visitor.station
    async for change in watch_tiles(station, lambda s: reading.tile(station, s, number)):
        for tile in change.tiles:
            seen = await run_sync(_seen, visitor)
            yield _part("status", visitor.fragment("_status", tile=tile, seen=seen))
        html = await run_sync(_stages, visitor, tag)
        if html != stages:
            stages = html
            yield _part("stages", html)


async def redrawn(name: str, draw: Callable[[], str], every_s: float) -> AsyncIterator[Sent]:
    """A part of a page, drawn every so often and sent whenever it looks different."""
    before = ""
    while True:
        html = await run_sync(draw)
        if html != before:
            before = html
            yield _part(name, html)
        await anyio.sleep(every_s)


def _part(name: str, html: str, order: str | None = None) -> Sent:
    return {"event": "part", "data": json.dumps({"id": name, "html": html, "order": order})}


def _around(visitor: Visitor, batch: str | None, tiles: Sequence[TileView]) -> tuple[str, str]:
    """What stands around the tiles: the batches, and who needs a hand."""
    with visitor.station.database.reading() as session:
        seen = parts.overview(session, tiles, batch)
    return (
        visitor.fragment("_batches", batches=seen.batches),
        visitor.fragment("_hands", hands=seen.hands, halted=seen.halted),
    )


def _stages(visitor: Visitor, tag: Word) -> str:
    with visitor.station.database.reading() as session:
        view = reading.machine(visitor.station, session, tag)
    return visitor.fragment("_stages", machine=view)


def _seen(visitor: Visitor) -> int:
    with visitor.station.database.reading() as session:
        return desk.last_event(session)
