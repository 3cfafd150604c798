"""The journal: an append-only table of what happened, who did it, and with which figures."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from provisioner.store.tables import EventRow, MachineRow

STATION = "station"


def note(
    session: Session,
    kind: str,
    *,
    actor: str = STATION,
    machine: MachineRow | None = None,
    batch_id: int | None = None,
    **data: Any,
) -> None:
    """Add an event. `data` is plain JSON values; secrets never go in."""
    session.add(
        EventRow(
            kind=kind,
            actor=actor,
            machine_id=machine.id if machine else None,
            batch_id=batch_id if batch_id is not None else machine.batch_id if machine else None,
            data=data,
        )
    )
