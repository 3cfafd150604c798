"""The teacher's side of a room: who has handed in, everything onto a stick, everything home.

What pupils' machines brought lies in a `Keeping`. The relay brings it home as if the pupils'
machines did: their signatures go with it, and what is there already changes nothing. So an entry
comes home even when the machine that it was made on never starts again.
"""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from provisioner.entry.durable import write_new
from provisioner.entry.keeping import Keeping, Kept
from provisioner.entry.receipt import code_of
from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.handin.courier import Line, carry
from provisioner.handin.stick import ABOUT, FOLDER
from provisioner.model.entry import HandIn, Keeper, Receipt
from provisioner.model.signed import open_envelope

HOME = "station"
SCHOOL_FILE = Path("etc/classroom/school.json")

log = logging.getLogger(__name__)


def pupils_seats(root: Path) -> tuple[str, ...]:
    """Names of the pupils' seats, as the school's configuration lists them; none when unknown."""
    try:
        places = json.loads((root / SCHOOL_FILE).read_bytes())["room"]
        return tuple(str(place["seat"]) for place in places if place["role"] == "pupil")
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def room_view(keeping: Keeping, seats: tuple[str, ...]) -> dict[str, Any]:
    """Who has handed in, the newest first, and at which seats nobody has."""
    kept = keeping.kept()
    handed = {entry.hand_in.seat for entry in kept if not entry.refused}
    shown = sorted(kept, key=lambda entry: (entry.hand_in.clock.at, entry.hand_in.id))
    return {
        "entries": [_shown(keeping, entry) for entry in reversed(shown)],
        "seats": len(seats),
        "without": [seat for seat in seats if seat not in handed],
    }


def write_zip(keeping: Keeping, out: Path) -> int:
    """Everything that is kept, as a stick would have it, in one file; how many entries."""
    count = 0
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for entry in keeping.kept():
            said = entry.hand_in
            archive.write(keeping.folder / "hand-ins" / f"{said.id}.json",
                          f"{FOLDER}/{said.id}.json")  # fmt: skip
            name = f"{FOLDER}/{said.sha256}.sb3"
            if name not in archive.NameToInfo:
                archive.write(entry.path, name)
            count += 1
        archive.writestr(ABOUT, json.dumps({"entries": count}))
    return count


class Relay:
    """Brings home what the room's machines brought here, for as long as it takes."""

    def __init__(self, keeping: Keeping, line: Line, key: str) -> None:
        self._keeping, self._line, self._key = keeping, line, key
        (keeping.folder / HOME).mkdir(exist_ok=True)

    def bring_all(self) -> int:
        """Everything that has no receipt of the station's; how many came home now."""
        count = 0
        for entry in self._keeping.kept():
            if is_home(self._keeping, entry.hand_in.id):
                continue
            try:
                self._bring(entry)
                count += 1
            except UnreachableError:
                raise
            except (ProvisionerError, ValidationError) as error:
                log.error("Entry %s: %s", code_of(entry.hand_in), error)
        return count

    def _bring(self, entry: Kept) -> None:
        said = entry.hand_in
        sealed = (self._keeping.folder / "hand-ins" / f"{said.id}.json").read_text()
        paper = carry(self._line, said.id, sealed, entry.path)
        receipt, _ = open_envelope(paper, Receipt, trusted=self._key)
        if (receipt.id, receipt.sha256, receipt.keeper) == (said.id, said.sha256, Keeper.STATION):
            write_new(self._keeping.folder / HOME / f"{said.id}.json", paper.encode())


def is_home(keeping: Keeping, entry_id: str) -> bool:
    return (keeping.folder / HOME / f"{entry_id}.json").exists()


def _shown(keeping: Keeping, entry: Kept) -> dict[str, Any]:
    said: HandIn = entry.hand_in
    return {"code": code_of(said), "name": said.pupil.name, "form": said.pupil.form,
            "seat": said.seat, "title": said.title, "at": said.clock.at.isoformat(),
            "sure": said.clock.doubt_s is not None, "refused": entry.refused,
            "station": is_home(keeping, said.id)}  # fmt: skip
