"""Bundles at home: numbering and signing them, and taking in what the stick brings back.

A receipt counts when the key that the machine got at its imaging signed it; what it claims is
judged by the same rules as what a machine says over a line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.fleet import bundle as sticks
from provisioner.lifecycle import Verb
from provisioner.model.bundle import Bundle, Receipt
from provisioner.model.record import Problem
from provisioner.model.renewal import HomesRule, RenewEvidence, When
from provisioner.stages.renew import judge_renewal, renew_work
from provisioner.store.events import note
from provisioner.store.tables import CounterRow, EventRow, MachineRow, RunRow
from provisioner.workshop import path, releases, runs, sites
from provisioner.workshop.field_orders import machines_of
from provisioner.workshop.station import Station

EXPORTED = "bundle-exported"


@dataclass(frozen=True)
class Outcome:
    """What one receipt came to: `said` is for the operator."""

    machine: str
    said: str
    well: bool


def export(
    station: Station,
    session: Session,
    school: str,
    release: str,
    stick: Path,
    actor: str,
    *,
    when: When = When.QUIET,
    homes: HomesRule = HomesRule.KEEP,
    report: Callable[[str, float], None] = lambda _step, _fraction: None,
) -> Bundle:
    """Put a school's release on a stick, with a number higher than any before."""
    bundle = order(station, session, school, release, actor, when=when, homes=homes)
    kept = configurations(station, session, school)
    sticks.export_bundle(bundle, station.catalog, station.key, stick, report, kept)
    return bundle


def order(
    station: Station,
    session: Session,
    school: str,
    release: str,
    actor: str,
    *,
    when: When = When.QUIET,
    homes: HomesRule = HomesRule.KEEP,
) -> Bundle:
    """What a stick will say, numbered and noted. Raises NotFoundError for a school without
    machines, ConfigError or WrongStateError for a release that is not
    to be installed."""
    manifest, digest = releases.installable(station, session, release)
    tags = tuple(row.asset_tag for row in machines_of(session, school) if row.asset_tag)
    bundle = Bundle(
        school=school, number=_next_number(session, school), machines=tags, release=manifest.id,
        manifest_sha256=digest, when=when, homes=homes,
    )  # fmt: skip
    note(session, "bundle-exported", actor=actor, bundle=bundle.model_dump(mode="json"))
    return bundle


def configurations(station: Station, session: Session, school: str) -> list[Path]:
    """What the school's machines shall be configured with, as signed files for the stick."""
    return [sites.bundle_for(station, session, row.asset_tag)
            for row in machines_of(session, school)
            if row.asset_tag and sites.has_site(row)]  # fmt: skip


def take_in(station: Station, session: Session, stick: Path, actor: str) -> list[Outcome]:
    """Read the receipts of a stick that came home; each counts once."""
    return take_in_files(station, session, sticks.receipt_files(stick), actor)


def take_in_files(
    station: Station, session: Session, files: Iterable[tuple[str, bytes]], actor: str
) -> list[Outcome]:
    """The same for receipts that somebody sends by name and content."""
    found = []
    for name, content in files:
        opened = sticks.open_receipt(content)
        if opened is None:
            found.append(Outcome(name, "was changed on the way and does not count", False))
        else:
            found.append(_take(station, session, *opened, actor))
    station.board.touch()
    return found


def _take(station: Station, session: Session, key: str, receipt: Receipt, actor: str) -> Outcome:
    machine = session.scalar(select(MachineRow).where(MachineRow.installed_key == key))
    bundle = _exported(session, receipt.school, receipt.number)
    if machine is None or machine.asset_tag != receipt.machine:
        return Outcome(receipt.machine, "is not signed by that machine's key", False)
    if bundle is None:
        return Outcome(receipt.machine, "answers a bundle that is not of this station", False)
    record = receipt.record
    if session.scalar(select(RunRow).where(RunRow.order_id == record.order)):
        return Outcome(receipt.machine, "was known already", True)
    run = runs.open_run(session, machine, Verb.RENEW)
    run.order_id, run.order_key = record.order, key
    if record.problem is not None or not isinstance(record.evidence, RenewEvidence):
        problem = record.problem or Problem(kind="ProofMissingError", message="No evidence.")
        runs.fail(session, machine, run, problem)
        return Outcome(receipt.machine, f"stays with its old system: {problem.message}", False)
    manifest, _ = path.read_manifest(station, bundle.release)
    work = renew_work(manifest, bundle.manifest_sha256, when=bundle.when, homes=bundle.homes)
    evidence = record.evidence.model_dump(mode="json")
    if reasons := judge_renewal(record.evidence, work, manifest):
        runs.fail(session, machine, run, runs.not_proved(reasons), evidence)
        return Outcome(receipt.machine, " ".join(reasons), False)
    runs.succeed(session, machine, run, evidence)
    machine.release = bundle.release
    note(session, "receipt-taken-in", actor=actor, machine=machine, release=bundle.release)
    return Outcome(receipt.machine, f"has {bundle.release}", True)


def _exported(session: Session, school: str, number: int) -> Bundle | None:
    """The bundle as this station signed it; a receipt is not asked what was ordered."""
    for event in session.scalars(select(EventRow).where(EventRow.kind == EXPORTED)):
        bundle = Bundle.model_validate(event.data["bundle"])
        if (bundle.school, bundle.number) == (school, number):
            return bundle
    return None


def _next_number(session: Session, school: str) -> int:
    name = f"bundle {school}"[:40]
    row = session.get(CounterRow, name)
    if row is None:
        row = CounterRow(name=name, value=0)
        session.add(row)
    row.value += 1
    return row.value
