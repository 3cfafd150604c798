"""The pages that are looked at: today, a machine, batches, the journal, and the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse

from provisioner.api import reading
from provisioner.api.auth import LOGIN, SESSION_COOKIE, SESSION_SECONDS
from provisioner.api.operator import Number, Word, doorkeeper_from
from provisioner.api.problems import ProblemDocument
from provisioner.documents import certificates
from provisioner.lifecycle import may_start
from provisioner.model.batch import DiskRule
from provisioner.model.hardware import Hardware
from provisioner.web import parts
from provisioner.web.forms import AnyForm
from provisioner.web.page import TheVisitor, Visitor
from provisioner.workshop import desk, grades, recognition
from provisioner.workshop.passport import seal_passport

EVENTS_ON_A_PAGE = 100
router = APIRouter(include_in_schema=False)


@router.get("/")
def today(visitor: TheVisitor) -> Response:
    """What every PC is doing, those that need a hand first."""
    with visitor.station.database.reading() as session:
        tiles = reading.tiles(visitor.station, session)
        batches = parts.batches_in_work(reading.batches(session), tiles)
    return visitor.page("today", tiles=parts.in_order(tiles), batches=batches)


@router.get("/machines/{tag}")
def machine(visitor: TheVisitor, tag: Word) -> Response:
    """One machine: passport, evidence, events, and what a person can decide."""
    with visitor.station.database.reading() as session:
        view = reading.machine(visitor.station, session, tag)
        events = reading.events(session, machine=tag, limit=EVENTS_ON_A_PAGE, newest=True)
        row = desk.find_machine(session, tag)
        grade = grades.grade_of(session, row)
        issued = certificates.issued_for(session, machine_id=row.id)
    reached = view.tile.milestone
    return visitor.page(
        "machine",
        machine=view,
        tile=view.tile,
        events=events,
        grade=grade,
        issued=issued,
        repeatable=[verb for verb in desk.REPEATABLE if may_start(verb, reached)],
    )


@router.get("/machines/{tag}/passport")
def passport(visitor: TheVisitor, tag: Word) -> Response:
    """The signed passport as a file."""
    with visitor.station.database.reading() as session:
        row = desk.find_machine(session, tag)
        sealed, name = seal_passport(visitor.station, session, row), row.asset_tag
    headers = {"Content-Disposition": f'attachment; filename="{name}.json"'}
    return Response(sealed, media_type="application/json", headers=headers)


@router.get("/waiting/{number}")
def waiting(visitor: TheVisitor, number: Number) -> Response:
    """A machine of which a person must say who it is."""
    with visitor.station.database.reading() as session:
        row = recognition.find_waiting(session, number)
        hardware, tags = Hardware.model_validate(row.hardware), recognition.candidates(session, row)
    return visitor.page("waiting", number=number, hardware=hardware, tags=tags)


@router.get("/batches")
def batches(visitor: TheVisitor) -> Response:
    """All batches, and the form for a new one."""
    return batches_page(visitor, {})


def batches_page(
    visitor: Visitor, filled: Mapping[str, str], problem: ProblemDocument | None = None
) -> Response:
    """The page of batches; `filled` is what already stands in the form, `problem` its mistake."""
    station = visitor.station
    with station.database.reading() as session:
        found = reading.batches(session)
    return visitor.page(
        "batches",
        status=problem.status if problem else 200,
        batches=found,
        schools=reading.schools(station.settings),
        releases=parts.installable(station),
        rules=list(DiskRule),
        filled=filled,
        problem=problem,
    )


@router.get("/batches/{name}")
def batch(visitor: TheVisitor, name: Word) -> Response:
    """One batch and its machines."""
    with visitor.station.database.reading() as session:
        view = reading.batch(session, name)
        tiles = reading.tiles(visitor.station, session, name)
        issued = certificates.issued_for(session, batch_id=desk.find_batch(session, name).id)
    return visitor.page("batch", batch=view, tiles=parts.in_order(tiles), issued=issued)


@router.get("/journal")
def journal(
    visitor: TheVisitor,
    kind: Word = "",
    machine: Word = "",
    before: Annotated[int | None, Query(gt=0, lt=2**63)] = None,
) -> Response:
    """Who did what, the newest first."""
    with visitor.station.database.reading() as session:
        events = reading.events(
            session, before=before, limit=EVENTS_ON_A_PAGE, kind=kind or None,
            machine=machine or None, newest=True,
        )  # fmt: skip
        kinds = reading.event_kinds(session)
    older = events[-1].id if len(events) == EVENTS_ON_A_PAGE else None
    return visitor.page(
        "journal", events=events, kinds=kinds, kind=kind, machine=machine, older=older
    )


@router.get(LOGIN)
def login(visitor: TheVisitor, next: str = "/") -> Response:
    """The way in."""
    return visitor.page("login", next=next, wrong=False)


@router.post(LOGIN)
def log_in(request: Request, visitor: TheVisitor, form: AnyForm) -> Response:
    """The token is typed once; a session follows."""
    doorkeeper = doorkeeper_from(request)
    if not doorkeeper.knows(form.get("token", "")):
        return visitor.page("login", status=403, next=form.get("next", "/"), wrong=True)
    response = RedirectResponse(_inside(form.get("next", "/")), status_code=303)
    response.set_cookie(
        SESSION_COOKIE,
        doorkeeper.new_session(),
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _inside(address: str) -> str:
    """An address of this station; anything that could lead elsewhere becomes the first page."""
    if address.startswith("/") and not address.startswith("//") and "\\" not in address:
        return address if address.isprintable() else "/"
    return "/"
