"""The people's JSON API: everything that the dashboard and the command line do, for scripts.

It listens on loopback unless told otherwise and answers nobody without the operator's token.
Each request is one transaction; whatever changes something is done by `workshop.desk`, which
leaves an event. `make_operator_app()` is the whole application; `web` adds its pages to it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.security import HTTPBearer
from pydantic import Field, StringConstraints
from sqlalchemy.exc import IntegrityError
from sse_starlette import EventSourceResponse

from provisioner.accounts.roles import Right
from provisioner.api import problems, reading, rows, views
from provisioner.api.auth import HEALTH, Doorkeeper, Guard, TheWho, declared, may
from provisioner.api.live import watch_tiles
from provisioner.lifecycle import Verb
from provisioner.model.base import Model, ShortText
from provisioner.model.batch import BatchPlan
from provisioner.model.hardware import DiskRef
from provisioner.model.release import Manifest
from provisioner.workshop import desk
from provisioner.workshop.builds import Builds
from provisioner.workshop.passport import seal_passport
from provisioner.workshop.path import read_manifest
from provisioner.workshop.station import Station

VERSION = "1"
PREFIX = "/api/v1"
MAX_EVENTS = 1000
HEARTBEAT_S = 15


def station_of(request: Request) -> Station:
    """The station that this application belongs to."""
    station: Station = request.app.state.station
    return station


TheStation = Annotated[Station, Depends(station_of)]
# What stands in an address: PostgreSQL refuses NUL, and nothing of ours is longer.
Word = Annotated[str, StringConstraints(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]
Number = Annotated[int, Path(gt=0, lt=2**31)]
BEARER = HTTPBearer(auto_error=False, description="a token (`provisioner token add`), with scopes")
router = APIRouter(
    prefix=PREFIX,
    dependencies=[Security(BEARER)],  # for the description; `auth.Guard` is what refuses
    responses=problems.responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
_NOT_FOUND = problems.responses(HTTPStatus.NOT_FOUND)
_STREAM = {
    "schema": {
        "type": "string",
        "description": "`snapshot` {tiles: [TileView]}, then `tile` TileView and `gone` {id}",
    }
}
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class DiskAnswer(Model):
    """Which disk of a machine is to be erased and used."""

    serial: ShortText = Field(min_length=1)


class RedoRequest(Model):
    """Which stage is done again; what follows it is no longer proved."""

    verb: Verb


class Receipt(Model):
    """Who signed for a machine at the school."""

    received_by: ShortText = Field(min_length=1)


class Alive(Model):
    status: str = "ok"


def make_operator_app(station: Station, show: problems.Show | None = None) -> FastAPI:
    """The application for people and their scripts; `show` renders errors for browsers."""
    app = FastAPI(
        title="Classroom Provisioner",
        version=VERSION,
        summary="What the operator of a workshop's station sees and does.",
        openapi_url=f"{PREFIX}/openapi.json",
        # Their pages load scripts from outside, and there is no outside in a workshop.
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(declared)],
    )
    from provisioner.api import intake, leading, office, people  # they build on what stands here

    doorkeeper = Doorkeeper(station)
    app.state.station, app.state.doorkeeper = station, doorkeeper
    app.state.builds = Builds(station)
    app.add_middleware(Guard, doorkeeper=doorkeeper)
    problems.install(app, show, races=(IntegrityError,))
    app.include_router(router)
    app.include_router(intake.router)
    app.include_router(people.router)
    app.include_router(office.router)
    app.include_router(leading.router)
    app.add_api_route(HEALTH, _alive, tags=["station"], summary="Whether the station answers")
    return app


def doorkeeper_from(request: Request) -> Doorkeeper:
    """The doorkeeper of this application."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    return doorkeeper


def _alive() -> Alive:
    return Alive()


@router.get("/batches", tags=["batches"], summary="All batches, the newest first")
def list_batches(station: TheStation) -> list[views.BatchView]:
    with station.database.reading() as session:
        return reading.batches(session)


