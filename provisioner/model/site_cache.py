"""How much an installed machine gives to its classroom: /etc/classroom/site-cache.json.

The school's configuration may bring the file; without it the defaults hold, which suit a room
with a switch of 100 Mbit/s and lessons on working days.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from provisioner.model.base import Model

Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
KIB = 1024
# A machine with a dead clock battery starts in the past: then nobody knows whether lessons are on.
FIRST_YEAR = 2025


class Lessons(Model):
    """When the room is needed for something else, by the machine's own clock. Monday is 0."""

    days: tuple[Annotated[int, Field(ge=0, le=6)], ...] = Field((0, 1, 2, 3, 4), max_length=7)
    begin: Clock = "07:30"
    end: Clock = "18:00"

    @model_validator(mode="after")
    def _begin_before_end(self) -> Lessons:
        if self.begin >= self.end:
            raise ValueError(f"lessons begin ({self.begin}) before they end ({self.end})")
        return self

    def hold(self, now: datetime) -> bool:
        """Whether there are lessons at `now`."""
        return now.weekday() in self.days and self.begin <= f"{now:%H:%M}" < self.end


class SiteCache(Model):
    """Limits of what a machine gives. Rates are for the whole machine, in KiB per second."""

    enabled: bool = True
    upload_kib_s: int = Field(8192, ge=16, le=1 << 20, description="while no lessons are on")
    lessons_upload_kib_s: int = Field(512, ge=16, le=1 << 20)
    lessons: tuple[Lessons, ...] = Field((Lessons(),), max_length=14)
    memory_mib: int = Field(
        96, ge=32, le=4096, description="it stops for a while when it has grown by more"
    )

    def upload_bytes_s(self, now: datetime) -> int:
        """What may be given at `now`; while the clock is plainly wrong, as in lessons."""
        if now.year < FIRST_YEAR or any(lessons.hold(now) for lessons in self.lessons):
            return self.lessons_upload_kib_s * KIB
        return self.upload_kib_s * KIB
