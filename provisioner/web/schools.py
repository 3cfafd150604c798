"""Schools: the list and the map, one school with its machines, its lease, and its file's editor."""

from __future__ import annotations

from collections import Counter
from datetime import date
from http import HTTPStatus

from fastapi import APIRouter, Depends, Response
from pydantic import ValidationError

from provisioner.accounts.roles import Right
from provisioner.api import intake, office, reading
from provisioner.api.auth import may
from provisioner.api.operator import Word
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.errors import ProvisionerError
from provisioner.fleet import rollouts
from provisioner.fleet.new_school import Draft, new_school
from provisioner.fleet.school import SETTINGS, find_school, provinces
from provisioner.store.events import note
from provisioner.store.tables import now
from provisioner.web.forms import Fields, OwnForm, go, one_line, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.web.provinces import PROVINCES, province_of
from provisioner.web.renewals import STATES
from provisioner.workshop import field_orders, giving, school_desk
from provisioner.workshop.giving import Declaration, Lease

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_SCHOOLS = [may(Right.SCHOOLS)]
SUMMER = (7, 31)


@router.get("/schools")
def schools(visitor: TheVisitor, province: Word = "", until: date | None = None) -> Response:
    """All schools; those of one province, or whose lease ends by a day."""
    today = now().astimezone().date()
    with visitor.station.database.reading() as session:
        found = office.schools(visitor.station, session, today)
    counts: Counter[str] = Counter()
    for one in found:
        unit = province_of(one.school.province)
        counts[unit.code if unit else ""] += 1
    shown = [
        one
        for one in found
        if (not province or _code(one.school.province) == province)
        and (until is None or (one.lease_ends is not None and one.lease_ends <= until))
    ]
    return visitor.page(
        "schools", schools=shown, provinces=PROVINCES, counts=counts, province=province,
        until=until, summer=next_summer(today), today=today, code_of=_code,
        due=[one for one in found if one.lease_ends and one.lease_ends <= next_summer(today)],
    )  # fmt: skip


@router.get("/schools/new", dependencies=_SCHOOLS)
def ask_for_school(visitor: TheVisitor) -> Response:
    """A new school: what nobody can guess about it."""
    return _ask(visitor, {})


