"""Entries on a USB stick, and receipts back on the same stick.

    classroom-entries/ID.json, classroom-entries/SHA256.sb3, classroom-entries/receipts/ID.json

A stick can be pulled at any moment: files appear whole or not at all. What is on it is believed as
far as signatures and hashes go, whoever wrote it.
"""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from provisioner.entry.durable import write_new
from provisioner.errors import ProvisionerError, StationError, UnreachableError
from provisioner.handin.box import Box
from provisioner.handin.courier import Line, carry
from provisioner.model.entry import HandIn, Keeper
from provisioner.model.signed import open_envelope

FOLDER = "classroom-entries"
# In a file that a teacher saved: how many entries are in it. A file that was cut off may look like
# the last game in it, which is a zip as well.
ABOUT = f"{FOLDER}/about.json"
_FILE = re.compile(r"[0-9a-f]{32}\.json")
_ENTRY = re.compile(r"[0-9a-f]{64}\.sb3")
MAX_SEALED = 16_384
MAX_ENTRY = 1024 * 1024 * 1024


@dataclass(frozen=True)
class Carried:
    """What came of a stick: how many are here now, and what was wrong with others."""

    whole: int
    problems: tuple[str, ...] = ()


def export(entries: Iterable[tuple[str, Path]], stick: Path) -> int:
    """Write sealed hand-ins and their bytes onto a stick; read back what was written.

    Raises StationError when the stick is full or keeps other bytes than it was given.
    """
    folder = stick / FOLDER
    folder.mkdir(exist_ok=True)
    count = 0
    try:
        for sealed, path in entries:
            said, _ = open_envelope(sealed, HandIn, trusted=None)
            there, data = folder / f"{said.sha256}.sb3", path.read_bytes()
            if not there.exists() or there.read_bytes() != data:
                write_new(there, data)
            if there.read_bytes() != data:
                raise StationError("The stick keeps other bytes than it was given.",
                                   "Take another stick.")  # fmt: skip
            write_new(folder / f"{said.id}.json", sealed.encode())
            count += 1
    except OSError as error:
        raise StationError(f"The stick cannot be written: {error.strerror}.",
                           "Take one with more room.") from error  # fmt: skip
    return count


def bring_in(stick: Path, line: Line) -> Carried:
    """Give what is on a stick to who keeps it, and lay the receipts onto the stick."""
    folder, whole, problems = stick / FOLDER, 0, []
    receipts = folder / "receipts"
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        if not _FILE.fullmatch(path.name) or path.is_symlink():
            continue
        try:
            receipt = _bring_one(folder, _small(path), line)
        except (ProvisionerError, OSError) as error:
            problems.append(f"{path.name}: {error}")
            continue
        whole += 1
        with contextlib.suppress(OSError):  # a stick that is write-protected
            receipts.mkdir(exist_ok=True)
            write_new(receipts / path.name, receipt.encode())
    return Carried(whole, tuple(problems))


def bring_in_zip(file: Path, line: Line) -> Carried:
    """The same for a file that a teacher saved (`room.write_zip`). Raises StationError.

    Only names of our own making are taken out of it, each into a folder of ours.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / FOLDER
        folder.mkdir()
        try:
            with zipfile.ZipFile(file) as archive:
                promised = int(json.loads(archive.read(ABOUT))["entries"])
                for member in archive.infolist():
                    name = member.filename.removeprefix(f"{FOLDER}/")
                    paper, entry = _FILE.fullmatch(name), _ENTRY.fullmatch(name)
                    if not (paper or entry):
                        continue
                    most = MAX_SEALED if paper else MAX_ENTRY
                    with archive.open(member) as opened:
                        data = opened.read(most + 1)
                    if len(data) <= most:
                        (folder / name).write_bytes(data)
        except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, ValueError, KeyError,
                TypeError) as error:  # fmt: skip
            raise StationError("This file is not what a teacher's page saves.",
                               "Save it there once more.") from error  # fmt: skip
        found = len(list(folder.glob("*.json")))
        carried = bring_in(Path(place), line)
        if found < promised:
            lost = f"{promised - found} entries of {promised} are not in this file."
            return Carried(carried.whole, (*carried.problems, lost))
        return carried


def receipts(stick: Path, box: Box) -> int:
    """Take the station's receipts from a stick into a machine's box; how many were for it."""
    count = 0
    for path in sorted((stick / FOLDER / "receipts").glob("*.json")):
        if _FILE.fullmatch(path.name) and not path.is_symlink():
            count += box.acknowledged(Keeper.STATION, _small(path))
    return count


def _bring_one(folder: Path, sealed: str, line: Line) -> str:
    said, _ = open_envelope(sealed, HandIn, trusted=None)
    path = folder / f"{said.sha256}.sb3"
    if path.is_symlink() or not path.is_file() or path.stat().st_size != said.size:
        raise StationError("Its bytes are not on the stick.", "Export it once more.")
    try:
        return carry(line, said.id, sealed, path)
    except UnreachableError as error:
        raise StationError("Its bytes are not those that were signed.",
                           "Export it once more.") from error  # fmt: skip


def _small(path: Path) -> str:
    if path.stat().st_size > MAX_SEALED:
        raise StationError(f"{path.name} is too large to be an entry's paper.")
    return path.read_text(encoding="utf-8")
