"""Enrol: a discovered machine gets an asset tag and joins the batch that is open.

Machines are not confirmed one by one: the operator opens a batch for a number of machines and
a time, and whoever is plugged in then belongs to it. The number and the time are the guard.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from provisioner import asset_tag
from provisioner.lifecycle import Verb
from provisioner.store.events import note
from provisioner.store.tables import BatchRow, CounterRow, MachineRow, now
from provisioner.workshop import runs
from provisioner.workshop.station import Station


def enrol(station: Station, session: Session, machine: MachineRow) -> bool:
    """Put the machine into the open batch, if there is one with a free place."""
    batch = open_batch(session)
    if batch is None:
        return False
    # Two machines at the same moment must not count the same free seat.
    session.refresh(batch, with_for_update=True)
    taken = members(session, batch)
    if taken >= batch.size:
        _note_once_full(session, machine, batch)
        return False
    run = runs.open_run(session, machine, Verb.ENROL)
    if machine.asset_tag is None:
        number = _next_number(session, "asset-tag")
        machine.asset_tag = asset_tag.write(station.settings.asset_tag_pattern, number)
    machine.batch, machine.batch_id, machine.seat = batch, batch.id, taken + 1
    evidence = {"asset_tag": machine.asset_tag, "batch": batch.name, "seat": machine.seat}
    runs.succeed(session, machine, run, evidence)
    return True


def open_batch(session: Session) -> BatchRow | None:
    """The batch that machines may join now. There is never more than one."""
    query = select(BatchRow).where(BatchRow.open_until > now()).order_by(BatchRow.id)
    return session.scalars(query).first()


def members(session: Session, batch: BatchRow) -> int:
    """How many machines have joined a batch."""
    query = select(func.count()).select_from(MachineRow).where(MachineRow.batch_id == batch.id)
    return session.scalar(query) or 0


def _next_number(session: Session, name: str) -> int:
    """One statement, so that two machines at the same moment get two numbers."""
    rise = update(CounterRow).where(CounterRow.name == name).values(value=CounterRow.value + 1)
    return session.execute(rise.returning(CounterRow.value)).scalar_one()


def _note_once_full(session: Session, machine: MachineRow, batch: BatchRow) -> None:
    if machine.needs_hand is None:
        machine.needs_hand = {
            "kind": "batch-full",
            "message": f"The batch {batch.name} already has its {batch.size} machines.",
            "hint": "Enlarge the batch or open the next one, then press “try again”.",
        }
        note(session, "batch-full", machine=machine, batch_id=batch.id, size=batch.size)
