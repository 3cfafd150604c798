"""The journal: who did what, filtered, a page at a time, and as a table to take away."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from sqlalchemy.orm import Session

from provisioner.api import intake, reading
from provisioner.api.operator import Word
from provisioner.api.views import EventView
from provisioner.documents.tables import csv_table
from provisioner.model.base import Model
from provisioner.web.page import TheVisitor

EVENTS_ON_A_PAGE = 100
# What a table holds at most; a year of a busy workshop has fewer.
MOST_EVENTS = 100_000
FIRST_YEAR, LAST_YEAR = 2000, 2200
COLUMNS = ("number", "time (UTC)", "kind", "who", "machine", "batch", "what happened", "figures")
router = APIRouter(include_in_schema=False)


class Filter(Model):
    """Which events somebody wants to see; empty means all."""

    kind: str = ""
    machine: str = ""
    actor: str = ""
    day: date | None = None

    def read(self, session: Session, *, before: int | None = None, limit: int) -> list[EventView]:
        start = datetime.combine(self.day, time()).astimezone(UTC) if self.day else None
        return reading.events(
            session, before=before, limit=limit, kind=self.kind or None,
            machine=self.machine or None, actor=self.actor or None, newest=True,
            since=start, until=start + timedelta(days=1) if start else None,
        )  # fmt: skip


def _asked(kind: Word = "", machine: Word = "", actor: Word = "", day: Word = "") -> Filter:
    try:
        wanted = date.fromisoformat(day) if day else None
    except ValueError:
        wanted = None
    if wanted is not None and not FIRST_YEAR <= wanted.year <= LAST_YEAR:
        wanted = None  # where no clock of ours has been, time zones cannot be reckoned
    return Filter(kind=kind, machine=machine, actor=actor, day=wanted)


TheFilter = Annotated[Filter, Depends(_asked)]


@router.get("/journal")
def journal(
    visitor: TheVisitor,
    asked: TheFilter,
    before: Annotated[int | None, Query(gt=0, lt=2**63)] = None,
) -> Response:
    """Who did what, the newest first."""
    with visitor.station.database.reading() as session:
        events = asked.read(session, before=before, limit=EVENTS_ON_A_PAGE)
        kinds, actors = reading.event_kinds(session), reading.event_actors(session)
    older = events[-1].id if len(events) == EVENTS_ON_A_PAGE else None
    return visitor.page(
        "journal", events=events, kinds=kinds, actors=actors, asked=asked, older=older
    )


@router.get("/journal.csv")
def journal_table(visitor: TheVisitor, asked: TheFilter) -> Response:
    """The same events as a table; sentences in the reader's language."""
    with visitor.station.database.reading() as session:
        events = asked.read(session, limit=MOST_EVENTS)
    rows = (
        (
            event.id, event.at.isoformat(timespec="seconds"), event.kind, event.actor,
            event.machine, event.batch, visitor.speech.event(event),
            json.dumps(event.data, ensure_ascii=False, sort_keys=True),
        )
        for event in events
    )  # fmt: skip
    return intake.attachment(csv_table(COLUMNS, rows), "text/csv; charset=utf-8", "journal.csv")
