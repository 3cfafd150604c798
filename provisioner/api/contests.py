"""Entries come in by the machines' door. Signed, hashed and judged; nothing is given out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParam
from starlette.concurrency import run_in_threadpool

from provisioner.contest.folder import load_contest
from provisioner.contest.intake import Intake
from provisioner.entry.keeping import MAX_PIECE
from provisioner.errors import UntrustedError
from provisioner.model.entry import Held
from provisioner.workshop.station import Station

MAX_SEALED = 32 * 1024
ContestParam = Annotated[str, PathParam(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
EntryParam = Annotated[str, PathParam(pattern=r"^[0-9a-f]{32}$")]


def open_intake(station: Station, contest: str) -> Intake:
    """The entries of a contest. Raises NotFoundError, ConfigError."""
    found = load_contest(station.settings.inventories_dir, contest)
    return Intake(found, station.database, station.key, station.settings.state_dir)


def entries_router(station: Station) -> APIRouter:
    """`/contests/NAME/entries/v1`, with which a courier speaks."""
    router = APIRouter(tags=["entries"])
    open_ones: dict[str, Intake] = {}

    def intake(contest: str) -> Intake:
        if contest not in open_ones:
            made = open_intake(station, contest)
            made.catch_up()
            open_ones[contest] = made
        return open_ones[contest]

    @router.post("/contests/{contest}/entries/v1")
    async def begin(contest: ContestParam, request: Request) -> Held:
        """Announce an entry; the answer says how much of it is here."""
        body = await _body(request, MAX_SEALED)
        return await run_in_threadpool(lambda: intake(contest).begin(_text(body)))

    @router.put("/contests/{contest}/entries/v1/{entry}")
    async def take(
        contest: ContestParam, entry: EntryParam, request: Request,
        offset: Annotated[int, Query(ge=0)],
    ) -> Held:  # fmt: skip
        """The next piece of an entry. Sent twice, it changes nothing."""
        body = await _body(request, MAX_PIECE)
        work: Callable[[], Held] = lambda: intake(contest).take(entry, offset, body)  # noqa: E731
        return await run_in_threadpool(work)

    return router


async def _body(request: Request, limit: int) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise UntrustedError("This is larger than any piece of an entry.")
    return body


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise UntrustedError("This is not a signed document.") from error
