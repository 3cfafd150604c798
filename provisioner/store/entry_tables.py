"""The table of contests' entries. What is personal stands in one column, to be erased."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from provisioner.store.tables import Table, now


class EntryRow(Table):
    """One entry that came home. Its bytes lie in the contest's folder under their SHA-256."""

    __tablename__ = "entry"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    contest: Mapped[str] = mapped_column(String(63), index=True)
    school: Mapped[str] = mapped_column(String(63))
    machine_id: Mapped[int | None]
    asset_tag: Mapped[str] = mapped_column(String(200))
    sequence: Mapped[int]
    code: Mapped[str] = mapped_column(String(12), index=True)
    pupil: Mapped[dict[str, Any] | None] = mapped_column(doc="name and form; None when erased")
    age_group: Mapped[str] = mapped_column(String(63))
    title: Mapped[str] = mapped_column(String(60))
    sha256: Mapped[str] = mapped_column(String(64))
    size: Mapped[int]
    handed_in_at: Mapped[datetime]
    doubt_s: Mapped[float | None]
    received_at: Mapped[datetime] = mapped_column(default=now)
    lateness: Mapped[str] = mapped_column(String(20))
    refused: Mapped[str] = mapped_column(String(40), default="", doc="a code, when it is no entry")
    facts: Mapped[dict[str, Any] | None]
    erased_at: Mapped[datetime | None]
