"""Who is it? A registration finds its machine, opens a new one, or waits for a person's answer.

A machine in doubt gets a row of its own at the very start of the path, without a tag and without
a place in any batch. Nothing of a known machine is touched until somebody who sees the number on
the case has said which one it is.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, WrongStateError
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.hardware import Hardware
from provisioner.model.identity import identifiers
from provisioner.model.record import Problem
from provisioner.model.wire import RegisterRequest, Surroundings
from provisioner.stages.discover import Match, changes, find_machine
from provisioner.store.events import note
from provisioner.store.tables import MachineKeyRow, MachineMacRow, MachineRow
from provisioner.workshop import runs
from provisioner.workshop.path import machine_by_tag, unknown_tag
from provisioner.workshop.station import Station

WHO = "who"  # the kind of the question, as a problem


def recognise(session: Session, request: RegisterRequest) -> MachineRow:
    """The machine's row: known, waiting for an answer, or new."""
    rows = list(session.scalars(select(MachineRow).order_by(MachineRow.last_seen, MachineRow.id)))
    waiting = {row.id: Hardware.model_validate(row.hardware) for row in rows if is_waiting(row)}
    settled = {row.id: Hardware.model_validate(row.hardware) for row in rows if not is_waiting(row)}
    again = find_machine(request.hardware, waiting).machine
    match = find_machine(request.hardware, settled)
    if again is not None:
        return session.get_one(MachineRow, again)
    if match.machine is not None:
        return session.get_one(MachineRow, match.machine)
    machine = MachineRow(
        milestone=Milestone.UNKNOWN,
        hardware=request.hardware.model_dump(mode="json"),
        boot=request.boot.model_dump(mode="json"),
    )
    session.add(machine)
    session.flush()
    if match.candidates:
        _ask(session, machine, match)
    else:
        _discover(session, machine)
    return machine


def is_waiting(machine: MachineRow) -> bool:
    """Whether a person must first say which machine this is."""
    return machine.needs_hand is not None and machine.needs_hand.get("kind") == WHO


def candidates(session: Session, machine: MachineRow) -> list[str]:
    """Asset tags that a waiting machine may be, as things stand now."""
    rows = session.scalars(
        select(MachineRow)
        .where(MachineRow.id != machine.id)
        .order_by(MachineRow.last_seen, MachineRow.id)
    )
    settled = {row.id: row for row in rows if not is_waiting(row)}
    known = {number: Hardware.model_validate(row.hardware) for number, row in settled.items()}
    match = find_machine(Hardware.model_validate(machine.hardware), known)
    return [settled[number].asset_tag or "" for number in match.same or match.doubtful]


def find_waiting(session: Session, number: int) -> MachineRow:
    """Raises NotFoundError for another number, WrongStateError when nothing is asked."""
    machine = session.get(MachineRow, number)
    if machine is None:
        raise NotFoundError(f"There is no waiting machine {number}.")
    if not is_waiting(machine):
        raise WrongStateError("Nobody has to say who this machine is.")
    return machine


def say_who(
    station: Station, session: Session, number: int, tag: str | None, actor: str
) -> MachineRow:
    """A person's answer: the waiting machine `number` is the one with `tag`, or None: a new one.

    Raises NotFoundError for another number or tag, WrongStateError when nothing is asked.
    """
    waiting = find_waiting(session, number)
    machine = waiting if tag is None else _settled(session, tag)
    note(
        session, "who-answered", actor=actor, machine=machine,
        answer=machine.asset_tag or "new", waited=waiting.id,
    )  # fmt: skip
    hardware = Hardware.model_validate(waiting.hardware)
    if tag is None:
        waiting.needs_hand = None
        _discover(session, waiting)
    else:
        _join(session, waiting, machine, hardware)
    remember_macs(session, machine, hardware)
    station.board.touch()
    return machine


