"""Parts of pages that also change live: which there are, and in which order tiles stand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from provisioner.api.views import BatchView, TileView
from provisioner.model.release import Manifest, ReleaseKind
from provisioner.model.wire import Tone
from provisioner.workshop.station import Station

_FIRST = {Tone.FAIL: 0, Tone.ASK: 1}


def order_of(tile: TileView) -> str:
    """Where a tile stands: red first, then questions, then by asset tag, newcomers last."""
    return f"{_FIRST.get(tile.tone, 2)}{tile.asset_tag or '~'}{tile.id:08d}"


def in_order(tiles: Iterable[TileView]) -> list[TileView]:
    return sorted(tiles, key=order_of)


def batches_in_work(batches: Sequence[BatchView], tiles: Sequence[TileView]) -> list[BatchView]:
    """The batches that are open or have machines in the workshop."""
    present = {tile.batch for tile in tiles}
    return [batch for batch in batches if batch.open or batch.name in present]


def installable(station: Station) -> list[Manifest]:
    """Releases that a batch may ask for, the newest first."""
    found = [m for m in station.catalog.list() if m.kind is ReleaseKind.SYSTEM]
    return found[::-1]
