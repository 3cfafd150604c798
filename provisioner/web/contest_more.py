"""More of the organiser's pages: an entry beside those like it; forgetting whose it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi import Path as PathParam

from provisioner.accounts.roles import Right
from provisioner.api.auth import may
from provisioner.contest import judging, results
from provisioner.contest.folder import load_contest
from provisioner.entry.receipt import read_code
from provisioner.errors import NotFoundError
from provisioner.web.forms import OwnForm, go, read_own_form
from provisioner.web.page import TheVisitor

router = APIRouter(include_in_schema=False)
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
ContestParam = Annotated[str, PathParam(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
CodeParam = Annotated[str, PathParam(pattern=r"^[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]$")]


@router.get("/contests/{contest}/alike/{code}")
def alike(visitor: TheVisitor, contest: ContestParam, code: CodeParam) -> Response:
    """An entry beside those that are like it. Raises NotFoundError."""
    found = load_contest(visitor.station.settings.inventories_dir, contest)
    with visitor.station.database.reading() as session:
        entries = judging.entries_of(session, found)
    mine = next((entry for entry in entries if entry.row.code == code), None)
    if mine is None:
        raise NotFoundError(f"No entry has the receipt {code}.")
    others = [entry for entry in entries if entry.row.code in (*mine.same_as, *mine.like)]
    return visitor.page("alike", contest=found, entries=[mine, *others], mine=mine)


@forms.post("/contests/{contest}/forget", dependencies=[may(Right.SCHOOLS)])
def forget(visitor: TheVisitor, contest: ContestParam, form: OwnForm) -> Response:
    """Forget whose an entry is: name, class, title and the signed papers go, the game stays."""
    found = load_contest(visitor.station.settings.inventories_dir, contest)
    try:
        code = read_code(form.get("code", ""))
    except ValueError as error:
        raise NotFoundError(str(error)) from error
    with visitor.station.database.transaction() as session:
        results.erase_personal(session, contest, visitor.who.actor, code=code)
    with visitor.station.database.reading() as session:
        results.erase_papers(session, visitor.station.settings.state_dir, contest)
    return go(f"/contests/{found.name}/alike/{code}")
