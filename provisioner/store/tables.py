"""The tables. SQLite by default; PostgreSQL by changing one URL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    String,
    TypeDecorator,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class Utc(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            return value.replace(tzinfo=UTC)
        return value


def now() -> datetime:
    return datetime.now(UTC)


class Table(DeclarativeBase):
    """Base of all tables; constraints get stable names for migrations."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    # None is NULL in the database, not the JSON word "null": queries ask "is there a problem?".
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON(none_as_null=True),
        list[Any]: JSON(none_as_null=True),
        datetime: Utc,
    }


class BatchRow(Table):
    """Machines prepared together for one school."""

    __tablename__ = "batch"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    school: Mapped[str] = mapped_column(String(63))
    release: Mapped[str] = mapped_column(String(80))
    policy: Mapped[dict[str, Any]]
    size: Mapped[int] = mapped_column(doc="how many machines may join")
    created_at: Mapped[datetime] = mapped_column(default=now)
    open_until: Mapped[datetime | None] = mapped_column(doc="None: closed, nobody may join")
    machines: Mapped[list[MachineRow]] = relationship(back_populates="batch")


class MachineRow(Table):
    """One refurbished PC and what has been proved about it."""

    __tablename__ = "machine"

    id: Mapped[int] = mapped_column(primary_key=True)
    asset_tag: Mapped[str | None] = mapped_column(String(40), unique=True)
    milestone: Mapped[str] = mapped_column(String(20))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batch.id"), index=True)
    seat: Mapped[int | None]
    hardware: Mapped[dict[str, Any]]
    boot: Mapped[dict[str, Any]]
    address: Mapped[str] = mapped_column(String(45), default="")
    target: Mapped[dict[str, Any] | None] = mapped_column(doc="the disk chosen, as DiskRef")
    installed_key: Mapped[str | None] = mapped_column(String(64), unique=True)
    ssh_host_keys: Mapped[list[Any]] = mapped_column(default=list)
    release: Mapped[str] = mapped_column(String(80), default="", doc="proved to be on its disk")
    needs_hand: Mapped[dict[str, Any] | None] = mapped_column(
        doc="what a person must do, as Screen"
    )
    live_starts: Mapped[int] = mapped_column(default=0, doc="in a row although imaged")
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_seen: Mapped[datetime] = mapped_column(default=now)
    batch: Mapped[BatchRow | None] = relationship(back_populates="machines")
    runs: Mapped[list[RunRow]] = relationship(back_populates="machine", order_by="RunRow.id")


class MachineMacRow(Table):
    """Network addresses by which a machine is recognised when it asks how to start."""

    __tablename__ = "machine_mac"

    mac: Mapped[str] = mapped_column(String(17), primary_key=True)
    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), index=True)


class MachineKeyRow(Table):
    """A key that a machine signs with, and the last counter it used."""

    __tablename__ = "machine_key"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), index=True)
    surroundings: Mapped[str] = mapped_column(String(20))
    counter: Mapped[int] = mapped_column(BigInteger)
    retired: Mapped[bool] = mapped_column(default=False, doc="a newer key has taken its place")


class RunRow(Table):
    """One run of one stage on one machine, with its order, its evidence and the judgement."""

    __tablename__ = "run"

    id: Mapped[int] = mapped_column(primary_key=True)
    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), index=True)
    verb: Mapped[str] = mapped_column(String(20))
    state: Mapped[str] = mapped_column(String(20))
    order_id: Mapped[str | None] = mapped_column(String(32), unique=True)
    sealed_order: Mapped[str | None]
    order_key: Mapped[str | None] = mapped_column(String(64))
    evidence: Mapped[dict[str, Any] | None]
    problem: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    machine: Mapped[MachineRow] = relationship(back_populates="runs")

    __table_args__ = (Index("ix_run_machine_state", "machine_id", "state"),)


class FieldOrderRow(Table):
    """Something that a machine in its school is to do when it asks; it may be silent for weeks."""

    __tablename__ = "field_order"

    id: Mapped[int] = mapped_column(primary_key=True)
    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), index=True)
    work: Mapped[dict[str, Any]] = mapped_column(doc="as an order's work")
    state: Mapped[str] = mapped_column(String(20), doc="of model.field.FieldState")
    actor: Mapped[str] = mapped_column(String(80))
    ordered_at: Mapped[datetime] = mapped_column(default=now)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("run.id"), index=True)


class MachineHealthRow(Table):
    """What a machine last said of itself, and when it was heard."""

    __tablename__ = "machine_health"

    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), primary_key=True)
    heard_at: Mapped[datetime] = mapped_column(default=now)
    report: Mapped[dict[str, Any]] = mapped_column(doc="as model.health.Health")


class EventRow(Table):
    """Something that happened. Rows are only ever added; the database itself refuses changes."""

    __tablename__ = "event"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    kind: Mapped[str] = mapped_column(String(40), index=True)
    actor: Mapped[str] = mapped_column(String(80))
    machine_id: Mapped[int | None] = mapped_column(index=True)
    batch_id: Mapped[int | None] = mapped_column(index=True)
    data: Mapped[dict[str, Any]]


class CounterRow(Table):
    """Numbers that only rise, such as the last asset tag."""

    __tablename__ = "counter"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[int]
