"""Who gave what: donors, their machines, and factories' receipts for what was recycled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated

from pydantic import Field, StringConstraints
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from provisioner.errors import NotFoundError, WrongStateError, nearest
from provisioner.model.base import Model, Name, ShortText
from provisioner.store.events import note
from provisioner.store.office import DeclarationRow, DonorRow, GiftRow, LeaseRow, ReceiptRow
from provisioner.store.tables import BatchRow, MachineRow
from provisioner.workshop import desk

Line = Annotated[ShortText, StringConstraints(min_length=1, strip_whitespace=True)]
# Nobody weighs more than a lorry at once.
MOST_KG = 40_000


class Donor(Model):
    """Who gave machines."""

    name: Line
    contact: ShortText = ""


class Receipt(Model):
    """What a recycling factory weighed and signed for."""

    number: Line
    factory: Line
    kilograms: float = Field(gt=0, le=MOST_KG)
    weighed_on: date
    donor: ShortText = ""


class Declaration(Model):
    """How many pupils a school says that it has in a school year."""

    school: Name
    school_year: Annotated[str, StringConstraints(pattern=r"^20[0-9]{2}/[0-9]{2}$")]
    pupils: int = Field(ge=1, le=20_000)
    declared_by: Line
    declared_on: date


class Lease(Model):
    """From when to when a school has its classroom."""

    school: Name
    begins: date
    ends: date


def donors(session: Session) -> list[DonorRow]:
    return list(session.scalars(select(DonorRow).order_by(DonorRow.name)))


def find_donor(session: Session, name: str) -> DonorRow:
    """Raises NotFoundError with the nearest name."""
    row = session.scalar(select(DonorRow).where(DonorRow.name == name))
    if row is None:
        known = session.scalars(select(DonorRow.name)).all()
        raise NotFoundError(f"There is no donor “{name}”.", nearest(name, known))
    return row


def add_donor(session: Session, donor: Donor, actor: str) -> DonorRow:
    """Raises WrongStateError when there is one of that name."""
    if session.scalar(select(DonorRow).where(DonorRow.name == donor.name)):
        raise WrongStateError(f"There is a donor “{donor.name}”.", "Use that one.")
    row = DonorRow(name=donor.name, contact=donor.contact)
    session.add(row)
    session.flush()
    note(session, "donor-noted", actor=actor, name=donor.name)
    return row


def gave_batch(session: Session, batch: str, donor: str, actor: str) -> int:
    """All machines of a batch come from this donor; returns how many."""
    row = desk.find_batch(session, batch)
    numbers = session.scalars(select(MachineRow.id).where(MachineRow.batch_id == row.id)).all()
    given = _give(session, numbers, find_donor(session, donor))
    note(session, "gift-noted", actor=actor, batch_id=row.id, name=donor, count=given)
    return given


def gave_machine(session: Session, tag: str, donor: str, actor: str) -> None:
    """A machine comes from this donor; an empty name takes the note back."""
    machine = desk.find_machine(session, tag)
    if donor:
        _give(session, [machine.id], find_donor(session, donor))
    else:
        session.execute(delete(GiftRow).where(GiftRow.machine_id == machine.id))
    note(session, "gift-noted", actor=actor, machine=machine, name=donor or "–", count=1)


def donor_of(session: Session, machine: int) -> str:
    """Who gave a machine; empty when nobody noted it."""
    query = select(DonorRow.name).join(GiftRow).where(GiftRow.machine_id == machine)
    return session.scalar(query) or ""


def donor_of_batch(session: Session, batch: BatchRow) -> str:
    """The donor of most of a batch's machines."""
    query = (
        select(DonorRow.name)
        .join(GiftRow)
        .join(MachineRow, MachineRow.id == GiftRow.machine_id)
        .where(MachineRow.batch_id == batch.id)
        .group_by(DonorRow.name)
        .order_by(func.count().desc())
    )
    return session.scalars(query).first() or ""


def add_receipt(session: Session, receipt: Receipt, actor: str) -> ReceiptRow:
    """Raises NotFoundError for an unknown donor, WrongStateError for a receipt noted before."""
    donor = find_donor(session, receipt.donor).id if receipt.donor else None
    same = select(ReceiptRow).where(
        ReceiptRow.number == receipt.number, ReceiptRow.factory == receipt.factory
    )
    if session.scalar(same):
        raise WrongStateError("This receipt was noted before.", "Each one counts once.")
    row = ReceiptRow(
        number=receipt.number, factory=receipt.factory, donor_id=donor,
        kilograms=receipt.kilograms, weighed_on=receipt.weighed_on, noted_by=actor,
    )  # fmt: skip
    session.add(row)
    note(
        session, "receipt-noted", actor=actor,
        number=receipt.number, factory=receipt.factory, kilograms=receipt.kilograms,
    )  # fmt: skip
    return row


def declare(session: Session, said: Declaration, actor: str) -> DeclarationRow:
    """What a school declares; of one school year the newest declaration counts."""
    row = DeclarationRow(**said.model_dump())
    session.add(row)
    note(
        session, "pupils-declared", actor=actor,
        school=said.school, pupils=said.pupils, year=said.school_year, name=said.declared_by,
    )  # fmt: skip
    return row


def declarations(session: Session) -> list[DeclarationRow]:
    """The newest declaration of each school and school year."""
    newest = select(func.max(DeclarationRow.id)).group_by(
        DeclarationRow.school, DeclarationRow.school_year
    )
    query = select(DeclarationRow).where(DeclarationRow.id.in_(newest))
    return list(session.scalars(query.order_by(DeclarationRow.school, DeclarationRow.school_year)))


def lease(session: Session, wanted: Lease, actor: str) -> LeaseRow:
    """Raises WrongStateError when it ends before it begins."""
    if wanted.ends <= wanted.begins:
        raise WrongStateError("A lease ends after it begins.", "Look at the two dates.")
    row = session.merge(LeaseRow(school=wanted.school, begins=wanted.begins, ends=wanted.ends))
    note(
        session, "lease-noted", actor=actor,
        school=wanted.school, begins=str(wanted.begins), ends=str(wanted.ends),
    )  # fmt: skip
    return row


def leases(session: Session) -> dict[str, LeaseRow]:
    return {row.school: row for row in session.scalars(select(LeaseRow))}


def _give(session: Session, machines: Sequence[int], donor: DonorRow) -> int:
    for number in machines:
        session.merge(GiftRow(machine_id=number, donor_id=donor.id))
    return len(machines)
