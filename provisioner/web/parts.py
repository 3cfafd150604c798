"""Parts of pages that also change live: which there are, and in which order tiles stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from provisioner.api import forecast, reading
from provisioner.api.views import BatchView, TileView
from provisioner.fleet import rollouts
from provisioner.model.wire import Tone
from provisioner.store.rollout_tables import RolloutRow

_FIRST = {Tone.FAIL: 0, Tone.ASK: 1}


@dataclass(frozen=True)
class Overview:
    """What Today and a batch's page show: batches, who needs a hand, and the bench.

    On Today also rollouts that have stopped by themselves: they wait for a person, too.
    """

    batches: list[BatchView]
    hands: list[TileView]
    tiles: list[TileView]
    halted: list[RolloutRow]


def overview(session: Session, tiles: Sequence[TileView], batch: str | None = None) -> Overview:
    """Everything live, from the tiles as they are now."""
    if batch is not None:
        found = [reading.batch(session, batch)]
    else:
        found = batches_in_work(reading.batches(session), tiles)
    usual = forecast.usual_seconds(session)
    with_end = [
        one.model_copy(
            update={
                "seconds_left": forecast.batch_seconds(
                    (tile for tile in tiles if tile.batch == one.name), usual
                )
            }
        )
        for one in found
    ]
    halted = rollouts.halted(session) if batch is None else []
    return Overview(with_end, hands_first(tiles), in_order(tiles), halted)


def order_of(tile: TileView) -> str:
    """Where a tile stands on the bench: where it was put, then by asset tag, newcomers last."""
    if tile.place is not None:
        return f"{tile.place:06d}"
    return f"~{tile.asset_tag or '~'}{tile.id:08d}"


def in_order(tiles: Iterable[TileView]) -> list[TileView]:
    return sorted(tiles, key=order_of)


def hands_first(tiles: Iterable[TileView]) -> list[TileView]:
    """Those that need a hand: what has failed, then questions, then who is not heard."""
    waiting = [tile for tile in tiles if tile.needs_hand is not None or tile.silent]
    return sorted(waiting, key=lambda tile: (_FIRST.get(tile.tone, 2), order_of(tile)))


def batches_in_work(batches: Sequence[BatchView], tiles: Sequence[TileView]) -> list[BatchView]:
    """The batches that are open or have machines in the workshop."""
    present = {tile.batch for tile in tiles}
    return [batch for batch in batches if batch.open or batch.name in present]