@router.post(
    "/batches",
    tags=["batches"],
    summary="Open a batch: machines that are plugged in join it",
    status_code=HTTPStatus.CREATED,
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def create_batch(station: TheStation, who: TheWho, plan: BatchPlan) -> views.BatchView:
    who.must_touch(plan.school)
    with station.database.transaction() as session:
        desk.create_batch(station, session, plan, who.actor)
        return reading.batch(session, plan.name)


@router.get("/batches/{name}", tags=["batches"], summary="One batch", responses=_NOT_FOUND)
def get_batch(station: TheStation, name: Word) -> views.BatchView:
    with station.database.reading() as session:
        return reading.batch(session, name)


@router.post(
    "/batches/{name}/close",
    tags=["batches"],
    summary="Let no further machine join; those that have joined go on",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def close_batch(station: TheStation, who: TheWho, name: Word) -> views.BatchView:
    with station.database.transaction() as session:
        desk.close_batch(station, session, name, who.actor)
        return reading.batch(session, name)


@router.get(
    "/machines",
    tags=["machines"],
    summary="All machines, or those of a batch",
    responses=_NOT_FOUND,
)
def list_machines(station: TheStation, batch: Word | None = None) -> list[views.TileView]:
    with station.database.reading() as session:
        if batch is not None:
            return reading.tiles(station, session, batch)
        return reading.all_tiles(station, session)


@router.get(
    "/machines/{tag}",
    tags=["machines"],
    summary="One machine: hardware, disks, how it starts, runs and their evidence",
    responses=_NOT_FOUND,
)
def get_machine(station: TheStation, tag: Word) -> views.MachineView:
    with station.database.reading() as session:
        return reading.machine(station, session, tag)


@router.post(
    "/machines/{tag}/try-again",
    tags=["machines"],
    summary="The cause is mended: start the stage that failed again",
    responses=_CHANGES,
    dependencies=[may(Right.WORK)],
)
def try_again(station: TheStation, who: TheWho, tag: Word) -> views.MachineView:
    with station.database.transaction() as session:
        desk.try_again(station, session, tag, who.actor)
        return reading.machine(station, session, tag)


@router.post(
    "/machines/{tag}/use-disk",
    tags=["machines"],
    summary="Say which disk is erased and used. Everything on it will be destroyed",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def use_disk(station: TheStation, who: TheWho, tag: Word, answer: DiskAnswer) -> DiskRef:
    with station.database.transaction() as session:
        return desk.use_disk(station, session, tag, answer.serial, who.actor)


@router.post(
    "/machines/{tag}/redo",
    tags=["machines"],
    summary="Do a stage again; what follows it is no longer proved",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def redo(station: TheStation, who: TheWho, tag: Word, wanted: RedoRequest) -> views.MachineView:
    with station.database.transaction() as session:
        desk.redo(station, session, tag, wanted.verb, who.actor)
        return reading.machine(station, session, tag)


@router.post(
    "/machines/{tag}/hand-over",
    tags=["machines"],
    summary="The school has signed for a verified machine",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def hand_over(station: TheStation, who: TheWho, tag: Word, receipt: Receipt) -> views.MachineView:
    with station.database.transaction() as session:
        desk.hand_over(station, session, tag, who.actor, receipt.received_by)
        return reading.machine(station, session, tag)


@router.get(
    "/machines/{tag}/passport",
    tags=["machines"],
    summary="The machine's passport in a signed envelope (DSSE)",
    responses=_NOT_FOUND,
)
def get_passport(station: TheStation, tag: Word) -> Response:
    with station.database.reading() as session:
        sealed = seal_passport(station, session, desk.find_machine(session, tag))
    return Response(sealed, media_type="application/json")


@router.get("/events", tags=["journal"], summary="What happened, in order", responses=_NOT_FOUND)
def list_events(
    station: TheStation,
    after: Annotated[int, Query(ge=0, lt=2**63, description="the last event you know")] = 0,
    limit: Annotated[int, Query(gt=0, le=MAX_EVENTS)] = 100,
    kind: Word | None = None,
    machine: Annotated[Word | None, Query(description="asset tag")] = None,
) -> list[views.EventView]:
    with station.database.reading() as session:
        return reading.events(session, after=after, limit=limit, kind=kind, machine=machine)


@router.get("/releases", tags=["releases"], summary="The releases on this station")
def list_releases(station: TheStation) -> list[views.ReleaseView]:
    return [rows.release_view(manifest) for manifest in station.catalog.list()]


@router.get(
    "/releases/{release}",
    tags=["releases"],
    summary="The manifest of a release: files, packages, licences",
    responses=problems.responses(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND),
)
def get_release(station: TheStation, release: Word) -> Manifest:
    return read_manifest(station, station.catalog.get(release).id)[0]


@router.get("/schools", tags=["schools"], summary="The schools that have a folder")
def list_schools(station: TheStation) -> list[views.SchoolView]:
    return reading.schools(station.settings)


@router.get("/schools/{name}", tags=["schools"], summary="One school", responses=_NOT_FOUND)
def get_school(station: TheStation, name: Word) -> views.SchoolView:
    return reading.school(station.settings, name)


@router.get(
    "/summary",
    tags=["station"],
    summary="What a batch has come to, with the evidence of every stage",
    responses=_NOT_FOUND,
)
def get_summary(station: TheStation, batch: Word) -> views.Summary:
    with station.database.reading() as session:
        return reading.summary(session, batch)


@router.get(
    "/live",
    tags=["station"],
    summary="Server-sent events: a snapshot of all tiles, then each tile that changes",
    response_class=EventSourceResponse,
    responses={200: {"content": {"text/event-stream": _STREAM}}, **_NOT_FOUND},
)
def live(station: TheStation, batch: Word | None = None) -> EventSourceResponse:
    if batch is not None:
        with station.database.reading() as session:
            desk.find_batch(session, batch)
    return EventSourceResponse(_live_events(station, batch), ping=HEARTBEAT_S)


async def _live_events(station: Station, batch: str | None) -> AsyncIterator[dict[str, Any]]:
    first = True
    async for change in watch_tiles(station, lambda s: reading.tiles(station, s, batch)):
        tiles = [tile.model_dump(mode="json") for tile in change.tiles]
        if first:
            yield {"event": "snapshot", "data": json.dumps({"tiles": tiles})}
        else:
            for tile in tiles:
                yield {"event": "tile", "data": json.dumps(tile)}
        for number in change.gone:
            yield {"event": "gone", "data": json.dumps({"id": number})}
        first = False
