"""The tables of the office: who may come in, the bench, leases, donors and what was declared."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from provisioner.store.tables import Table, now


class AccountRow(Table):
    """Somebody who may log in."""

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(String(31), unique=True)
    name: Mapped[str] = mapped_column(String(200), default="")
    password: Mapped[str | None] = mapped_column(String(200), doc="Argon2id; None: not chosen")
    role: Mapped[str] = mapped_column(String(20))
    schools: Mapped[list[Any]] = mapped_column(default=list, doc="empty: all")
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class SessionRow(Table):
    """A browser that has logged in; by the digest of its cookie."""

    __tablename__ = "login_session"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    ends_at: Mapped[datetime]


class CodeRow(Table):
    """A code that lets an account in once; by its digest."""

    __tablename__ = "login_code"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    ends_at: Mapped[datetime]


class TokenRow(Table):
    """A script's token; by its digest."""

    __tablename__ = "api_token"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[Any]]
    made_by: Mapped[str] = mapped_column(String(80))
    ends_at: Mapped[datetime]
    revoked: Mapped[bool] = mapped_column(default=False)


class BenchRow(Table):
    """Where a machine stands on the bench."""

    __tablename__ = "bench"

    machine_id: Mapped[int] = mapped_column(
        ForeignKey("machine.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(doc="from 0, row by row")


class PreferenceRow(Table):
    """How this workshop likes its screen, such as the number of places in a row of the bench."""

    __tablename__ = "preference"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int]


class DonorRow(Table):
    """Who gave machines."""

    __tablename__ = "donor"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    contact: Mapped[str] = mapped_column(String(200), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)


class GiftRow(Table):
    """Which machine came from which donor."""

    __tablename__ = "gift"

    machine_id: Mapped[int] = mapped_column(
        ForeignKey("machine.id", ondelete="CASCADE"), primary_key=True
    )
    donor_id: Mapped[int] = mapped_column(ForeignKey("donor.id"), index=True)


class ReceiptRow(Table):
    """A recycling factory's receipt: the only thing that makes kilograms recycled."""

    __tablename__ = "recycling_receipt"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(String(80))
    factory: Mapped[str] = mapped_column(String(200))
    donor_id: Mapped[int | None] = mapped_column(ForeignKey("donor.id"), index=True)
    kilograms: Mapped[float]
    weighed_on: Mapped[date]
    noted_by: Mapped[str] = mapped_column(String(80))


class DeclarationRow(Table):
    """How many pupils a school says that it has in a school year, and who said so when."""

    __tablename__ = "declaration"

    id: Mapped[int] = mapped_column(primary_key=True)
    school: Mapped[str] = mapped_column(String(63), index=True)
    school_year: Mapped[str] = mapped_column(String(20))
    pupils: Mapped[int]
    declared_by: Mapped[str] = mapped_column(String(200))
    declared_on: Mapped[date]


class LeaseRow(Table):
    """From when to when a school has its classroom."""

    __tablename__ = "lease"

    school: Mapped[str] = mapped_column(String(63), primary_key=True)
    begins: Mapped[date]
    ends: Mapped[date]


class PromotedRow(Table):
    """What a person said about a release: new batches take it, or nobody does any more."""

    __tablename__ = "release_standing"

    release: Mapped[str] = mapped_column(String(80), primary_key=True)
    standing: Mapped[str] = mapped_column(String(20), doc="promoted or withdrawn")
    reason: Mapped[str] = mapped_column(String(200), default="")
