"""The organiser's table: which entry of a pupil counts, which are alike, how schools stand. Pure
but for reading the table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provisioner.contest.folder import STARTERS, Contest
from provisioner.entry.facts import alike
from provisioner.entry.receipt import Lateness
from provisioner.entry.sb3 import judge
from provisioner.model.contest import ContestSettings, LateRule, RepeatRule
from provisioner.model.entry import Facts
from provisioner.store.entry_tables import EntryRow
from provisioner.store.rollout_tables import RolloutMachineRow, RolloutRow
from provisioner.store.tables import BatchRow, MachineRow

# From this share of the smaller one's scripts on, a person should look at both.
ALIKE = 0.8
# A script or two is what every starter has.
FEWEST_SCRIPTS = 3


@dataclass(frozen=True)
class Entry:
    """A line of the table. `standing` is counts, replaced, late, or refused."""

    row: EntryRow
    standing: str
    same_as: tuple[str, ...] = ()
    like: tuple[str, ...] = ()

    @property
    def facts(self) -> Facts | None:
        return Facts.model_validate(self.row.facts) if self.row.facts else None

    @property
    def name(self) -> str:
        return str((self.row.pupil or {}).get("name", ""))

    @property
    def form(self) -> str:
        return str((self.row.pupil or {}).get("form", ""))


@dataclass(frozen=True)
class SchoolStanding:
    """One enrolled school: machines by what they said last, and entries that came home."""

    school: str
    machines: int
    not_reached: int
    prepared: int
    on: int
    unknown: int
    entries: int
    last_heard: datetime | None


def entries(session: Session, contest: str, settings: ContestSettings,
            starters: Sequence[Facts] = ()) -> list[Entry]:  # fmt: skip
    """All entries of a contest, with what counts and what is alike."""
    query = select(EntryRow).where(EntryRow.contest == contest)
    rows = list(session.scalars(query.order_by(EntryRow.received_at, EntryRow.id)))
    standing = standings(rows, settings)
    same, like = same_bytes(rows), near(rows, starters)
    return [Entry(row, standing[row.id], same.get(row.id, ()), like.get(row.id, ()))
            for row in rows]  # fmt: skip


def entries_of(session: Session, contest: Contest) -> list[Entry]:
    """The same, with what the contest's own starters brought left out of what is alike."""
    starters = [judge(path.read_bytes(), contest.settings.limits)
                for path in sorted((contest.folder / STARTERS).glob("*.sb3"))]  # fmt: skip
    return entries(session, contest.name, contest.settings, starters)


def standings(rows: Iterable[EntryRow], settings: ContestSettings) -> dict[str, str]:
    """Which entry counts, by the contest's rules; of one pupil never more than one.

    Of two entries from one machine the sequence says which is later, whatever its clock; from
    two machines, their clocks.
    """
    out: dict[str, str] = {}
    by_pupil: dict[tuple[str, str, str], list[EntryRow]] = {}
    for row in rows:
        if row.refused:
            out[row.id] = "refused"
        elif row.lateness in (Lateness.LATE, Lateness.TOO_EARLY) and (
            settings.late is LateRule.REFUSE
        ):
            out[row.id] = "late"
        else:
            pupil = row.pupil or {"name": row.id}
            who = (row.school, _plain(pupil.get("name", "")), _plain(pupil.get("form", "")))
            by_pupil.setdefault(who, []).append(row)
    for found in by_pupil.values():
        one_machine = len({row.asset_tag for row in found}) == 1
        ordered = sorted(found, key=_by_sequence if one_machine else _by_clock)
        counts = ordered[-1] if settings.repeated is RepeatRule.LAST else ordered[0]
        out |= {row.id: "counts" if row is counts else "replaced" for row in ordered}
    return out


def same_bytes(rows: Iterable[EntryRow]) -> dict[str, tuple[str, ...]]:
    """For each entry the codes of others with the very same bytes."""
    groups: dict[str, list[EntryRow]] = {}
    for row in rows:
        groups.setdefault(row.sha256, []).append(row)
    return {row.id: tuple(other.code for other in group if other is not row)
            for group in groups.values() if len(group) > 1 for row in group}  # fmt: skip


