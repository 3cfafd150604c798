"""When a batch will be done: from how long stages took here lately, and the running ones' rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from weakref import WeakKeyDictionary

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provisioner.api.views import StepState, TileView
from provisioner.lifecycle import RunState
from provisioner.store.tables import EventRow, RunRow

# So many of the latest runs tell how long a stage takes on this bench.
LATEST = 400

Usual = Mapping[str, float]


# A page that is live asks twice a second; what it rests on changes with an event only.
_known: WeakKeyDictionary[object, tuple[int, dict[str, float]]] = WeakKeyDictionary()


def usual_seconds(session: Session) -> dict[str, float]:
    """The median duration of each stage's latest runs that proved something."""
    # The pool is one for all sessions of a database.
    store = session.get_bind().engine.pool
    newest = session.scalar(select(func.max(EventRow.id))) or 0
    kept = _known.get(store)
    if kept is None or kept[0] != newest:
        kept = _known[store] = newest, _usual(session)
    return kept[1]


def _usual(session: Session) -> dict[str, float]:
    query = (
        select(RunRow.verb, RunRow.started_at, RunRow.ended_at)
        .where(RunRow.state == RunState.SUCCEEDED, RunRow.ended_at.is_not(None))
        .order_by(RunRow.id.desc())
        .limit(LATEST)
    )
    took: dict[str, list[float]] = defaultdict(list)
    for verb, started, ended in session.execute(query):
        assert ended is not None
        took[verb].append((ended - started).total_seconds())
    return {verb: median(values) for verb, values in took.items()}


def machine_seconds(tile: TileView, usual: Usual) -> float | None:
    """Until this machine is ready; None when a person is needed first or a stage never ran here."""
    if tile.needs_hand is not None:
        return None
    total = 0.0
    for step in tile.path:
        if step.state is StepState.RUNNING and tile.seconds_left is not None:
            total += tile.seconds_left
        elif step.state is not StepState.DONE:
            if step.verb not in usual:
                return None
            total += usual[step.verb]
    return total


def batch_seconds(tiles: Iterable[TileView], usual: Usual) -> float | None:
    """Until the last machine that goes on by itself is ready; they work side by side."""
    known = [seconds for tile in tiles if (seconds := machine_seconds(tile, usual)) is not None]
    return max(known) if known and max(known) > 0 else None
