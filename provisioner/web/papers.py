"""Paper and judgement on the pages: labels, certificates, grades, a person's checklist."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from provisioner.accounts.roles import Right
from provisioner.api import intake
from provisioner.api.auth import may
from provisioner.api.operator import Word
from provisioner.documents import certificates
from provisioner.documents.labels import Form, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_pdf
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.model.certificate import Paper, Person
from provisioner.model.grade import CHECKLIST, Letter, Looked
from provisioner.web.forms import Fields, OwnForm, go, one_line, read_own_form
from provisioner.web.page import HEADERS, TheVisitor
from provisioner.workshop import desk, giving, grades, photos

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])


@router.get("/machines/{tag}/label")
def machine_label(visitor: TheVisitor, tag: Word, form: Form = Form.SINGLE) -> Response:
    with visitor.station.database.reading() as session:
        machine = desk.find_machine(session, tag)
        content = labels_pdf(visitor.station, session, [machine], form, visitor.speech.language)
    return intake.pdf(content, f"{tag}-label")


@router.get("/batches/{name}/labels")
def batch_labels(visitor: TheVisitor, name: Word, form: Form = Form.SHEET) -> Response:
    with visitor.station.database.reading() as session:
        machines = machines_of_batch(session, name)
        content = labels_pdf(visitor.station, session, machines, form, visitor.speech.language)
    return intake.pdf(content, f"{name}-labels")


@router.get("/certificates/{certificate}")
def signed_file(visitor: TheVisitor, certificate: Word) -> Response:
    return intake.signed_file(visitor.station, certificate)


@router.get("/certificates/{certificate}/pdf")
def certificate_as_pdf(visitor: TheVisitor, certificate: Word) -> Response:
    station = visitor.station
    sealed = certificates.read_certificate(station, certificate)
    content = certificate_pdf(sealed, station.key.public, visitor.speech.language)
    return intake.pdf(content, certificate)


@router.get("/certificates/{certificate}/disks.csv")
def certificate_as_table(visitor: TheVisitor, certificate: Word) -> Response:
    return intake.table(visitor.station, certificate)


@router.get("/machines/{tag}/checklist")
def checklist(visitor: TheVisitor, tag: Word) -> Response:
    """What only a person sees, hears and touches; the label's QR code leads here."""
    with visitor.station.database.reading() as session:
        row = desk.find_machine(session, tag)
        grade, name = grades.grade_of(session, row), row.asset_tag or ""
    return visitor.page("checklist", tag=name, grade=grade, parts=CHECKLIST)


@router.get("/machines/{tag}/photo")
def photo(visitor: TheVisitor, tag: Word) -> Response:
    """The photo of a machine's label."""
    with visitor.station.database.reading() as session:
        path = photos.photo_of(visitor.station, desk.find_machine(session, tag))
    if path is None:
        raise NotFoundError(f"There is no photo of {tag}.", "Take one on the machine's page.")
    return Response(path.read_bytes(), media_type="image/jpeg", headers=HEADERS)


@forms.post("/machines/{tag}/photo", dependencies=[may(Right.WORK)])
def keep_photo(request: Request, visitor: TheVisitor, tag: Word) -> Response:
    content = getattr(request.state, "files", {}).get("photo", b"")
    with visitor.station.database.transaction() as session:
        photos.keep_photo(visitor.station, session, tag, content, visitor.who.actor)
    return go(f"/machines/{tag}#photo")


@forms.post("/machines/{tag}/donor", dependencies=[may(Right.DONORS)])
def machine_donor(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        giving.gave_machine(session, tag, one_line(form.get("donor", "")), visitor.who.actor)
    return go(f"/machines/{tag}")


@forms.post("/machines/{tag}/certificate", dependencies=[may(Right.ORDER)])
def issue_for_machine(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        certificates.issue_for_machine(
            visitor.station, session, tag, _paper(form), visitor.who.actor
        )
    return go(f"/machines/{tag}#papers")


@forms.post("/batches/{name}/certificate", dependencies=[may(Right.ORDER)])
def issue_for_batch(visitor: TheVisitor, name: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        certificates.issue_for_batch(
            visitor.station, session, name, _paper(form), visitor.who.actor
        )
    return go(f"/batches/{name}#papers")


@forms.post("/machines/{tag}/grade", dependencies=[may(Right.ORDER)])
def change_grade(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    wanted = form.get("letter", "")
    if wanted not in set(Letter):
        raise WrongStateError(f"There is no grade “{wanted[:10]}”.", "Choose A, B, C or D.")
    with visitor.station.database.transaction() as session:
        grades.override_grade(
            visitor.station, session, tag, Letter(wanted), form.get("reason", ""), visitor.who.actor
        )
    return go(f"/machines/{tag}#grade")


@forms.post("/machines/{tag}/checklist", dependencies=[may(Right.WORK)])
def look_at(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    found = {part: Looked(form[part]) for part in CHECKLIST if form.get(part) in set(Looked)}
    with visitor.station.database.transaction() as session:
        grades.look_at(visitor.station, session, tag, found, visitor.who.actor)
    return go(f"/machines/{tag}#grade")


def _paper(form: Fields) -> Paper:
    return Paper(
        donor=one_line(form.get("donor", "")),
        destination=one_line(form.get("destination", "")),
        verified_by=Person(name=one_line(form.get("verified_by", ""))),
    )
