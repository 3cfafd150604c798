"""The live feed: everything first, then what changed, and not more often than agreed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import pytest

from provisioner.api import live, reading
from provisioner.api.live import Change, watch_tiles
from provisioner.api.operator import _live_events
from provisioner.lifecycle import Milestone, Verb
from provisioner.store.tables import MachineRow
from provisioner.workshop import desk
from provisioner.workshop.station import Station
from tests import factories

T = TypeVar("T")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "AT_MOST_EVERY_S", 0.1)
    monkeypatch.setattr(live, "LOOK_EVERY_S", 0.4)


@pytest.fixture
def wiping(station: Station) -> MachineRow:
    factories.open_batch(station)
    with station.database.transaction() as session:
        factories.add_machine(session, 2, Milestone.VERIFIED)
        machine = factories.add_machine(session, 1, Milestone.DIAGNOSED)
        factories.start(session, machine, Verb.WIPE, 1)
    return machine


def watch(station: Station) -> AsyncIterator[Change]:
    return watch_tiles(station, lambda session: reading.tiles(station, session))


async def soon(something: Awaitable[T]) -> T:
    return await asyncio.wait_for(something, 5)


def test_a_snapshot_then_only_what_changed(station: Station, wiping: MachineRow) -> None:
    async def listen() -> None:
        changes = watch(station)
        first = await soon(anext(changes))
        assert [tile.asset_tag for tile in first.tiles] == ["PC-0001", "PC-0002"]
        station.board.show(wiping.id, "Overwriting the disk", 0.5)
        second = await soon(anext(changes))
        assert [tile.asset_tag for tile in second.tiles] == ["PC-0001"]
        assert second.tiles[0].fraction == 0.5

    asyncio.run(listen())


def test_a_flood_of_progress_comes_at_the_agreed_pace(station: Station, wiping: MachineRow) -> None:
    async def listen() -> int:
        changes = watch(station)
        await soon(anext(changes))
        heard = 0
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            station.board.show(wiping.id, "Overwriting the disk", heard / 100)
            pending = asyncio.ensure_future(anext(changes))
            while not pending.done():
                station.board.show(wiping.id, "Overwriting the disk", time.monotonic() % 1)
                await asyncio.sleep(0.002)
            heard += 1
        return heard

    assert 3 <= asyncio.run(listen()) <= 11


def test_what_another_process_changed_is_found_without_a_call(
    station: Station, wiping: MachineRow
) -> None:
    async def listen() -> Change:
        changes = watch(station)
        await soon(anext(changes))
        with station.database.transaction() as session:
            session.get_one(MachineRow, wiping.id).seat = 17
        return await soon(anext(changes))

    assert asyncio.run(listen()).tiles[0].seat == 17


def test_a_machine_that_was_handed_over_is_gone(station: Station, wiping: MachineRow) -> None:
    async def listen() -> Change:
        changes = watch(station)
        before = await soon(anext(changes))
        assert len(before.tiles) == 2
        with station.database.transaction() as session:
            desk.hand_over(station, session, "PC-0002", "test", "Ms Li")
        return await soon(anext(changes))

    assert len(asyncio.run(listen()).gone) == 1


def test_the_api_sends_a_snapshot_then_tiles(station: Station, wiping: MachineRow) -> None:
    async def listen() -> list[dict[str, Any]]:
        events = _live_events(station, factories.BATCH)
        first = await soon(anext(events))
        station.board.show(wiping.id, "Overwriting the disk", 0.25)
        return [first, await soon(anext(events))]

    snapshot, change = asyncio.run(listen())
    assert snapshot["event"] == "snapshot"
    assert len(json.loads(snapshot["data"])["tiles"]) == 2
    assert change["event"] == "tile"
    assert json.loads(change["data"])["fraction"] == 0.25
