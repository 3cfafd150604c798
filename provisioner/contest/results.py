"""What the organiser takes away: a zip to judge from, a table, judges' sheets; and erasure."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.contest.intake import entries_folder
from provisioner.contest.judging import Entry
from provisioner.contest.stage import thumbnail
from provisioner.documents.pdf import make_pdf
from provisioner.documents.tables import csv_table
from provisioner.errors import NotFoundError, ProofMissingError, TooSlowError
from provisioner.model.contest import ContestSettings
from provisioner.store.entry_tables import EntryRow
from provisioner.store.events import note
from provisioner.store.tables import now
from provisioner.templating import render

COLUMNS = ("code", "standing", "age group", "school", "name", "class", "title", "handed in",
           "clock doubt (s)", "received", "lateness", "sprites", "blocks", "scripts",
           "same bytes as", "alike", "extensions", "file")  # fmt: skip


def entries_csv(entries: Sequence[Entry]) -> str:
    """One line for each, for a spreadsheet."""
    return csv_table(COLUMNS, (_cells(entry) for entry in entries))


def _cells(entry: Entry) -> tuple[object, ...]:
    row, facts = entry.row, entry.facts
    return (
        row.code, entry.standing, row.age_group, row.school, entry.name, entry.form,
        row.title, row.handed_in_at.isoformat(),
        "unknown" if row.doubt_s is None else round(row.doubt_s),
        row.received_at.isoformat(), row.lateness,
        facts.sprites if facts else "", facts.blocks if facts else "",
        facts.scripts if facts else "", " ".join(entry.same_as), " ".join(entry.like),
        " ".join(facts.extensions) if facts else "", file_name(entry),
    )  # fmt: skip


def file_name(entry: Entry) -> str:
    """How an entry is called in the zip: never by anything that a pupil wrote."""
    return f"{entry.row.age_group}/{entry.row.code}.sb3"


def write_zip(entries: Sequence[Entry], state: Path, contest: str, out: Path) -> int:
    """All entries that count, with their table and thumbnails; how many. The file appears whole.

    Raises ProofMissingError when an entry's bytes are not there any more.
    """
    folder = entries_folder(state, contest)
    aside, count = out.with_name(f".{out.name}.part"), 0
    with zipfile.ZipFile(aside, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("entries.csv", entries_csv(entries))
        for entry in entries:
            if entry.standing != "counts":
                continue
            path = folder / "entries" / f"{entry.row.sha256}.sb3"
            if not path.is_file():
                raise ProofMissingError(
                    f"The file of entry {entry.row.code} is missing.",
                    "Look at the station's disk, and at its back-up.",
                )
            archive.write(path, file_name(entry))
            picture = ensure_thumbnail(state, contest, entry.row.sha256)
            if picture is not None:
                archive.write(picture, f"{entry.row.age_group}/{entry.row.code}.png")
            count += 1
    aside.replace(out)
    return count


def ensure_thumbnail(state: Path, contest: str, sha256: str) -> Path | None:
    """The PNG of an entry's stage, drawn when it is first asked for."""
    folder = entries_folder(state, contest)
    picture, failed = (folder / "thumbnails" / f"{sha256}.{kind}" for kind in ("png", "none"))
    if picture.is_file():
        return picture
    if failed.exists() or not (folder / "entries" / f"{sha256}.sb3").is_file():
        return None
    try:
        drawn = thumbnail(folder / "entries" / f"{sha256}.sb3", picture)
    except TooSlowError:
        return None  # on a busy day; it is tried again
    if not drawn:
        failed.touch()
    return picture if drawn else None


def judges_sheet(entries: Sequence[Entry], contest: str, settings: ContestSettings,
                 language: str) -> bytes:  # fmt: skip
    """A PDF with one line for each entry that counts, by age group, without names of pupils."""
    counted = [entry for entry in entries if entry.standing == "counts"]
    groups = [(getattr(group.title, language),
               [entry for entry in counted if entry.row.age_group == group.name])
              for group in settings.age_groups]  # fmt: skip
    words = {
        "zh": ("评分表", "收据号", "作品", "角色", "积木", "创意 /10", "编程 /10", "画面 /10",
               "评语", "相似"),
        "en": ("Judge's sheet", "Receipt", "Title", "Sprites", "Blocks", "Idea /10", "Code /10",
               "Looks /10", "Notes", "Alike"),
    }[language]  # fmt: skip
    return make_pdf(render("documents/judges_sheet.html.j2", language=language, words=words,
                           title=getattr(settings.title, language), contest=contest,
                           groups=groups))  # fmt: skip


def erase_personal(session: Session, contest: str, actor: str, *, code: str = "",
                   before: datetime | None = None) -> int:  # fmt: skip
    """Forget names and classes, of one entry or of all received before a moment; how many.

    The entry itself stays, without anything that says whose it is. The signed papers, which hold
    the name, are erased by `erase_papers`. Raises NotFoundError.
    """
    query = select(EntryRow).where(EntryRow.contest == contest, EntryRow.pupil.is_not(None))
    if code:
        query = query.where(EntryRow.code == code)
    elif before is not None:
        query = query.where(EntryRow.received_at < before)
    rows = session.scalars(query).all()
    if code and not rows:
        raise NotFoundError(f"No entry with a name has the receipt {code}.")
    for row in rows:
        row.pupil, row.title, row.erased_at = None, "", now()
    note(session, "entry-erased", actor=actor, contest=contest, entries=len(rows))
    return len(rows)


def erase_papers(session: Session, state: Path, contest: str) -> int:
    """Take the signed papers of erased entries from the disk; how many were there."""
    folder = entries_folder(state, contest) / "hand-ins"
    query = select(EntryRow.id).where(EntryRow.contest == contest, EntryRow.erased_at.is_not(None))
    count = 0
    for entry_id in session.scalars(query):
        path = folder / f"{entry_id}.json"
        count += path.exists()
        path.unlink(missing_ok=True)
        (folder.parent / "receipts" / path.name).unlink(missing_ok=True)
    return count


def due(settings: ContestSettings, at: datetime) -> datetime:
    """Entries received before this moment have been kept long enough."""
    return at - timedelta(days=settings.keep_personal_days)