@forms.post("/schools", dependencies=_SCHOOLS)
def add_school(visitor: TheVisitor, form: OwnForm) -> Response:
    """Write a new school's folder, and go on to its file."""
    name = form.get("id", "").strip()
    try:
        visitor.who.must_touch(name)
        draft = Draft.model_validate({key: form.get(key, "").strip() for key in Draft.model_fields})
        with visitor.station.database.transaction() as session:
            new_school(visitor.station.settings.inventories_dir, name, draft)
            note(session, "school-added", actor=visitor.who.actor, school=name)
    except ValidationError as error:
        return _ask(visitor, form, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _ask(visitor, form, describe(error))
    return go(f"/schools/{name}/edit")


@router.get("/schools/{school}")
def school(visitor: TheVisitor, school: Word) -> Response:
    """One school: its machines with their ages, its lease, what it declared."""
    return _school(visitor, school)


@forms.post("/schools/{school}/lease", dependencies=_SCHOOLS)
def lease(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    visitor.who.must_touch(school)
    try:
        wanted = Lease.model_validate(
            {"school": school, "begins": form.get("begins"), "ends": form.get("ends")}
        )
        find_school(visitor.station.settings.inventories_dir, school)
        with visitor.station.database.transaction() as session:
            giving.lease(session, wanted, visitor.who.actor)
    except ValidationError as error:
        return _school(visitor, school, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _school(visitor, school, describe(error))
    return go(f"/schools/{school}#lease")


@forms.post("/schools/{school}/pupils", dependencies=_SCHOOLS)
def declare(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    visitor.who.must_touch(school)
    try:
        said = Declaration.model_validate(
            {
                "school": school,
                "school_year": form.get("school_year", "").strip(),
                "pupils": form.get("pupils"),
                "declared_by": one_line(form.get("declared_by", "")),
                "declared_on": form.get("declared_on"),
            }
        )
        find_school(visitor.station.settings.inventories_dir, school)
        with visitor.station.database.transaction() as session:
            giving.declare(session, said, visitor.who.actor)
    except ValidationError as error:
        return _school(visitor, school, describe_invalid(error.errors()))
    return go(f"/schools/{school}#pupils")


@router.get("/schools/{school}/edit", dependencies=_SCHOOLS)
def editor(visitor: TheVisitor, school: Word) -> Response:
    """The editor of school.yml."""
    visitor.who.must_touch(school)
    kept = school_desk.read_file(visitor.station, school)
    return _editor(visitor, school, kept.text, kept.digest)


@router.get("/schools/{school}/school.yml")
def download(visitor: TheVisitor, school: Word) -> Response:
    """The file as it stands."""
    kept = school_desk.read_file(visitor.station, school)
    return intake.attachment(kept.text, "application/yaml", SETTINGS)


@forms.post("/schools/{school}/check", dependencies=_SCHOOLS)
def check(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """What is wrong in a text, as a part of the editor: asked for while somebody types."""
    visitor.who.must_touch(school)
    text = school_desk.as_file(form.get("text", ""))
    found = school_desk.mistakes_in(visitor.station, school, text)
    return Response(visitor.fragment("_mistakes", mistakes=found), media_type="text/html")


@forms.post("/schools/{school}/compare", dependencies=_SCHOOLS)
def compare(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """What would change, before anything does."""
    visitor.who.must_touch(school)
    text, seen = school_desk.as_file(form.get("text", "")), form.get("digest", "")
    found = school_desk.mistakes_in(visitor.station, school, text)
    if found:
        return _editor(visitor, school, text, seen, status=HTTPStatus.UNPROCESSABLE_ENTITY)
    kept = school_desk.read_file(visitor.station, school)
    return visitor.page(
        "school_compare", school=school, text=text, digest=seen,
        difference=school_desk.difference(kept.text, text), overtaken=kept.digest != seen,
    )  # fmt: skip


@forms.post("/schools/{school}/edit", dependencies=_SCHOOLS)
def save(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """Write the file; machines get it at their next configuration."""
    visitor.who.must_touch(school)
    text = school_desk.as_file(form.get("text", ""))
    if form.get("back"):
        return _editor(visitor, school, text, form.get("digest", ""))
    with visitor.station.database.transaction() as session:
        school_desk.write_file(
            visitor.station, session, school, text, form.get("digest", ""), visitor.who.actor
        )
    return go(f"/schools/{school}")


def next_summer(today: date) -> date:
    """The end of the coming July: classrooms are renewed while pupils are on holiday."""
    this_year = date(today.year, *SUMMER)
    return this_year if today <= this_year else date(today.year + 1, *SUMMER)


def _code(province: str) -> str:
    unit = province_of(province)
    return unit.code if unit else ""


def _school(visitor: Visitor, school: str, problem: ProblemDocument | None = None) -> Response:
    station, today = visitor.station, now().astimezone().date()
    view = reading.school(station.settings, school)
    with station.database.reading() as session:
        found = office.school_health(station, session, view, today)
        said = [row for row in giving.declarations(session) if row.school == school]
        batches = [one for one in reading.batches(session) if one.school == school]
        going = rollouts.going_at(session, school)
        renewing = Counter(field_orders.states(session, school)).most_common()
    return visitor.page(
        "school", status=problem.status if problem else HTTPStatus.OK, school=view,
        health=found, declarations=said, batches=batches, today=today, problem=problem,
        rollouts=going, renewing=renewing, renewal_states=STATES,
    )  # fmt: skip


def _ask(visitor: Visitor, filled: Fields, problem: ProblemDocument | None = None) -> Response:
    return visitor.page(
        "school_new", status=problem.status if problem else HTTPStatus.OK, filled=filled,
        provinces=sorted(provinces()), problem=problem,
    )  # fmt: skip


def _editor(
    visitor: Visitor, school: str, text: str, digest: str, status: int = HTTPStatus.OK
) -> Response:
    return visitor.page(
        "school_edit", status=status, school=school, text=text, digest=digest,
        mistakes=school_desk.mistakes_in(visitor.station, school, text),
    )  # fmt: skip
