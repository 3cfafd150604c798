"""What a volunteer does on the pages. Every form carries the session's own secret value."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Depends, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from provisioner.api.auth import DASHBOARD_ACTOR, LOGIN, SESSION_COOKIE
from provisioner.api.operator import Number, Word
from provisioner.api.problems import ProblemDocument, describe, describe_invalid
from provisioner.errors import ProvisionerError, WrongStateError
from provisioner.lifecycle import Verb
from provisioner.model.batch import BatchPlan
from provisioner.web.forms import Fields, OwnForm, read_own_form
from provisioner.web.page import TheVisitor, Visitor
from provisioner.web.pages import batches_page
from provisioner.workshop import desk, errands, recognition

# The dependency of the whole router: no form of it can be forgotten.
router = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])


@router.post("/logout")
def log_out() -> Response:
    response = _to(LOGIN)
    response.delete_cookie(SESSION_COOKIE)
    return response


@router.post("/batches")
def open_batch(visitor: TheVisitor, form: OwnForm) -> Response:
    """A mistake leaves everything that was filled in where it was."""
    try:
        plan = BatchPlan.model_validate(_plan(form))
        with visitor.station.database.transaction() as session:
            desk.create_batch(visitor.station, session, plan, DASHBOARD_ACTOR)
    except ValidationError as error:
        return _mistaken(visitor, form, describe_invalid(error.errors()))
    except ProvisionerError as error:
        return _mistaken(visitor, form, describe(error))
    return _to("/")


@router.post("/batches/{name}/close")
def close_batch(visitor: TheVisitor, name: Word) -> Response:
    with visitor.station.database.transaction() as session:
        desk.close_batch(visitor.station, session, name, DASHBOARD_ACTOR)
    return _to(f"/batches/{name}")


@router.post("/machines/{tag}/try-again")
def try_again(visitor: TheVisitor, tag: Word) -> Response:
    with visitor.station.database.transaction() as session:
        desk.try_again(visitor.station, session, tag, DASHBOARD_ACTOR)
    return _to(f"/machines/{tag}")


@router.post("/machines/{tag}/let-sleep")
def let_sleep(visitor: TheVisitor, tag: Word) -> Response:
    with visitor.station.database.transaction() as session:
        errands.let_sleep(visitor.station, session, tag, DASHBOARD_ACTOR)
    return _to(f"/machines/{tag}")


@router.post("/machines/{tag}/memory-test")
def test_memory(visitor: TheVisitor, tag: Word) -> Response:
    with visitor.station.database.transaction() as session:
        errands.test_memory(visitor.station, session, tag, DASHBOARD_ACTOR)
    return _to(f"/machines/{tag}")


@router.post("/machines/{tag}/use-disk")
def use_disk(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    _confirmed(form, tag)
    with visitor.station.database.transaction() as session:
        desk.use_disk(visitor.station, session, tag, form.get("serial", ""), DASHBOARD_ACTOR)
    return _to(f"/machines/{tag}")


@router.post("/waiting/{number}")
def say_who(visitor: TheVisitor, number: Number, form: OwnForm) -> Response:
    who = form.get("who", "").strip()[:80]
    tag = None if who == "new" else who
    with visitor.station.database.transaction() as session:
        recognition.say_who(visitor.station, session, number, tag, DASHBOARD_ACTOR)
    return _to("/")


@router.post("/machines/{tag}/redo")
def redo(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    _confirmed(form, tag)
    wanted = form.get("verb", "")
    if wanted not in set(Verb):
        raise WrongStateError(f"There is no stage “{wanted[:40]}”.")
    with visitor.station.database.transaction() as session:
        desk.redo(visitor.station, session, tag, Verb(wanted), DASHBOARD_ACTOR)
    return _to(f"/machines/{tag}")


@router.post("/machines/{tag}/hand-over")
def hand_over(visitor: TheVisitor, tag: Word, form: OwnForm) -> Response:
    receipt = form.get("received_by", "").strip()[:200]
    if not receipt:
        raise WrongStateError("Nobody is named who signed.", "Write who received the machine.")
    with visitor.station.database.transaction() as session:
        desk.hand_over(visitor.station, session, tag, DASHBOARD_ACTOR, receipt)
    return _to(f"/machines/{tag}")


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


def _mistaken(visitor: Visitor, form: Fields, problem: ProblemDocument) -> Response:
    return batches_page(visitor, form, problem)


def _confirmed(form: Fields, tag: Word) -> None:
    """Whoever destroys data types the machine's tag; a slip of the finger is not enough."""
    if form.get("confirm", "").strip().upper() != tag.upper():
        raise WrongStateError(
            "The tag that was typed is not this machine's.",
            f"Go back and type {tag.upper()[:40]} to confirm; nothing was changed.",
        )


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=HTTPStatus.SEE_OTHER)
