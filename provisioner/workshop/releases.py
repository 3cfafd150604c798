"""What people say about releases: new batches take the promoted one, nobody a withdrawn one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from provisioner.errors import ConfigError, WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.base import Model
from provisioner.model.release import Component, Manifest, ReleaseKind
from provisioner.store.events import note
from provisioner.store.office import PromotedRow
from provisioner.store.tables import BatchRow, MachineRow
from provisioner.workshop.path import read_manifest
from provisioner.workshop.station import Station


class Standing(StrEnum):
    """What a person said about a release."""

    NEW = "new"  # nobody has said anything yet
    PROMOTED = "promoted"  # offered first
    WITHDRAWN = "withdrawn"  # offered no more; machines that run it are listed


class Change(Model):
    """A package that differs between two releases; an empty version: not in it."""

    name: str
    before: str
    after: str
    licence: str


def standings(session: Session) -> dict[str, tuple[Standing, str]]:
    """Release to what was said about it, and why."""
    return {
        row.release: (Standing(row.standing), row.reason)
        for row in session.scalars(select(PromotedRow))
    }


def offered(station: Station, session: Session) -> list[Manifest]:
    """Releases that a batch may ask for: promoted ones first, then the newest."""
    said = standings(session)
    found = [
        manifest
        for manifest in reversed(station.catalog.list())
        if manifest.kind is ReleaseKind.SYSTEM
        and said.get(manifest.id, (Standing.NEW, ""))[0] is not Standing.WITHDRAWN
    ]
    return sorted(
        found, key=lambda one: said.get(one.id, (Standing.NEW, ""))[0] is not Standing.PROMOTED
    )


def must_not_be_withdrawn(session: Session, release: str) -> None:
    """Raises WrongStateError with the reason for which it was withdrawn."""
    standing, reason = standings(session).get(release, (Standing.NEW, ""))
    if standing is Standing.WITHDRAWN:
        raise WrongStateError(f"{release} was withdrawn: {reason}", "Choose another release.")


def installable(station: Station, session: Session, release: str) -> tuple[Manifest, str]:
    """A release that a machine may be given, by NAME or NAME@VERSION, and its envelope's digest.

    Raises NotFoundError, ConfigError for a live environment, WrongStateError for a withdrawn one.
    """
    manifest, digest = read_manifest(station, station.catalog.get(release).id)
    if manifest.kind is not ReleaseKind.SYSTEM:
        raise ConfigError(f"{manifest.id} is a live environment and cannot be installed.")
    must_not_be_withdrawn(session, manifest.id)
    return manifest, digest


def say(
    station: Station, session: Session, release: str, standing: Standing, reason: str, actor: str
) -> None:
    """Promote or withdraw. Raises NotFoundError, WrongStateError without a reason to withdraw."""
    manifest = station.catalog.get(release)
    words = " ".join(reason.split())[:200]
    if standing is Standing.WITHDRAWN and len(words) < 3:
        raise WrongStateError("A release is withdrawn only with a reason.", "Write why.")
    session.execute(delete(PromotedRow).where(PromotedRow.release == manifest.id))
    if standing is not Standing.NEW:
        session.add(PromotedRow(release=manifest.id, standing=standing, reason=words))
    note(
        session, "release-standing", actor=actor,
        release=manifest.id, standing=standing, reason=words,
    )  # fmt: skip
    station.board.touch()


def who_runs(session: Session) -> dict[str, Counter[str]]:
    """Release to schools and how many of their machines have it on their disk."""
    query = (
        select(MachineRow.release, BatchRow.school, func.count())
        .join(BatchRow, BatchRow.id == MachineRow.batch_id)
        .where(MachineRow.release != "", MachineRow.milestone != Milestone.RETIRED)
        .group_by(MachineRow.release, BatchRow.school)
    )
    found: dict[str, Counter[str]] = {}
    for release, school, count in session.execute(query):
        found.setdefault(release, Counter())[school] += count
    return found


def differences(before: Sequence[Component], after: Sequence[Component]) -> list[Change]:
    """The packages that came, went or changed their version, by name."""
    old = {one.name: one for one in before}
    new = {one.name: one for one in after}
    return [
        Change(
            name=name,
            before=old[name].version if name in old else "",
            after=new[name].version if name in new else "",
            licence=(new.get(name) or old[name]).licence,
        )
        for name in sorted(old.keys() | new.keys())
        if (old[name].version if name in old else "") != (new[name].version if name in new else "")
    ]
