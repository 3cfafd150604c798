"""Batches: the list, a new one in three steps, one batch with its papers, and its pairing."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from provisioner.accounts.roles import Right
from provisioner.api import intake, reading
from provisioner.api.auth import may
from provisioner.api.operator import Word
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.documents import certificates
from provisioner.documents.hand_over import hand_over_pdf
from provisioner.errors import NotAllowedError, ProvisionerError, WrongStateError
from provisioner.model.batch import BatchPlan, DiskRule
from provisioner.web import parts
from provisioner.web.forms import Fields, OwnForm, go, one_line, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.workshop import desk, giving, releases

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_ORDER = [may(Right.ORDER)]
MOST_MINUTES = 7 * 24 * 60


@router.get("/batches")
def batches(visitor: TheVisitor) -> Response:
    """All batches, the newest first."""
    with visitor.station.database.reading() as session:
        found = reading.batches(session)
    return visitor.page("batches", batches=found)


@router.get("/batches/new", dependencies=_ORDER)
def new_batch(visitor: TheVisitor, request: Request) -> Response:
    """School, release, policy: one question a page; what is answered stands in the address."""
    return _step(visitor, dict(request.query_params))


@forms.post("/batches", dependencies=_ORDER)
def open_batch(visitor: TheVisitor, form: OwnForm) -> Response:
    """A mistake leaves everything that was filled in where it was."""
    try:
        plan = BatchPlan.model_validate(_plan(form))
        visitor.who.must_touch(plan.school)
        with visitor.station.database.transaction() as session:
            desk.create_batch(visitor.station, session, plan, visitor.who.actor)
    except NotAllowedError:
        raise
    except ValidationError as error:
        return _step(visitor, form, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _step(visitor, form, describe(error))
    return go(f"/batches/{plan.name}")


@router.get("/batches/{name}")
def batch(visitor: TheVisitor, name: Word) -> Response:
    """One batch and its machines."""
    with visitor.station.database.reading() as session:
        seen = parts.overview(session, reading.tiles(visitor.station, session, name), name)
        row = desk.find_batch(session, name)
        issued = certificates.issued_for(session, batch_id=row.id)
        donor, donors = giving.donor_of_batch(session, row), giving.donors(session)
    return visitor.page(
        "batch", batch=seen.batches[0], seen=seen, issued=issued, width=0, donor=donor,
        donors=donors,
    )  # fmt: skip


@forms.post("/batches/{name}/close", dependencies=_ORDER)
def close_batch(visitor: TheVisitor, name: Word) -> Response:
    with visitor.station.database.transaction() as session:
        desk.close_batch(visitor.station, session, name, visitor.who.actor)
    return go(f"/batches/{name}")


@forms.post("/batches/{name}/open", dependencies=_ORDER)
def reopen_batch(visitor: TheVisitor, name: Word, form: OwnForm) -> Response:
    minutes = form.get("minutes", "")
    if not (minutes.isascii() and minutes.isdecimal() and 1 <= int(minutes[:6]) <= MOST_MINUTES):
        raise WrongStateError("Minutes are a number from 1 to 10080.", "480 is a working day.")
    with visitor.station.database.transaction() as session:
        desk.reopen_batch(visitor.station, session, name, int(minutes), visitor.who.actor)
    return go(f"/batches/{name}")


@forms.post("/batches/{name}/donor", dependencies=[may(Right.DONORS)])
def batch_donor(visitor: TheVisitor, name: Word, form: OwnForm) -> Response:
    """All machines of the batch come from one donor."""
    with visitor.station.database.transaction() as session:
        giving.gave_batch(session, name, one_line(form.get("donor", "")), visitor.who.actor)
    return go(f"/batches/{name}#papers")


@router.get("/batches/{name}/hand-over")
def hand_over_pack(visitor: TheVisitor, name: Word) -> Response:
    """The pack that goes with the machines, as PDF in the reader's language."""
    with visitor.station.database.reading() as session:
        content = hand_over_pdf(visitor.station, session, name, visitor.speech.language)
    return intake.pdf(content, f"{name}-hand-over")


def _step(
    visitor: Visitor, filled: Mapping[str, str], problem: ProblemDocument | None = None
) -> Response:
    station = visitor.station
    schools = [one for one in reading.schools(station.settings) if visitor.who.may_touch(one.id)]
    school = next((one for one in schools if one.id == filled.get("school")), None)
    with station.database.reading() as session:
        offered = releases.offered(station, session)
    release = next((one for one in offered if one.id == filled.get("release")), None)
    if school is None:
        release = None  # the first question is asked first, whatever else was answered
    number = 1 if school is None else 2 if release is None else 3
    return visitor.page(
        "batch_new", status=problem.status if problem else HTTPStatus.OK, step=number,
        schools=schools, school=school, releases=offered, release=release,
        rules=list(DiskRule), filled=filled, problem=problem,
    )  # fmt: skip


def _plan(form: Fields) -> dict[str, object]:
    plan: dict[str, object] = {
        name: form.get(name, "").strip() for name in ("name", "school", "release", "size")
    }
    return {
        **plan,
        "open_minutes": form.get("open_minutes") or 480,
        "policy": {
            "disk": form.get("disk", "only"),
            "wipe_level": form.get("wipe_level", "clear"),
            "diagnose": form.get("diagnose", "quick"),
        },
    }
