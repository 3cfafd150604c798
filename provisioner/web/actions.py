"""What a volunteer does on the pages. Every form carries the session's own secret value."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from sqlalchemy.orm import Session

from provisioner.accounts import sessions
from provisioner.accounts.roles import Right
from provisioner.api.auth import LOGIN, SESSION_COOKIE, may, session_of
from provisioner.api.operator import Number, Word
from provisioner.errors import WrongStateError
from provisioner.lifecycle import Verb
from provisioner.web.forms import Fields, OwnForm, go, read_own_form
from provisioner.web.page import TheVisitor
from provisioner.workshop import bench, desk, errands, recognition

# The dependency of the whole router: no form of it can be forgotten.
router = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])


@router.post("/logout", dependencies=[may(Right.LOOK)])
def log_out(visitor: TheVisitor, request: Request) -> Response:
    with visitor.station.database.transaction() as session:
        sessions.end_session(session, session_of(request))
    response = go(LOGIN)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.post("/bench", dependencies=[may(Right.WORK)])
def arrange_bench(visitor: TheVisitor, form: OwnForm) -> Response:
    """The order of tiles as somebody has dragged them: the numbers of `tile-NUMBER`."""
    numbers = form.get("order", "").split()
    width = form.get("columns", "0")
    if not all(one.isascii() and one.isdecimal() and len(one) < 10 for one in (*numbers, width)):
        raise WrongStateError("An order is a list of numbers.")
    with visitor.station.database.transaction() as session:
        order = [int(number) for number in numbers]
        bench.arrange(visitor.station, session, order, int(width), visitor.who.actor)
    return go("/")


@router.post("/machines/{tag}/try-again", dependencies=[may(Right.WORK)])
def try_again(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        desk.try_again(visitor.station, session, tag, visitor.who.actor)
    return go(f"/machines/{tag}")


@router.post("/machines/{tag}/let-sleep", dependencies=[may(Right.WORK)])
def let_sleep(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        errands.let_sleep(visitor.station, session, tag, visitor.who.actor)
    return go(f"/machines/{tag}")


@router.post("/machines/{tag}/memory-test", dependencies=[may(Right.WORK)])
def test_memory(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        errands.test_memory(visitor.station, session, tag, visitor.who.actor)
    return go(f"/machines/{tag}")


@router.post("/machines/{tag}/use-disk", dependencies=[may(Right.ORDER)])
def use_disk(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    _confirmed(form, tag)
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        desk.use_disk(visitor.station, session, tag, form.get("serial", ""), visitor.who.actor)
    return go(f"/machines/{tag}")


@router.post("/waiting/{number}", dependencies=[may(Right.ORDER)])
def say_who(visitor: TheVisitor, number: Number, form: OwnForm) -> Response:
    who = form.get("who", "").strip()[:80]
    tag = None if who == "new" else who
    with visitor.station.database.transaction() as session:
        recognition.say_who(visitor.station, session, number, tag, visitor.who.actor)
    return go("/")


@router.post("/machines/{tag}/redo", dependencies=[may(Right.ORDER)])
def redo(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    _confirmed(form, tag)
    wanted = form.get("verb", "")
    if wanted not in set(Verb):
        raise WrongStateError(f"There is no stage “{wanted[:40]}”.")
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        desk.redo(visitor.station, session, tag, Verb(wanted), visitor.who.actor)
    return go(f"/machines/{tag}")


@router.post("/machines/{tag}/hand-over", dependencies=[may(Right.ORDER)])
def hand_over(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    receipt = form.get("received_by", "").strip()[:200]
    if not receipt:
        raise WrongStateError("Nobody is named who signed.", "Write who received the machine.")
    with visitor.station.database.transaction() as session:
        _not_overtaken(session, tag, form)
        desk.hand_over(visitor.station, session, tag, visitor.who.actor, receipt)
    return go(f"/machines/{tag}")


def _not_overtaken(session: Session, tag: Word, form: Fields) -> None:
    """Refuses an order from a page that another person's order has overtaken."""
    seen = form.get("seen", "")
    if seen.isascii() and seen.isdecimal():
        desk.not_overtaken(session, desk.find_machine(session, tag), int(seen[:18]))


def _confirmed(form: Fields, tag: Word) -> None:
    """Whoever destroys data types the machine's tag; a slip of the finger is not enough."""
    if form.get("confirm", "").strip().upper() != tag.upper():
        raise WrongStateError(
            "The tag that was typed is not this machine's.",
            f"Go back and type {tag.upper()[:40]} to confirm; nothing was changed.",
        )
