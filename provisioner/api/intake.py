"""The operator's doors for intake: who a machine is, its grade, labels and certificates."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response, Security
from pydantic import Field

from provisioner.accounts.roles import Right
from provisioner.api import problems, reading, views
from provisioner.api.auth import TheWho, may
from provisioner.api.operator import BEARER, PREFIX, Number, TheStation, Word
from provisioner.documents import certificates
from provisioner.documents.disks_csv import disks_csv
from provisioner.documents.labels import Form, labels_pdf, machines_of_batch
from provisioner.documents.papers import certificate_pdf
from provisioner.errors import WrongStateError
from provisioner.model.base import Model, ShortText
from provisioner.model.certificate import BatchCertificate, Paper
from provisioner.model.grade import Letter, Looked
from provisioner.workshop import desk, errands, grades, recognition
from provisioner.workshop.grades import MachineGrade
from provisioner.workshop.station import Station

Language = Literal["en", "zh"]
Skip = Annotated[int, Query(ge=0, le=20, description="places of the sheet already used up")]
router = APIRouter(
    prefix=PREFIX,
    dependencies=[Security(BEARER)],
    responses=problems.responses(
        HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.UNPROCESSABLE_ENTITY
    ),
)
_NOT_FOUND = problems.responses(HTTPStatus.NOT_FOUND)
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": _BINARY}}, **_NOT_FOUND,
}  # fmt: skip
_PDF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/pdf": _BINARY}}, **_NOT_FOUND,
}  # fmt: skip
_CHANGES = problems.responses(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)


class Who(Model):
    """Which machine a newcomer is; without a tag, one that was never here."""

    tag: ShortText | None = Field(None, min_length=1)


class Answered(Model):
    """The machine that the answer led to; without a tag while no batch is open."""

    id: int
    asset_tag: str


@router.post(
    "/waiting/{number}/who",
    tags=["machines"],
    summary="Say who a machine is that shares a part with a known one",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def say_who(station: TheStation, who: TheWho, number: Number, answer: Who) -> Answered:
    with station.database.transaction() as session:
        row = recognition.say_who(station, session, number, answer.tag, who.actor)
        return Answered(id=row.id, asset_tag=row.asset_tag or "")


class Issued(Model):
    """A certificate that was issued: its number is its address below /certificates."""

    number: str
    sha256: str = Field(description="of the signed file, as the PDF prints it")


class GradeChange(Model):
    """A grade that a person gives against the rules, and why."""

    letter: Letter
    reason: ShortText = Field(min_length=3)


class LookedAt(Model):
    """What a person found on the checklist: screen, keyboard, ports, sound, case."""

    found: dict[str, Looked] = Field(max_length=10)


@router.get(
    "/machines/{tag}/label",
    tags=["documents"],
    summary="A machine's label as PDF",
    response_class=Response,
    responses=_PDF,
)
def machine_label(
    station: TheStation, tag: Word, language: Language = "en", form: Form = Form.SINGLE
) -> Response:
    with station.database.reading() as session:
        machine = desk.find_machine(session, tag)
        return pdf(labels_pdf(station, session, [machine], form, language), f"{tag}-label")


@router.get(
    "/batches/{name}/labels",
    tags=["documents"],
    summary="The labels of a batch as PDF, by seat",
    response_class=Response,
    responses=_PDF,
)
def batch_labels(
    station: TheStation, name: Word, language: Language = "en", form: Form = Form.SHEET,
    skip: Skip = 0,
) -> Response:  # fmt: skip
    with station.database.reading() as session:
        machines = machines_of_batch(session, name)
        return pdf(labels_pdf(station, session, machines, form, language, skip), f"{name}-labels")


@router.post(
    "/machines/{tag}/certificate",
    tags=["documents"],
    summary="Issue the certificate of a machine's erased disk",
    status_code=HTTPStatus.CREATED,
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def issue_machine(station: TheStation, who: TheWho, tag: Word, paper: Paper) -> Issued:
    with station.database.transaction() as session:
        made = certificates.issue_for_machine(station, session, tag, paper, who.actor)
    return issued(station, made.number)


@router.post(
    "/batches/{name}/certificate",
    tags=["documents"],
    summary="Issue the donor's certificate: every machine and disk of a batch",
    status_code=HTTPStatus.CREATED,
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def issue_batch(station: TheStation, who: TheWho, name: Word, paper: Paper) -> Issued:
    with station.database.transaction() as session:
        made = certificates.issue_for_batch(station, session, name, paper, who.actor)
    return issued(station, made.number)


@router.get(
    "/certificates/{certificate}",
    tags=["documents"],
    summary="A certificate as the signed file (DSSE); this is what can be checked",
    response_class=Response,
    responses=_FILE,
)
def signed_file(station: TheStation, certificate: Word) -> Response:
    return attachment(
        certificates.read_certificate(station, certificate) + "\n",
        "application/json",
        f"{certificate}.json",
    )


@router.get(
    "/certificates/{certificate}/pdf",
    tags=["documents"],
    summary="A certificate as a PDF for people",
    response_class=Response,
    responses=_PDF,
)
def certificate_as_pdf(
    station: TheStation, certificate: Word, language: Language = "en"
) -> Response:
    sealed = certificates.read_certificate(station, certificate)
    return pdf(certificate_pdf(sealed, station.key.public, language), certificate)


@router.get(
    "/certificates/{certificate}/disks.csv",
    tags=["documents"],
    summary="The disks of a batch certificate as a table",
    response_class=Response,
    responses=_FILE,
)
def certificate_as_table(station: TheStation, certificate: Word) -> Response:
    return table(station, certificate)


@router.post(
    "/machines/{tag}/let-sleep",
    tags=["machines"],
    summary="Let it sleep for ten seconds before it erases, so that a frozen disk is released",
    responses=_CHANGES,
    dependencies=[may(Right.WORK)],
)
def let_sleep(station: TheStation, who: TheWho, tag: Word) -> views.MachineView:
    with station.database.transaction() as session:
        errands.let_sleep(station, session, tag, who.actor)
        return reading.machine(station, session, tag)


@router.post(
    "/machines/{tag}/memory-test",
    tags=["machines"],
    summary="Start memtest86+ at its next start over the network, until it is told to try again",
    responses=_CHANGES,
    dependencies=[may(Right.WORK)],
)
def test_memory(station: TheStation, who: TheWho, tag: Word) -> views.MachineView:
    with station.database.transaction() as session:
        errands.test_memory(station, session, tag, who.actor)
        return reading.machine(station, session, tag)


@router.get(
    "/machines/{tag}/grade",
    tags=["machines"],
    summary="A machine's grade, every rule that spoke, and what a person says",
    responses=_NOT_FOUND,
)
def get_grade(station: TheStation, tag: Word) -> MachineGrade:
    with station.database.reading() as session:
        return grades.grade_of(session, desk.find_machine(session, tag))


@router.post(
    "/machines/{tag}/grade",
    tags=["machines"],
    summary="Give a machine another grade than the rules do, with a reason",
    responses=_CHANGES,
    dependencies=[may(Right.ORDER)],
)
def change_grade(station: TheStation, who: TheWho, tag: Word, change: GradeChange) -> MachineGrade:
    with station.database.transaction() as session:
        row = grades.override_grade(station, session, tag, change.letter, change.reason, who.actor)
        session.flush()
        return grades.grade_of(session, row)


@router.post(
    "/machines/{tag}/checklist",
    tags=["machines"],
    summary="What a person found: screen, keyboard, ports, sound, case",
    responses=_CHANGES,
    dependencies=[may(Right.WORK)],
)
def look_at(station: TheStation, who: TheWho, tag: Word, looked: LookedAt) -> MachineGrade:
    with station.database.transaction() as session:
        row = grades.look_at(station, session, tag, looked.found, who.actor)
        session.flush()
        return grades.grade_of(session, row)


def issued(station: Station, number: str) -> Issued:
    content = certificates.read_certificate(station, number)
    return Issued(number=number, sha256=certificates.digest_of(content))


def pdf(content: bytes, name: str) -> Response:
    return attachment(content, "application/pdf", f"{name}.pdf")


def table(station: Station, number: str) -> Response:
    """Raises WrongStateError for the certificate of a single disk."""
    sealed = certificates.read_certificate(station, number)
    found = certificates.verify(sealed.encode(), station.key.public)
    if not isinstance(found, BatchCertificate):
        raise WrongStateError(f"{number} is about one disk only.", "Ask for its PDF.")
    return attachment(disks_csv(found), "text/csv; charset=utf-8", f"{number}-disks.csv")


def attachment(content: str | bytes, kind: str, name: str) -> Response:
    """A file to be saved; its name has no sign that a header or a folder would read."""
    plain = "".join(
        sign if (sign.isalnum() and sign.isascii()) or sign in "-." else "_" for sign in name
    )
    headers = {
        "Content-Disposition": f'attachment; filename="{plain}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Response(content, media_type=kind, headers=headers)
