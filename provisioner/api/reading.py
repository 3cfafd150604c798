"""Reading the store for people: queries that answer with views, each inside a transaction."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import Session, joinedload

from provisioner.api import rows, views
from provisioner.errors import ConfigError
from provisioner.fleet.school import (
    GROUP_VARS,
    check_school,
    find_school,
    load_school,
    school_folders,
)
from provisioner.lifecycle import WORKSHOP_GOAL, Milestone
from provisioner.settings import Settings
from provisioner.store.tables import BatchRow, EventRow, MachineRow, RunRow, now
from provisioner.workshop import bench, desk, grades
from provisioner.workshop.passport import passport
from provisioner.workshop.station import Station

READY = tuple(
    mark for mark in Milestone if WORKSHOP_GOAL.rank <= mark.rank < Milestone.RETIRED.rank
)
GONE = (Milestone.HANDED_OVER, Milestone.RETIRED)


def tiles(station: Station, session: Session, batch: str | None = None) -> list[views.TileView]:
    """The machines of a batch, or all that are in the workshop; by asset tag."""
    where: ColumnElement[bool] = MachineRow.milestone.not_in(GONE)
    if batch is not None:
        where = MachineRow.batch_id == desk.find_batch(session, batch).id
    return _tiles(station, session, where)


def tile(station: Station, session: Session, number: int) -> list[views.TileView]:
    """The machine with this number in the store, as a list of one; empty when it is unknown."""
    return _tiles(station, session, MachineRow.id == number)


def all_tiles(station: Station, session: Session) -> list[views.TileView]:
    """Every machine that is known, also those at their schools."""
    return _tiles(station, session, MachineRow.id > 0)


def machine(station: Station, session: Session, tag: str) -> views.MachineView:
    """Everything about one machine; raises NotFoundError."""
    row = desk.find_machine(session, tag)
    session.refresh(row, ["runs", "batch"])
    return rows.machine_view(tile(station, session, row.id)[0], row)


def batches(session: Session) -> list[views.BatchView]:
    """All batches, the newest first."""
    found = session.scalars(select(BatchRow).order_by(BatchRow.id.desc())).all()
    counts = _counts(session)
    return [rows.batch_view(row, counts.get(row.id, rows.Counts()), now()) for row in found]


def batch(session: Session, name: str) -> views.BatchView:
    """One batch; raises NotFoundError."""
    row = desk.find_batch(session, name)
    return rows.batch_view(row, _counts(session).get(row.id, rows.Counts()), now())


def events(
    session: Session,
    *,
    after: int = 0,
    before: int | None = None,
    limit: int = 100,
    kind: str | None = None,
    machine: str | None = None,
    actor: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    newest: bool = False,
) -> list[views.EventView]:
    """Events between `after` and `before` in order; with `newest` the last ones, newest first."""
    query = select(EventRow).where(EventRow.id > after).limit(limit)
    query = query.order_by(EventRow.id.desc() if newest else EventRow.id)
    if before is not None:
        query = query.where(EventRow.id < before)
    if kind:
        query = query.where(EventRow.kind == kind)
    if machine:
        query = query.where(EventRow.machine_id == desk.find_machine(session, machine).id)
    if actor:
        query = query.where(EventRow.actor == actor)
    if since is not None:
        query = query.where(EventRow.at >= since)
    if until is not None:
        query = query.where(EventRow.at < until)
    found = session.scalars(query).all()
    return _event_views(session, found)


def event_actors(session: Session) -> list[str]:
    """Who has done something, by name."""
    return list(session.scalars(select(EventRow.actor).distinct().order_by(EventRow.actor)))


def event_kinds(session: Session) -> list[str]:
    """The kinds that have happened, by name."""
    return list(session.scalars(select(EventRow.kind).distinct().order_by(EventRow.kind)))


def summary(session: Session, name: str) -> views.Summary:
    """What a batch has come to, with all evidence; raises NotFoundError."""
    batch_id = desk.find_batch(session, name).id
    query = select(MachineRow).where(MachineRow.batch_id == batch_id).order_by(MachineRow.asset_tag)
    machines = session.scalars(query).all()
    return views.Summary(
        machines=tuple(rows.machine_summary(passport(session, row)) for row in machines)
    )


def machines_in_service(session: Session) -> dict[str, int]:
    """School to how many machines it has that are verified or handed over."""
    query = (
        select(BatchRow.school, func.count())
        .join(MachineRow, MachineRow.batch_id == BatchRow.id)
        .where(MachineRow.milestone.in_(READY))
        .group_by(BatchRow.school)
    )
    return {row[0]: row[1] for row in session.execute(query)}


def schools(settings: Settings) -> list[views.SchoolView]:
    """The schools that have a folder, with what is wrong in it."""
    return [_school(folder) for folder in school_folders(settings.inventories_dir)]


def school(settings: Settings, name: str) -> views.SchoolView:
    """One school; raises NotFoundError. A folder with mistakes is shown, not refused."""
    return _school(find_school(settings.inventories_dir, name))


def _school(folder: Path) -> views.SchoolView:
    found = (stat for path in (folder, folder / GROUP_VARS) for stat in _stats(path))
    state = tuple(sorted((stat.st_ino, stat.st_mtime_ns, stat.st_size) for stat in found))
    return _read_school(folder, state)


def _stats(folder: Path) -> list[os.stat_result]:
    try:
        with os.scandir(folder) as entries:
            return [entry.stat() for entry in entries]
    except OSError:
        return []


@lru_cache(maxsize=2000)
def _read_school(folder: Path, state: tuple[tuple[int, int, int], ...]) -> views.SchoolView:
    """As the folder is in this state of its files: a hundred are not read anew for each page."""
    mistakes = tuple(str(error) for error in check_school(folder))
    try:
        found = load_school(folder)
    except ConfigError:
        nobody = views.Words(en=folder.name, zh=folder.name)
        return views.SchoolView(
            id=folder.name, name=nobody, province="", seats=0, mistakes=mistakes
        )
    return views.SchoolView(
        id=found.id,
        name=views.Words(en=found.settings.name.en, zh=found.settings.name.zh),
        province=found.settings.province,
        seats=len(found.seats),
        mistakes=mistakes,
    )


def _tiles(station: Station, session: Session, where: ColumnElement[bool]) -> list[views.TileView]:
    query = select(MachineRow).where(where).options(joinedload(MachineRow.batch))
    found = session.scalars(query.order_by(MachineRow.asset_tag, MachineRow.id)).all()
    latest = _latest_runs(session, [row.id for row in found])
    letters = grades.letters_of(station, session, found)
    places, at = bench.places(session), now()
    return [
        rows.tile(
            row, latest.get(row.id), station.board.get(row.id), at,
            grade=letters.get(row.id, ""), place=places.get(row.id),
        )
        for row in found
    ]  # fmt: skip


def _latest_runs(session: Session, machines: Iterable[int]) -> dict[int, rows.LatestRun]:
    newest = (
        select(func.max(RunRow.id))
        .where(RunRow.machine_id.in_(list(machines)))
        .group_by(RunRow.machine_id)
    )
    query = select(RunRow.machine_id, RunRow.verb, RunRow.state, RunRow.started_at)
    return {
        row.machine_id: rows.LatestRun(row.verb, row.state, row.started_at)
        for row in session.execute(query.where(RunRow.id.in_(newest)))
    }


def _counts(session: Session) -> dict[int, rows.Counts]:
    query = (
        select(
            MachineRow.batch_id,
            func.count(),
            func.sum(case((MachineRow.milestone.in_(READY), 1), else_=0)),
            func.sum(case((MachineRow.needs_hand.is_not(None), 1), else_=0)),
        )
        .where(MachineRow.batch_id.is_not(None))
        .group_by(MachineRow.batch_id)
    )
    return {
        number: rows.Counts(joined, ready, hands)
        for number, joined, ready, hands in session.execute(query)
    }


def _event_views(session: Session, found: Sequence[EventRow]) -> list[views.EventView]:
    machines = {row.machine_id for row in found if row.machine_id is not None}
    groups = {row.batch_id for row in found if row.batch_id is not None}
    tags = session.execute(
        select(MachineRow.id, MachineRow.asset_tag).where(MachineRow.id.in_(machines))
    )
    names = session.execute(select(BatchRow.id, BatchRow.name).where(BatchRow.id.in_(groups)))
    by_machine = {row.id: row.asset_tag for row in tags}
    by_batch = {row.id: row.name for row in names}
    return [rows.event_view(row, by_machine, by_batch) for row in found]
