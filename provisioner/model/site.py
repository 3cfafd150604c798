"""What an installed machine knows of its school: /etc/classroom/school.json.

The school's configuration brings the file. A machine without it, or with one that says more than
this program knows, behaves as most schools would want.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from provisioner.model.site_cache import FIRST_YEAR, Clock

SITE_FILE = "etc/classroom/school.json"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class _Tolerant(BaseModel):
    """Written by another version of this program: what is not known here is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class OpenTime(_Tolerant):
    """When the room is used, by the machine's own clock."""

    days: tuple[str, ...] = DAYS[:5]
    open: Clock = "07:30"
    close: Clock = "18:00"

    def holds(self, now: datetime) -> bool:
        return DAYS[now.weekday()] in self.days and self.open <= f"{now:%H:%M}" < self.close


class Hours(_Tolerant):
    times: tuple[OpenTime, ...] = (OpenTime(),)


class Line(_Tolerant):
    """What renewing may take of the school's line, in KiB per second; 0 is nothing."""

    download_kib_s: int = Field(1024, ge=8, le=1 << 20)
    lessons_download_kib_s: int = Field(64, ge=0, le=1 << 20)


class Teacher(_Tolerant):
    rescue: bool = False


class Site(_Tolerant):
    """The school's public part, as far as a machine's own agent needs it."""

    hours: Hours = Hours()
    line: Line = Line()
    teacher: Teacher = Teacher()

    @field_validator("hours", "line", "teacher", mode="before")
    @classmethod
    def _nothing_said(cls, value: Any) -> Any:
        return {} if value is None else value

    def knows_the_hour(self, now: datetime) -> bool:
        """Whether the clock can be believed at all: many an old machine's battery is dead."""
        return now.year >= FIRST_YEAR

    def is_open(self, now: datetime) -> bool:
        """Whether somebody may be working there at `now`."""
        return any(time.holds(now) for time in self.hours.times)
