"""A school's file changed on the screen: checked as it is typed, compared, then written whole.

Only `school.yml` is edited here, never a vault: what is secret stays with ansible-vault.
"""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from provisioner.errors import WrongStateError
from provisioner.fleet.school import SETTINGS, check_school, find_school
from provisioner.store.events import note
from provisioner.workshop.station import Station

LARGEST = 64 * 1024


@dataclass(frozen=True)
class Mistake:
    """What is wrong in a text, and in which line, when that is known."""

    text: str
    hint: str
    line: int | None


@dataclass(frozen=True)
class SchoolFile:
    """The file as it is now; `digest` names this state of it."""

    text: str
    digest: str


def read_file(station: Station, school: str) -> SchoolFile:
    """Raises NotFoundError."""
    text = (_folder(station, school) / SETTINGS).read_text(encoding="utf-8")
    return SchoolFile(text, digest_of(text))


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def as_file(text: str) -> str:
    """What a browser sends, with the line ends of a file."""
    plain = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") + "\n"
    if len(plain.encode()) > LARGEST:
        raise WrongStateError("This is longer than any school's file.", "Is it the right text?")
    return plain


def mistakes_in(station: Station, school: str, text: str) -> list[Mistake]:
    """What would be wrong in the school's folder with this text; empty when nothing is."""
    folder = _folder(station, school)
    with tempfile.TemporaryDirectory(prefix="school-") as aside:
        trial = Path(aside) / folder.name
        trial.mkdir()
        for path in folder.iterdir():
            if path.name != SETTINGS:
                (trial / path.name).symlink_to(path.resolve())
        (trial / SETTINGS).write_text(text, encoding="utf-8")
        return [
            Mistake(error.message.replace(f"{trial}/", ""), error.hint, error.line)
            for error in check_school(trial)
        ]


def difference(before: str, after: str) -> list[str]:
    """The lines that differ, with three around each, as diff(1) writes them."""
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=3)
    return list(lines)[2:]


def write_file(
    station: Station, session: Session, school: str, text: str, seen: str, actor: str
) -> None:
    """Write the text in place of the file that had the digest `seen`.

    Raises WrongStateError when somebody else has written it meanwhile, or while it has mistakes.
    """
    folder = _folder(station, school)
    before = read_file(station, school)
    if before.digest != seen:
        raise WrongStateError(
            "Meanwhile somebody else has changed this file; yours was not written.",
            "Load the editor again and repeat your change in what stands there now.",
        )
    found = mistakes_in(station, school, text)
    if found:
        raise WrongStateError(found[0].text, found[0].hint)
    aside = folder / f".{SETTINGS}.new"
    aside.write_text(text, encoding="utf-8")
    aside.chmod((folder / SETTINGS).stat().st_mode & 0o777)
    aside.replace(folder / SETTINGS)
    changed = sum(line[:1] in "+-" for line in difference(before.text, text))
    note(session, "school-edited", actor=actor, school=school, lines=changed)
    station.board.touch()


def _folder(station: Station, school: str) -> Path:
    return find_school(station.settings.inventories_dir, school)
