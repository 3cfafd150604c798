"""Renewing a school's classroom from its page: over the line, or by a stick and its receipts."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from provisioner.accounts.roles import Right
from provisioner.api.auth import may
from provisioner.api.operator import Word
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.fleet import bundle as sticks
from provisioner.fleet.school import find_school
from provisioner.model.renewal import HomesRule, When
from provisioner.store.tables import now
from provisioner.web.catalogue import mark
from provisioner.web.forms import Fields, OwnForm, go, read_own_form
from provisioner.web.page import HEADERS, TheVisitor, Visitor
from provisioner.workshop import bundles, field_orders, releases
from provisioner.workshop.field_orders import FieldState

router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_ORDER = [may(Right.ORDER)]
# A machine that is switched on speaks every few minutes; over a weekend it does not.
SILENT_HOURS = 96
STATES: dict[str, str] = {
    "": mark("nothing ordered"),
    FieldState.WAITING: mark("not told yet"),
    FieldState.GIVEN: mark("at work"),
    FieldState.DONE: mark("renewed and proved"),
    FieldState.FAILED: mark("stays with its old system"),
    FieldState.WITHDRAWN: mark("withdrawn"),
}
TONES: dict[str, str] = {
    FieldState.WAITING: "tone-wait", FieldState.GIVEN: "tone-work", FieldState.DONE: "tone-done",
    FieldState.FAILED: "tone-fail",
}  # fmt: skip
PACKED = {"Content-Encoding": "identity"}  # what is packed already is not packed once more


@router.get("/schools/{school}/renewal")
def renewal(visitor: TheVisitor, school: Word) -> Response:
    """How far the classroom is, machine by machine, and what can be ordered."""
    return _page(visitor, school)


@forms.post("/schools/{school}/renew", dependencies=_ORDER)
def renew(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """Order the renewal of every machine that has not the release yet."""
    visitor.who.must_touch(school)
    homes = _homes(form, school)
    with visitor.station.database.transaction() as session:
        field_orders.not_overtaken(session, school, _number(form.get("seen", "")))
        release = visitor.station.catalog.get(form.get("release", "")).id
        ordered = field_orders.renew_school(
            visitor.station, session, school, release, visitor.who.actor,
            when=_when(form), homes=homes,
        )  # fmt: skip
        if not ordered:
            raise WrongStateError(
                f"No machine of this school needs {release}.",
                "They have it already, or none was handed over; nothing was ordered.",
            )
    return go(f"/schools/{school}/renewal")


@forms.post("/schools/{school}/withdraw", dependencies=_ORDER)
def withdraw(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """Take back what no machine has been told yet."""
    visitor.who.must_touch(school)
    with visitor.station.database.transaction() as session:
        field_orders.not_overtaken(session, school, _number(form.get("seen", "")))
        field_orders.withdraw(visitor.station, session, school, visitor.who.actor)
    return go(f"/schools/{school}/renewal")


@forms.post("/schools/{school}/bundle", dependencies=_ORDER)
def bundle(visitor: TheVisitor, school: Word, form: OwnForm) -> Response:
    """A stick for a school without a line, as an archive that is made while it is sent."""
    visitor.who.must_touch(school)
    station, homes = visitor.station, _homes(form, school)
    # Ansible's vault is slow, and machines wait for whoever writes.
    with station.database.reading() as session:
        kept = bundles.configurations(station, session, school)
    with station.database.transaction() as session:
        release = station.catalog.get(form.get("release", "")).id
        made = bundles.order(
            station, session, school, release, visitor.who.actor, when=_when(form), homes=homes
        )
    name = f"{school}-{made.number}.zip"
    sent = {"Content-Disposition": f'attachment; filename="{name}"', **PACKED, **HEADERS}
    content = sticks.zipped(made, station.catalog, station.key, kept)
    return StreamingResponse(content, media_type="application/zip", headers=sent)


@forms.post("/schools/{school}/receipts", dependencies=_ORDER)
def receipts(visitor: TheVisitor, request: Request, school: Word) -> Response:
    """What a stick brought home: each receipt is believed by its signature and counts once."""
    visitor.who.must_touch(school)
    files = getattr(request.state, "files", {})
    with visitor.station.database.transaction() as session:
        found = bundles.take_in_files(
            visitor.station, session, sorted(files.items()), visitor.who.actor
        )
    if not found:
        raise WrongStateError(
            "No receipt was chosen.", "They lie on the stick, in the folder classroom/receipts."
        )
    return _page(visitor, school, found)


def age(at: datetime) -> int:
    """Full hours since a moment; the future of a wrong clock is now."""
    return max(0, int((now() - at).total_seconds() // 3600))


def _page(visitor: Visitor, school: str, outcomes: list[bundles.Outcome] | None = None) -> Response:
    station = visitor.station
    find_school(station.settings.inventories_dir, school)
    with station.database.reading() as session:
        offered = releases.offered(station, session)
        seen = field_orders.last_order(session, school)
        try:
            found = field_orders.standings(session, school)
        except NotFoundError:
            found = []
    counts = {state: sum(row.state == state for row in found) for state in FieldState}
    return visitor.page(
        "school_renewal", status=HTTPStatus.OK, school=school, rows=found, offered=offered,
        seen=seen, counts=counts, states=STATES, tones=TONES, outcomes=outcomes or [], age=age,
        silent_hours=SILENT_HOURS, silent=sum(age(row.last_seen) > SILENT_HOURS for row in found),
    )  # fmt: skip


def _homes(form: Fields, school: str) -> HomesRule:
    """Whoever erases pupils' files types the school's name."""
    if form.get("homes") != HomesRule.ERASE:
        return HomesRule.KEEP
    if form.get("confirm", "").strip() != school:
        raise WrongStateError(
            "To erase what pupils saved, the school's short name must be typed.",
            f"Go back and type {school} to confirm; nothing was changed.",
        )
    return HomesRule.ERASE


def _when(form: Fields) -> When:
    return When.NOW if form.get("when") == When.NOW else When.QUIET


def _number(text: str) -> int:
    return int(text[:18]) if text.isascii() and text.isdecimal() else 0