def near(rows: Sequence[EntryRow], starters: Sequence[Facts] = ()) -> dict[str, tuple[str, ...]]:
    """For each entry the codes of others that share most scripts with it.

    What a starter project brought along does not count: everybody has it.
    """
    given = {digest for starter in starters for digest in starter.script_hashes}
    facts = {row.id: _without(Facts.model_validate(row.facts), given) for row in rows if row.facts}
    codes = {row.id: row for row in rows}
    index: dict[str, list[str]] = {}
    for entry_id, found in facts.items():
        for digest in set(found.script_hashes):
            index.setdefault(digest, []).append(entry_id)
    pairs = {(a, b) for group in index.values() if len(group) <= 200
             for a in group for b in group if a < b}  # fmt: skip
    out: dict[str, list[str]] = {}
    for a, b in sorted(pairs):
        if codes[a].sha256 != codes[b].sha256 and _worth_a_look(facts[a], facts[b]):
            out.setdefault(a, []).append(codes[b].code)
            out.setdefault(b, []).append(codes[a].code)
    return {entry_id: tuple(found) for entry_id, found in out.items()}


def schools(session: Session, contest: str, settings: ContestSettings,
            at: datetime) -> list[SchoolStanding]:  # fmt: skip
    """The enrolment map: each school, with how long ago it was heard."""
    counted = (
        select(EntryRow.school, func.count())
        .where(EntryRow.contest == contest)
        .group_by(EntryRow.school)
    )
    seen = (
        select(BatchRow.school, func.max(MachineRow.last_seen))
        .join(MachineRow, MachineRow.batch_id == BatchRow.id)
        .group_by(BatchRow.school)
    )
    handed: dict[str, int] = {row[0]: row[1] for row in session.execute(counted)}
    heard: dict[str, datetime] = {row[0]: row[1] for row in session.execute(seen)}
    states = _states(session, contest)
    return [_school(school, states.get(school, []), handed.get(school, 0), heard.get(school), at)
            for school in settings.schools]  # fmt: skip


def _school(school: str, machines: list[RolloutMachineRow], entries: int, heard: datetime | None,
            at: datetime) -> SchoolStanding:  # fmt: skip
    silent = [m for m in machines if m.heard_at is None or (at - m.heard_at).days >= 3]
    here = [m for m in machines if m not in silent]
    on = sum(m.has.endswith(".on") for m in here)
    prepared = sum(m.has.endswith((".prepared", ".off")) for m in here)
    moments = [m.heard_at for m in machines if m.heard_at is not None]
    last = max([*moments, *([heard] if heard else [])], default=None)
    return SchoolStanding(school, len(machines), len(here) - on - prepared, prepared, on,
                          len(silent), entries, last)  # fmt: skip


def _states(session: Session, contest: str) -> dict[str, list[RolloutMachineRow]]:
    """Every machine in the newest rollout of this contest."""
    query = select(RolloutRow).where(RolloutRow.track == f"contest:{contest}")
    newest = session.scalars(query.order_by(RolloutRow.id.desc())).first()
    out: dict[str, list[RolloutMachineRow]] = {}
    if newest is not None:
        m = RolloutMachineRow
        for row in session.scalars(select(m).where(m.rollout_id == newest.id)):
            out.setdefault(row.school, []).append(row)
    return out


def _worth_a_look(one: Facts, other: Facts) -> bool:
    fewest = min(len(set(one.script_hashes)), len(set(other.script_hashes)))
    return fewest >= FEWEST_SCRIPTS and alike(one, other) >= ALIKE


def _without(facts: Facts, given: set[str]) -> Facts:
    left = tuple(digest for digest in facts.script_hashes if digest not in given)
    return facts.model_copy(update={"script_hashes": left})


def _by_sequence(row: EntryRow) -> tuple[int, str]:
    return row.sequence, row.id


def _by_clock(row: EntryRow) -> tuple[datetime, str]:
    return row.handed_in_at, row.id


def _plain(text: str) -> str:
    return "".join(text.split()).casefold()


def rollouts_of(session: Session, contest: str) -> list[RolloutRow]:
    """The contest's rollouts, the newest first."""
    query = select(RolloutRow).where(RolloutRow.track == f"contest:{contest}")
    return list(session.scalars(query.order_by(RolloutRow.id.desc())))
