"""A contest on disk: `inventories/contests/NAME/` is read, and every mistake in it is named.

    contest.yml              dates, age groups, schools, limits     model.contest.ContestSettings
    rules.zh.md, rules.en.md the rules, in both languages
    guide/                   pages and pictures of the training guide
    starters/                projects to begin with, each a real .sb3

Nothing else may lie there: a misspelt name would otherwise pass silently.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from provisioner import yaml_file
from provisioner.education.blocks import GUI
from provisioner.entry.refusal import EntryRefusedError
from provisioner.entry.sb3 import judge
from provisioner.errors import ConfigError, NotFoundError, nearest
from provisioner.fleet.school import school_folders
from provisioner.model.base import Name
from provisioner.model.contest import ContestCard, ContestSettings, FileName

SETTINGS = "contest.yml"
RULES = ("rules.zh.md", "rules.en.md")
GUIDE, STARTERS = "guide", "starters"
PARTS = (SETTINGS, *RULES, GUIDE, STARTERS)
GUIDE_KINDS = (".html", ".md", ".pdf", ".png", ".jpg", ".svg", ".css")
MAX_CONTENT = 500 * 1024 * 1024


@dataclass(frozen=True)
class Contest:
    """A contest whose folder was checked."""

    name: str
    folder: Path
    settings: ContestSettings

    @property
    def card(self) -> ContestCard:
        return ContestCard.of(self.name, self.settings)


def contests_dir(inventories: Path) -> Path:
    return inventories / "contests"


def contest_folders(inventories: Path) -> list[Path]:
    folder = contests_dir(inventories)
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(path for path in found if (path / SETTINGS).is_file())


def load_contest(inventories: Path, name: str) -> Contest:
    """Raises NotFoundError, or the first ConfigError."""
    known = {path.name: path for path in contest_folders(inventories)}
    if name not in known:
        raise NotFoundError(f"There is no contest “{name}”.", nearest(name, known))
    settings, problems = _read(known[name], inventories)
    if problems or settings is None:
        raise problems[0]
    return Contest(name, known[name], settings)


def check_contest(inventories: Path, name: str) -> list[ConfigError]:
    """Everything that is wrong in a contest's folder. Raises NotFoundError."""
    known = {path.name: path for path in contest_folders(inventories)}
    if name not in known:
        raise NotFoundError(f"There is no contest “{name}”.", nearest(name, known))
    return _read(known[name], inventories)[1]


def _read(folder: Path, inventories: Path) -> tuple[ContestSettings | None, list[ConfigError]]:
    problems: list[ConfigError] = []
    settings = None
    try:
        TypeAdapter(Name).validate_python(folder.name)
        settings = yaml_file.load(folder / SETTINGS, ContestSettings)
    except ValidationError:
        problems.append(ConfigError(f"“{folder.name}” cannot be a contest's short name.",
                                    "Use small letters, digits and “-”.", file=folder))  # fmt: skip
    except ConfigError as error:
        problems.append(error)
    if settings is not None:
        problems += _editor(settings, folder)
        problems += _schools(settings, folder, inventories)
    problems += _strangers(folder)
    problems += _rules(folder)
    problems += _starters(folder, settings or None)
    problems += _guide(folder)
    return settings, problems


def _editor(settings: ContestSettings, folder: Path) -> Iterator[ConfigError]:
    """Only the version that this program brings can be laid over a system."""
    if settings.editor not in ("", GUI.version):
        yield ConfigError(f"The block editor here is {GUI.version}, not {settings.editor}.",
                          f"Write {GUI.version}, or nothing to take what a machine has.",
                          file=folder / SETTINGS, field="editor")  # fmt: skip


def _schools(settings: ContestSettings, folder: Path, inventories: Path) -> Iterator[ConfigError]:
    known = {path.name for path in school_folders(inventories)}
    _, lines = yaml_file.load_plain(folder / SETTINGS)
    for number, school in enumerate(settings.schools):
        if school not in known:
            yield ConfigError(f"There is no school “{school}”.", nearest(school, known),
                              file=folder / SETTINGS, line=lines.get(("schools", number)),
                              field="schools")  # fmt: skip


def _strangers(folder: Path) -> Iterator[ConfigError]:
    total = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield ConfigError("Links are not delivered.", "Copy the file in.", file=path)
        elif path.is_file():
            total += path.stat().st_size
        if path.parent == folder and path.name not in PARTS and not path.name.startswith("."):
            yield ConfigError("Nothing reads a file of this name.", nearest(path.name, PARTS),
                              file=path)  # fmt: skip
    if total > MAX_CONTENT:
        yield ConfigError(f"The folder holds more than {MAX_CONTENT >> 20} MiB.",
                          "A thin line has to carry it to every school.", file=folder)  # fmt: skip


def _rules(folder: Path) -> Iterator[ConfigError]:
    for name in RULES:
        path = folder / name
        try:
            empty = not path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            empty = True
        if empty:
            yield ConfigError("The rules are missing in this language.", "Write them there.",
                              file=path)  # fmt: skip


def _starters(folder: Path, settings: ContestSettings | None) -> Iterator[ConfigError]:
    for path in _files(folder / STARTERS):
        if path.suffix != ".sb3" or not _is_name(path.name):
            yield ConfigError("A starter is a file NAME.sb3.", file=path)
            continue
        try:
            judge(path.read_bytes(), *([settings.limits] if settings else ()))
        except EntryRefusedError as error:
            yield ConfigError(error.message, "A starter must be what may be handed in.", file=path)


def _guide(folder: Path) -> Iterator[ConfigError]:
    for path in _files(folder / GUIDE):
        if path.suffix not in GUIDE_KINDS or not _is_name(path.name):
            yield ConfigError(f"The guide is made of {', '.join(GUIDE_KINDS)}.", file=path)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _is_name(name: str) -> bool:
    try:
        TypeAdapter(FileName).validate_python(name)
    except ValidationError:
        return False
    return True
