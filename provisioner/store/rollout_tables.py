"""Tables of what goes to many schools in waves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from provisioner.store.tables import Table, now


class RolloutRow(Table):
    """One rollout: its plan as it was started, and where it stands."""

    __tablename__ = "rollout"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    track: Mapped[str] = mapped_column(String(80), index=True)
    plan: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(20), index=True)
    wave: Mapped[int] = mapped_column(default=0)
    room: Mapped[int] = mapped_column(default=0, doc="how many more may be given it now")
    reason: Mapped[str] = mapped_column(String(200), default="")
    started_at: Mapped[datetime] = mapped_column(default=now)


class RolloutMachineRow(Table):
    """One machine in one rollout. `wave` is its school's, None until that is admitted."""

    __tablename__ = "rollout_machine"

    rollout_id: Mapped[int] = mapped_column(ForeignKey("rollout.id"), primary_key=True)
    machine_id: Mapped[int] = mapped_column(ForeignKey("machine.id"), primary_key=True)
    school: Mapped[str] = mapped_column(String(63))
    wave: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(20))
    heard_at: Mapped[datetime | None]
    told_at: Mapped[datetime | None]
    has: Mapped[str] = mapped_column(String(120), default="", doc="what it said it has")
    powered_on_s: Mapped[float] = mapped_column(default=0.0)
    problem: Mapped[str] = mapped_column(String(200), default="")

    __table_args__ = (
        Index("ix_rollout_machine_machine", "machine_id"),
        Index("ix_rollout_machine_state", "rollout_id", "state"),
    )
