"""The organiser's pages: contests, their schools, and entries with their stage as a picture.

Nothing of an entry reaches the browser but text that is escaped and a PNG of our own drawing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Response
from fastapi import Path as PathParam

from provisioner.contest import judging, results
from provisioner.contest.folder import Contest, contest_folders, load_contest
from provisioner.errors import ConfigError, NotFoundError
from provisioner.store.tables import now
from provisioner.web.catalogue import mark
from provisioner.web.page import HEADERS, TheVisitor, Visitor

STANDINGS = {"counts": mark("counts"), "replaced": mark("replaced by another one"),
             "late": mark("too late"), "refused": mark("is no entry")}  # fmt: skip
LATENESS = {"in-time": mark("in time"), "late": mark("late"), "too-early": mark("too early"),
            "doubtful": mark("its clock is in doubt")}  # fmt: skip
router = APIRouter(include_in_schema=False)
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
        entries = judging.entries(session, contest, found.settings)
    return visitor.page("contest", contest=found, schools=schools, entries=entries,
                        standing_words=STANDINGS, late_words=LATENESS)  # fmt: skip


@router.get("/contests/{contest}/stages/{sha256}.png")
def stage(visitor: TheVisitor, contest: ContestParam, sha256: Digest) -> Response:
    """The stage of an entry, drawn by us. Raises NotFoundError when it cannot be drawn."""
    picture = results.ensure_thumbnail(visitor.station.settings.state_dir, contest, sha256)
    if picture is None:
        raise NotFoundError("There is no picture of this entry.")
    return Response(picture.read_bytes(), media_type="image/png", headers=HEADERS)


@router.get("/contests/{contest}/entries.csv")
def table(visitor: TheVisitor, contest: ContestParam) -> Response:
    with visitor.station.database.reading() as session:
        entries = judging.entries(session, contest, _contest(visitor, contest).settings)
    text = results.entries_csv(entries)
    return _file(text.encode(), "text/csv; charset=utf-8", f"{contest}.csv")


@router.get("/contests/{contest}/entries.zip")
def everything(visitor: TheVisitor, contest: ContestParam) -> Response:
    with visitor.station.database.reading() as session:
        entries = judging.entries(session, contest, _contest(visitor, contest).settings)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "entries.zip"
        results.write_zip(entries, visitor.station.settings.state_dir, contest, out)
        return _file(out.read_bytes(), "application/zip", f"{contest}.zip")


@router.get("/contests/{contest}/judges.pdf")
def judges(visitor: TheVisitor, contest: ContestParam) -> Response:
    found = _contest(visitor, contest)
    with visitor.station.database.reading() as session:
        entries = judging.entries(session, contest, found.settings)
    content = results.judges_sheet(entries, contest, found.settings, visitor.speech.language)
    return _file(content, "application/pdf", f"{contest}-judges.pdf")


def _contest(visitor: Visitor, name: str) -> Contest:
    return load_contest(visitor.station.settings.inventories_dir, name)


def _file(content: bytes, kind: str, name: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers={**HEADERS, **disposition})
