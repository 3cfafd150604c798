"""The bench: where each machine stands, so that the screen looks like the room."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from provisioner.errors import WrongStateError
from provisioner.store.events import note
from provisioner.store.office import BenchRow, PreferenceRow
from provisioner.store.tables import MachineRow
from provisioner.workshop.station import Station

MOST = 5000
WIDEST = 12
_COLUMNS = "bench-columns"


def places(session: Session) -> dict[int, int]:
    """Machine to place, from 0, row by row; machines that nobody put anywhere are not in it."""
    found = session.execute(select(BenchRow.machine_id, BenchRow.place))
    return {row.machine_id: row.place for row in found}


def columns(session: Session) -> int:
    """How many places a row of the bench has; 0: as many as the screen has room for."""
    row = session.get(PreferenceRow, _COLUMNS)
    return row.value if row is not None else 0


def arrange(
    station: Station, session: Session, order: Sequence[int], width: int, actor: str
) -> None:
    """Put machines on the bench in this order; those not named stand behind them, by tag.

    Raises WrongStateError for numbers that are no machines' or come twice.
    """
    known = set(session.scalars(select(MachineRow.id).where(MachineRow.id.in_(order[:MOST]))))
    if len(order) > MOST or len(set(order)) != len(order) or not known.issuperset(order):
        raise WrongStateError(
            "This is not the bench as it is now.", "Load the page again, then arrange it."
        )
    if not 0 <= width <= WIDEST:
        raise WrongStateError(f"A row has 1 to {WIDEST} places.", "0 means as many as fit.")
    session.execute(delete(BenchRow))
    session.add_all(BenchRow(machine_id=number, place=at) for at, number in enumerate(order))
    session.merge(PreferenceRow(name=_COLUMNS, value=width))
    note(session, "bench-arranged", actor=actor, count=len(order), columns=width)
    station.board.touch()
