"""What a school's machines are asked for besides renewing, and what they sent home.

Kept and given as every field order (`field_orders.py`): a machine may be silent for weeks.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.errand import (
    LogsEvidence,
    LogsWork,
    ReconfigureWork,
    ResetHomesWork,
)
from provisioner.model.order import RestartWork
from provisioner.model.renewal import RenewEvidence, When
from provisioner.stages.renew import renew_work
from provisioner.store.tables import MachineRow
from provisioner.workshop import path, runs
from provisioner.workshop.field_orders import FieldWork, machines_of, put
from provisioner.workshop.station import Station


def work_of(verb: str, when: When = When.QUIET) -> FieldWork:
    """An errand by its name. Raises NotFoundError for one that nobody knows."""
    known: dict[str, FieldWork] = {
        runs.RECONFIGURE: ReconfigureWork(), runs.RESET_HOMES: ResetHomesWork(when=when),
        runs.LOGS: LogsWork(), runs.RESTART: RestartWork(),
    }  # fmt: skip
    if verb not in known:
        raise NotFoundError(f"There is no errand “{verb}”.", nearest(verb, known))
    return known[verb]


def order_errand(
    station: Station, session: Session, school: str, work: FieldWork, actor: str, tag: str = ""
) -> list[MachineRow]:
    """Ask a school's machines, or one of them, for an errand. Raises NotFoundError."""
    chosen = _chosen(session, school, tag)
    for machine in chosen:
        put(session, machine, work, actor)
    station.board.touch()
    return chosen


def roll_back(
    station: Station,
    session: Session,
    school: str,
    actor: str,
    tag: str = "",
    when: When = When.QUIET,
) -> list[MachineRow]:
    """Send machines back to the release that they had before their last renewal.

    It still lies on their disks, so nothing but its manifest crosses the line; it is tried and
    proved as any release. Raises WrongStateError when none of them was ever renewed.
    """
    ordered = []
    for machine in _chosen(session, school, tag):
        before = _before(session, machine)
        if before and before != machine.release:
            manifest, digest = path.read_manifest(station, before)
            put(session, machine, renew_work(manifest, digest, when=when), actor)
            ordered.append(machine)
    if not ordered:
        raise WrongStateError(
            "None of these machines was renewed, so there is nothing to go back to.",
            "Name a release instead: provisioner renew SCHOOL --release NAME@VERSION.",
        )
    station.board.touch()
    return ordered


def log_of(session: Session, machine: MachineRow) -> str:
    """What a machine last sent. Raises NotFoundError when it sent nothing yet."""
    run = runs.latest(session, machine, runs.LOGS)
    if run is None or run.state != RunState.SUCCEEDED or run.evidence is None:
        raise NotFoundError(
            f"{machine.asset_tag} has not sent its log.",
            "Ask for it: provisioner ask SCHOOL logs.",
        )
    return LogsEvidence.model_validate(run.evidence).text


def _before(session: Session, machine: MachineRow) -> str:
    run = runs.latest(session, machine, Verb.RENEW)
    if run is None or run.state != RunState.SUCCEEDED or run.evidence is None:
        return ""
    return RenewEvidence.model_validate(run.evidence).old


def _chosen(session: Session, school: str, tag: str) -> list[MachineRow]:
    machines: Sequence[MachineRow] = machines_of(session, school)
    in_school = [m for m in machines
                 if Milestone(m.milestone).rank >= Milestone.HANDED_OVER.rank]  # fmt: skip
    chosen = [m for m in in_school if not tag or m.asset_tag == tag.upper()]
    if not chosen:
        raise NotFoundError(
            f"{tag.upper() or 'No machine'} was not handed over to {school}.",
            nearest(tag.upper(), [m.asset_tag or "" for m in in_school]),
        )
    return chosen
