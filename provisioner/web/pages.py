"""The pages that are looked at: today, a machine, and who a newcomer is."""

from __future__ import annotations

from fastapi import APIRouter, Response

from provisioner.api import reading
from provisioner.api.operator import Number, Word
from provisioner.documents import certificates
from provisioner.lifecycle import may_start
from provisioner.model.hardware import Hardware
from provisioner.web import parts
from provisioner.web.page import TheVisitor
from provisioner.workshop import bench, desk, giving, grades, photos, recognition
from provisioner.workshop.passport import seal_passport

EVENTS_ON_A_PAGE = 100
router = APIRouter(include_in_schema=False)


@router.get("/")
def today(visitor: TheVisitor) -> Response:
    """What every PC is doing, those that need a hand first."""
    with visitor.station.database.reading() as session:
        seen = parts.overview(session, reading.tiles(visitor.station, session))
        width = bench.columns(session)
    return visitor.page("today", seen=seen, width=width, widest=bench.WIDEST)


@router.get("/machines/{tag}")
def machine(visitor: TheVisitor, tag: Word) -> Response:
    """One machine: passport, evidence, events, and what a person can decide."""
    with visitor.station.database.reading() as session:
        view = reading.machine(visitor.station, session, tag)
        events = reading.events(session, machine=tag, limit=EVENTS_ON_A_PAGE, newest=True)
        row = desk.find_machine(session, tag)
        grade = grades.grade_of(session, row)
        issued = certificates.issued_for(session, machine_id=row.id)
        seen, donor = desk.last_event(session), giving.donor_of(session, row.id)
        donors = giving.donors(session)
    reached = view.tile.milestone
    return visitor.page(
        "machine",
        machine=view,
        tile=view.tile,
        events=events,
        grade=grade,
        issued=issued,
        seen=seen,
        donor=donor,
        donors=donors,
        photo=photos.photo_of(visitor.station, row) is not None,
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