def note_changes(session: Session, machine: MachineRow, hardware: Hardware) -> None:
    """Events for every part that is another one than at the machine's last registration."""
    if is_waiting(machine):
        return
    before = Hardware.model_validate(machine.hardware)
    for change in changes(before, hardware):
        old, new = ", ".join(change.was) or "–", ", ".join(change.now) or "–"
        if change.part == "board":
            note(session, "board-replaced", machine=machine, old=old, new=new)
        elif change.part == "network":
            note(session, "network-replaced", machine=machine, old=old, new=new)
        else:
            note(session, "disk-replaced", machine=machine, old=old, new=new)
    added = identifiers(hardware).disks - identifiers(before).disks
    _note_moved_disks(session, machine, added)


def remember_macs(session: Session, machine: MachineRow, hardware: Hardware) -> None:
    """By these addresses a machine is told how to start; one in doubt gets none."""
    if is_waiting(machine):
        return
    for nic in hardware.nics:
        row = session.get(MachineMacRow, nic.mac)
        if nic.usb:
            continue
        if row is None:
            session.add(MachineMacRow(mac=nic.mac, machine_id=machine.id))
        elif row.machine_id != machine.id:
            note(session, "mac-moved", machine=machine, mac=nic.mac, was=row.machine_id)
            row.machine_id = machine.id


def _ask(session: Session, machine: MachineRow, match: Match) -> None:
    tags = [session.get_one(MachineRow, number).asset_tag or "new" for number in match.candidates]
    problem = Problem(
        kind=WHO,
        message=f"This machine may be {' or '.join(tags[:8])}, or a new one.",
        hint="Read the label on its case, then say on the dashboard which machine it is.",
    )
    machine.needs_hand = problem.model_dump()
    note(session, "who-asked", machine=machine, candidates=", ".join(tags[:8]))


def _discover(session: Session, machine: MachineRow) -> None:
    run = runs.open_run(session, machine, Verb.DISCOVER)
    hardware = Hardware.model_validate(machine.hardware)
    runs.succeed(session, machine, run, _summary(hardware))
    _note_moved_disks(session, machine, identifiers(hardware).disks)


def _settled(session: Session, tag: str) -> MachineRow:
    machine = machine_by_tag(session, tag)
    if machine is None:
        raise unknown_tag(session, tag)
    return machine


def _join(session: Session, waiting: MachineRow, machine: MachineRow, hardware: Hardware) -> None:
    """The waiting row was this machine all along: it gets the key and what was told."""
    note_changes(session, machine, hardware)
    session.execute(
        update(MachineKeyRow)
        .where(
            MachineKeyRow.machine_id == machine.id,
            MachineKeyRow.surroundings == Surroundings.LIVE,
        )
        .values(retired=True)
    )
    session.execute(
        update(MachineKeyRow)
        .where(MachineKeyRow.machine_id == waiting.id)
        .values(machine_id=machine.id)
    )
    for run in runs.open_runs(session, machine):
        runs.interrupt(session, machine, run, "The machine started again with another part.")
    machine.hardware, machine.boot = waiting.hardware, waiting.boot
    machine.address, machine.last_seen = waiting.address, waiting.last_seen
    session.execute(delete(MachineRow).where(MachineRow.id == waiting.id))
    session.expunge(waiting)


def _note_moved_disks(session: Session, machine: MachineRow, new: frozenset[str]) -> None:
    """Disks that another machine had when it was last heard."""
    if not new:
        return
    for other in session.scalars(select(MachineRow).where(MachineRow.id != machine.id)):
        if is_waiting(other):
            continue
        for serial in sorted(new & identifiers(Hardware.model_validate(other.hardware)).disks):
            note(session, "disk-moved", machine=machine, disk=serial, origin=other.asset_tag or "")


def _summary(hardware: Hardware) -> dict[str, object]:
    """What a person wants to know of a machine at first sight."""
    return {
        "model": f"{hardware.smbios.system_vendor} {hardware.smbios.system_product}".strip(),
        "firmware": hardware.firmware,
        "secure_boot": hardware.secure_boot,
        "memory_mib": hardware.memory_mib,
        "disks": [disk.model_dump(mode="json") for disk in hardware.disks],
        "macs": [nic.mac for nic in hardware.nics],
    }
