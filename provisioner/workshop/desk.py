"""The desk: what an operator asks for, from the command line, the API or the dashboard.

Every request that changes something says who asked, and leaves an event.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.fleet.school import find_school, load_school
from provisioner.lifecycle import Milestone, Verb, may_start, stage
from provisioner.model.batch import BatchPlan
from provisioner.model.hardware import Disk, DiskRef, Hardware
from provisioner.stages.choose_disk import describe
from provisioner.store.events import STATION, note
from provisioner.store.tables import BatchRow, EventRow, MachineRow, now
from provisioner.workshop import runs
from provisioner.workshop.enrolment import open_batch
from provisioner.workshop.path import machine_by_tag, unknown_tag
from provisioner.workshop.releases import installable
from provisioner.workshop.station import Station

# The stages that a person may ask for once more.
REPEATABLE = (Verb.DIAGNOSE, Verb.WIPE, Verb.IMAGE, Verb.CONFIGURE, Verb.VERIFY)


def create_batch(station: Station, session: Session, plan: BatchPlan, actor: str) -> BatchRow:
    """Open a batch. The school's folder and the release are checked first, wholly.

    Raises ConfigError for a school or release that is not in order, WrongStateError when
    another batch is open (machines that are plugged in would not know which one to join).
    """
    load_school(find_school(station.settings.inventories_dir, plan.school))
    manifest, _ = installable(station, session, plan.release)
    other = open_batch(session)
    if other is not None:
        raise WrongStateError(
            f"The batch {other.name} is still open.", "Close it before opening another one."
        )
    if session.scalar(select(BatchRow).where(BatchRow.name == plan.name)):
        raise WrongStateError(f"A batch called {plan.name} exists.", "Choose another name.")
    batch = BatchRow(
        name=plan.name,
        school=plan.school,
        release=manifest.id,
        policy=plan.policy.model_dump(mode="json"),
        size=plan.size,
        open_until=now() + timedelta(minutes=plan.open_minutes),
    )
    session.add(batch)
    session.flush()
    note(
        session, "batch-opened", actor=actor, batch_id=batch.id,
        name=batch.name, school=batch.school, release=batch.release, size=batch.size,
    )  # fmt: skip
    station.board.touch()
    return batch


def close_batch(station: Station, session: Session, name: str, actor: str) -> BatchRow:
    """Let no further machine join. Those that have joined go on."""
    batch = find_batch(session, name)
    batch.open_until = None
    note(session, "batch-closed", actor=actor, batch_id=batch.id)
    station.board.touch()
    return batch


def reopen_batch(
    station: Station, session: Session, name: str, minutes: int, actor: str
) -> BatchRow:
    """Let machines join again for so many minutes. Raises WrongStateError beside an open one."""
    batch = find_batch(session, name)
    other = open_batch(session)
    if other is not None and other.id != batch.id:
        raise WrongStateError(
            f"The batch {other.name} is still open.", "Close it before opening another one."
        )
    batch.open_until = now() + timedelta(minutes=minutes)
    note(session, "batch-reopened", actor=actor, batch_id=batch.id, name=name, minutes=minutes)
    station.board.touch()
    return batch


def not_overtaken(session: Session, machine: MachineRow, seen: int) -> None:
    """Raises WrongStateError when a person has given this machine an order since event `seen`.

    Two people who look at the same page both press a button: one wins, the other is told.
    """
    # On a database with many writers both would look before either has written.
    session.refresh(machine, with_for_update=True)
    query = select(EventRow).where(
        EventRow.machine_id == machine.id, EventRow.id > seen, EventRow.actor != STATION
    )
    first = session.scalars(query.order_by(EventRow.id).limit(1)).first()
    if first is not None:
        raise WrongStateError(
            f"Meanwhile {first.actor} has done something with {machine.asset_tag}.",
            "Look at the page as it is now, then decide; nothing of yours was done.",
        )


def last_event(session: Session) -> int:
    """The number of the newest event: what somebody who looks now has seen."""
    return session.scalar(select(func.max(EventRow.id))) or 0


def find_batch(session: Session, name: str) -> BatchRow:
    """Raises NotFoundError with the nearest name."""
    batch = session.scalar(select(BatchRow).where(BatchRow.name == name))
    if batch is None:
        names = session.scalars(select(BatchRow.name)).all()
        raise NotFoundError(f"There is no batch “{name}”.", nearest(name, names))
    return batch


def find_machine(session: Session, tag: str) -> MachineRow:
    """Raises NotFoundError with the nearest asset tag."""
    machine = machine_by_tag(session, tag)
    if machine is None:
        raise unknown_tag(session, tag)
    return machine


def try_again(station: Station, session: Session, tag: str, actor: str) -> MachineRow:
    """A person has mended the cause: the stage that failed may start again."""
    machine = find_machine(session, tag)
    if machine.needs_hand is None:
        raise WrongStateError(f"{machine.asset_tag} is not waiting for anybody.")
    was = machine.needs_hand
    machine.needs_hand, machine.live_starts = None, 0
    note(session, "try-again", actor=actor, machine=machine, was=was)
    station.board.touch()
    return machine


def use_disk(station: Station, session: Session, tag: str, serial: str, actor: str) -> DiskRef:
    """A person says which disk of a machine is to be erased and used.

    Raises NotFoundError when no single disk of the machine, as it is now, has that serial, and
    WrongStateError while the machine is at work. What was proved about another disk is void.
    """
    machine = find_machine(session, tag)
    if runs.open_runs(session, machine):
        raise WrongStateError(f"{machine.asset_tag} is at work.", "Wait until the stage has ended.")
    disks = Hardware.model_validate(machine.hardware).disks
    found = [disk for disk in disks if serial and disk.serial == serial]
    if len(found) != 1 or not _may_be_used(found[0]):
        offers = "; ".join(describe(disk) for disk in disks if _may_be_used(disk))
        raise NotFoundError(
            f"{machine.asset_tag} has no single internal disk with the serial “{serial}”.",
            f"It has: {offers or 'none that may be used'}.",
        )
    target = DiskRef.of(found[0])
    if machine.target != target.model_dump(mode="json"):
        machine.target = target.model_dump(mode="json")
        _lower(session, machine, Milestone.ENROLLED, actor)
    machine.needs_hand = None
    note(session, "disk-chosen", actor=actor, machine=machine, disk=describe(target))
    station.board.touch()
    return target


def redo(station: Station, session: Session, tag: str, verb: Verb, actor: str) -> MachineRow:
    """Do a stage again; everything after it is no longer proved."""
    machine = find_machine(session, tag)
    if verb not in REPEATABLE:
        raise WrongStateError(f"“{verb}” cannot be ordered.", "It happens by itself.")
    if runs.open_runs(session, machine):
        raise WrongStateError(f"{machine.asset_tag} is at work.", "Wait until the stage has ended.")
    if not may_start(verb, Milestone(machine.milestone)):
        raise WrongStateError(f"{machine.asset_tag} is only {machine.milestone}.")
    _lower(session, machine, stage(verb).needs, actor)
    machine.needs_hand = None
    station.board.touch()
    return machine


def hand_over(station: Station, session: Session, tag: str, actor: str, receipt: str) -> MachineRow:
    """The school has signed for a machine. Only a verified machine is handed over."""
    machine = find_machine(session, tag)
    if machine.milestone != Milestone.VERIFIED:
        raise WrongStateError(
            f"{machine.asset_tag} is {machine.milestone}, not verified.",
            "A machine leaves the workshop only after every check has passed.",
        )
    run = runs.open_run(session, machine, Verb.HAND_OVER)
    runs.succeed(session, machine, run, {"received_by": receipt, "noted_by": actor})
    station.board.touch()
    return machine


def _lower(session: Session, machine: MachineRow, to: Milestone, actor: str) -> None:
    if Milestone(machine.milestone).rank > to.rank:
        note(session, "milestone", actor=actor, machine=machine, was=machine.milestone, now=to)
        machine.milestone = to


def _may_be_used(disk: Disk) -> bool:
    return not (disk.removable or disk.read_only or disk.in_use or disk.transport == "usb")
