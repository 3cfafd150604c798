"""The organiser's pages: contests, their schools, and entries with their stage as a picture;
switching a contest on and off, and forgetting whose an entry is.

Nothing of an entry reaches the browser but text that is escaped and a PNG of our own drawing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi import Path as PathParam

from provisioner.accounts.roles import Right
from provisioner.api.auth import may
from provisioner.contest import judging, publishing, results
from provisioner.contest.folder import Contest, contest_folders, load_contest
from provisioner.errors import ConfigError, NotFoundError, WrongStateError
from provisioner.store.tables import now
from provisioner.web.catalogue import mark
from provisioner.web.forms import OwnForm, go, read_own_form
from provisioner.web.page import HEADERS, TheVisitor, Visitor

STANDINGS = {"counts": mark("counts"), "replaced": mark("replaced by another one"),
             "late": mark("too late"), "refused": mark("is no entry")}  # fmt: skip
LATENESS = {"in-time": mark("in time"), "late": mark("late"), "too-early": mark("too early"),
            "doubtful": mark("its clock is in doubt")}  # fmt: skip
STATE_WORDS = {"prepared": mark("Prepare: everything is brought, nothing is shown yet"),
               "on": mark("On: pupils can hand in"), "off": mark("Off: nothing more is taken"),
               "removed": mark("Removed: machines are as before")}  # fmt: skip
router = APIRouter(include_in_schema=False)
# The dependency of the whole router: no form of it can be forgotten.
forms = APIRouter(include_in_schema=False, dependencies=[Depends(read_own_form)])
_LEAD = [may(Right.ROLLOUTS)]
# Whose an entry is stands in what can be taken away: that is not for every volunteer.
_NAMES = [may(Right.SCHOOLS)]
ContestParam = Annotated[str, PathParam(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Digest = Annotated[str, PathParam(pattern=r"^[0-9a-f]{64}$")]


@router.get("/contests")
def contests(visitor: TheVisitor) -> Response:
    """All contests that have a folder."""
    inventories = visitor.station.settings.inventories_dir
    found, wrong = [], []
    for folder in contest_folders(inventories):
        try:
            found.append(load_contest(inventories, folder.name))
        except ConfigError as error:
            wrong.append((folder.name, error))
    return visitor.page("contests", contests=found, wrong=wrong)


@router.get("/contests/{contest}")
def contest_page(visitor: TheVisitor, contest: ContestParam) -> Response:
    """One contest: schools, and entries."""
    found = _contest(visitor, contest)
    with visitor.station.database.reading() as session:
        schools = judging.schools(session, contest, found.settings, now())
        entries = judging.entries_of(session, found)
        sent = judging.rollouts_of(session, contest)
    due = results.due(found.settings, now())
    return visitor.page(
        "contest", contest=found, schools=schools, entries=entries, standing_words=STANDINGS,
        late_words=LATENESS, state_words=STATE_WORDS, sent=sent, today=now(),
        due=sum(one.row.received_at < due and one.row.pupil is not None for one in entries),
    )  # fmt: skip


@forms.post("/contests/{contest}/publish", dependencies=_LEAD)
def publish(visitor: TheVisitor, contest: ContestParam, form: OwnForm) -> Response:
    """Bring the contest into a state at every enrolled school, in waves."""
    found, state = _contest(visitor, contest), form.get("state", "")
    for school in found.settings.schools:
        visitor.who.must_touch(school)
    publishing.plan_for(found, "0", state)  # an unknown state is refused before anything is built
    layer = publishing.make_layer(visitor.station, found)
    with visitor.station.database.transaction() as session:
        sent = judging.rollouts_of(session, contest)
        if sent and form.get("seen") != sent[0].name:
            raise WrongStateError(
                f"Meanwhile somebody else has started “{sent[0].name}”.",
                "Look at the page as it is now, then decide; nothing of yours was done.",
            )
        row = publishing.publish(session, found, layer, state, visitor.who.actor)
    return go(f"/rollouts/{row.name}")


@forms.post("/contests/{contest}/erase", dependencies=_LEAD)
def erase(visitor: TheVisitor, contest: ContestParam, form: OwnForm) -> Response:
    """Forget whose entries are that were kept long enough; the games stay."""
    found = _contest(visitor, contest)
    if form.get("confirm", "").strip() != contest:
        raise WrongStateError(
            "The name that was typed is not this contest's.",
            f"Go back and type {contest} to confirm; nothing was changed.",
        )
    with visitor.station.database.transaction() as session:
        before = results.due(found.settings, now())
        results.erase_personal(session, contest, visitor.who.actor, before=before)
    with visitor.station.database.reading() as session:
        results.erase_papers(session, visitor.station.settings.state_dir, contest)
    return go(f"/contests/{contest}")


@router.get("/contests/{contest}/stages/{sha256}.png")
def stage(visitor: TheVisitor, contest: ContestParam, sha256: Digest) -> Response:
    """The stage of an entry, drawn by us. Raises NotFoundError when it cannot be drawn."""
    picture = results.ensure_thumbnail(visitor.station.settings.state_dir, contest, sha256)
    if picture is None:
        raise NotFoundError("There is no picture of this entry.")
    return Response(picture.read_bytes(), media_type="image/png", headers=HEADERS)


@router.get("/contests/{contest}/entries.csv", dependencies=_NAMES)
def table(visitor: TheVisitor, contest: ContestParam) -> Response:
    with visitor.station.database.reading() as session:
        entries = judging.entries_of(session, _contest(visitor, contest))
    text = results.entries_csv(entries)
    return _file(text.encode(), "text/csv; charset=utf-8", f"{contest}.csv")


@router.get("/contests/{contest}/entries.zip", dependencies=_NAMES)
def everything(visitor: TheVisitor, contest: ContestParam) -> Response:
    with visitor.station.database.reading() as session:
        entries = judging.entries_of(session, _contest(visitor, contest))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "entries.zip"
        results.write_zip(entries, visitor.station.settings.state_dir, contest, out)
        return _file(out.read_bytes(), "application/zip", f"{contest}.zip")


@router.get("/contests/{contest}/judges.pdf")
def judges(visitor: TheVisitor, contest: ContestParam) -> Response:
    found = _contest(visitor, contest)
    with visitor.station.database.reading() as session:
        entries = judging.entries_of(session, found)
    content = results.judges_sheet(entries, contest, found.settings, visitor.speech.language)
    return _file(content, "application/pdf", f"{contest}-judges.pdf")


def _contest(visitor: Visitor, name: str) -> Contest:
    return load_contest(visitor.station.settings.inventories_dir, name)


def _file(content: bytes, kind: str, name: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers={**HEADERS, **disposition})
