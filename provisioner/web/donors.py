"""Donors, and what came of what they gave: on the screen, as a paper, as tables."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from provisioner.accounts.roles import Right
from provisioner.api import intake
from provisioner.api.auth import may
from provisioner.api.operator import Word
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.documents.impact import Impact, declared_pupils, impact
from provisioner.documents.impact_papers import impact_csv, impact_pdf, impact_xlsx, tonnes
from provisioner.documents.tables import XLSX
from provisioner.errors import ProvisionerError
from provisioner.store.tables import now
from provisioner.web.forms import OwnForm, go, one_line, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.workshop import giving
from provisioner.workshop.giving import Donor, Receipt

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_DONORS = [may(Right.DONORS)]


@router.get("/donors")
def donors(visitor: TheVisitor) -> Response:
    """Everything that was given, by donor."""
    return _page(visitor)


@forms.post("/donors", dependencies=_DONORS)
def add_donor(visitor: TheVisitor, form: OwnForm) -> Response:
    try:
        donor = Donor(
            name=one_line(form.get("name", "")), contact=one_line(form.get("contact", ""))
        )
        with visitor.station.database.transaction() as session:
            giving.add_donor(session, donor, visitor.who.actor)
    except ValidationError as error:
        return _page(visitor, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _page(visitor, describe(error))
    return go("/donors")


@forms.post("/receipts", dependencies=_DONORS)
def add_receipt(visitor: TheVisitor, form: OwnForm) -> Response:
    names = ("number", "factory", "kilograms", "weighed_on", "donor")
    try:
        receipt = Receipt.model_validate({name: one_line(form.get(name, "")) for name in names})
        with visitor.station.database.transaction() as session:
            giving.add_receipt(session, receipt, visitor.who.actor)
    except ValidationError as error:
        return _page(visitor, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _page(visitor, describe(error))
    return go("/donors")


@router.get("/impact.pdf")
def as_paper(visitor: TheVisitor, donor: Word = "") -> Response:
    workshop = visitor.station.settings.workshop_name
    content = impact_pdf(_found(visitor, donor), workshop, visitor.speech.language)
    return intake.pdf(content, "impact")


@router.get("/impact.csv")
def as_csv(visitor: TheVisitor, donor: Word = "") -> Response:
    content = impact_csv(_found(visitor, donor), visitor.speech.language)
    return intake.attachment(content, "text/csv; charset=utf-8", "impact.csv")


@router.get("/impact.xlsx")
def as_book(visitor: TheVisitor, donor: Word = "") -> Response:
    content = impact_xlsx(_found(visitor, donor), visitor.speech.language)
    return intake.attachment(content, XLSX, "impact.xlsx")


def _found(visitor: Visitor, donor: str = "") -> Impact:
    with visitor.station.database.reading() as session:
        return impact(visitor.station, session, now().astimezone().date(), donor or None)


def _page(visitor: Visitor, problem: ProblemDocument | None = None) -> Response:
    found = _found(visitor)
    with visitor.station.database.reading() as session:
        known = giving.donors(session)
    return visitor.page(
        "donors", status=problem.status if problem else HTTPStatus.OK, found=found,
        total=found.total, pupils=declared_pupils(found), donors=known, range=tonnes,
        problem=problem,
    )  # fmt: skip
