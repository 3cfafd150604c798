"""Entries come home: over a line or from a stick, judged once more, each exactly once.

Bytes and signed papers lie in `contests/NAME/` of the state folder (`entry.keeping`); the table
holds what is asked for. Should the table lack what the folder has (the station died between the
two), the next start puts it in: a receipt is never given for what could be forgotten.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.contest.folder import Contest
from provisioner.entry.keeping import Keeping, Kept
from provisioner.entry.receipt import code_of, lateness
from provisioner.entry.refusal import EntryRefusedError
from provisioner.entry.sb3 import judge
from provisioner.errors import UntrustedError
from provisioner.model.contest import ContestSettings
from provisioner.model.entry import ClockReading, Facts, HandIn, Held, Keeper
from provisioner.model.signed import PrivateKey
from provisioner.store.database import Database
from provisioner.store.entry_tables import EntryRow
from provisioner.store.events import note
from provisioner.store.tables import BatchRow, MachineKeyRow, MachineRow


class Intake:
    """The entries of one contest. Its `begin` and `take` are what a line speaks to."""

    def __init__(self, contest: Contest, database: Database, key: PrivateKey, state: Path) -> None:
        self.contest, self._database = contest, database
        self.keeping = Keeping(
            entries_folder(state, contest.name), key, Keeper.STATION, _clock,
            contest.settings.limits, accept=self._accept,
        )  # fmt: skip

    def begin(self, sealed: str) -> Held:
        return self._noted(self.keeping.begin(sealed))

    def take(self, entry_id: str, offset: int, data: bytes) -> Held:
        return self._noted(self.keeping.take(entry_id, offset, data))

    def catch_up(self) -> int:
        """Put into the table what the folder has and the table has not; how many."""
        with self._database.transaction() as session:
            known = set(session.scalars(select(EntryRow.id)))
            lacking = [kept for kept in self.keeping.kept() if kept.hand_in.id not in known]
            for kept in lacking:
                self._add(session, kept)
            return len(lacking)

    def _noted(self, held: Held) -> Held:
        """The table is written before the receipt leaves the house."""
        if held.receipt is not None:
            with self._database.transaction() as session:
                if session.get(EntryRow, held.id) is None:
                    hand_in, key = self.keeping.hand_in(held.id)
                    receipt = self.keeping.receipt(held.id)
                    path = self.keeping.folder / "entries" / f"{hand_in.sha256}.sb3"
                    refused = receipt.refused if receipt else ""
                    self._add(session, Kept(hand_in, key, path, refused))
        return held

    def _accept(self, hand_in: HandIn, key: str) -> None:
        """Only machines that this station knows, and only of enrolled schools."""
        if hand_in.contest != self.contest.name:
            raise UntrustedError("This entry belongs to another contest.")
        with self._database.reading() as session:
            machine = machine_of_key(session, key)
            school = machine.batch.school if machine and machine.batch else None
        if school is None:
            raise UntrustedError("No machine that we know has signed this entry.")
        if school != hand_in.school or school not in self.contest.settings.schools:
            raise UntrustedError(
                f"The school “{hand_in.school}” is not enrolled with this machine."
            )

    def _add(self, session: Session, kept: Kept) -> None:
        said, receipt = kept.hand_in, self.keeping.receipt(kept.hand_in.id)
        machine = machine_of_key(session, kept.key)
        heard = receipt.at.at if receipt else datetime.now(UTC)
        settings = self.contest.settings
        when = lateness(settings.opens, settings.closes, said.clock, heard)
        session.add(
            EntryRow(
                id=said.id, contest=said.contest, school=said.school,
                machine_id=machine.id if machine else None, asset_tag=said.asset_tag,
                sequence=said.sequence, code=code_of(said),
                pupil={"name": said.pupil.name, "form": said.pupil.form},
                age_group=said.pupil.age_group, title=said.title, sha256=said.sha256,
                size=said.size, handed_in_at=said.clock.at, doubt_s=said.clock.doubt_s,
                received_at=heard, lateness=when, refused=kept.refused,
                facts=facts_or_none(kept.path, settings),
            )
        )  # fmt: skip
        note(session, "entry-received", machine=machine, contest=said.contest, code=code_of(said),
             lateness=str(when), refused=kept.refused)  # fmt: skip


def entries_folder(state: Path, contest: str) -> Path:
    """Where a contest's entries lie; `contest` is a Name, so it stays inside."""
    return state / "contests" / contest


def machine_of_key(session: Session, key: str) -> MachineRow | None:
    """By the key that it was imaged with, or another one that it has registered."""
    found = session.scalar(select(MachineRow).where(MachineRow.installed_key == key))
    if found is None and (row := session.get(MachineKeyRow, key)) is not None:
        found = session.get(MachineRow, row.machine_id)
    return found


def facts_or_none(path: Path, settings: ContestSettings) -> dict[str, object] | None:
    with contextlib.suppress(EntryRefusedError):
        facts: Facts = judge(path.read_bytes(), settings.limits)
        return facts.model_dump(mode="json")
    return None


def school_of(session: Session, machine: MachineRow) -> str:
    batch = session.get(BatchRow, machine.batch_id) if machine.batch_id else None
    return batch.school if batch else ""


def _clock() -> ClockReading:
    return ClockReading(at=datetime.now(UTC), doubt_s=1.0)
