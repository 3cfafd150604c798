"""A contest: `contest.yml` as the organiser writes it, and what of it machines are told."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator, model_validator

from provisioner.errors import WrongStateError
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.entry import ClockReading, Limits
from provisioner.model.order import KeyHex
from provisioner.model.school import Bilingual

FileName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9\u4e00-\u9fff][A-Za-z0-9\u4e00-\u9fff._-]{0,79}$")
]
# A host's name or address, nothing that a firewall's rules could take for something else.
Host = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$")
]
STATES = ("prepared", "on", "off", "removed")
# Before the beginning and after the end: so long it is switched on without the station's word.
LEAD, TRAIL = timedelta(minutes=30), timedelta(minutes=30)


class LateRule(StrEnum):
    """What becomes of an entry that surely came after the end."""

    MARK = "mark"
    REFUSE = "refuse"


class RepeatRule(StrEnum):
    """Which of a pupil's entries counts."""

    LAST = "last"
    FIRST = "first"


class AgeGroup(Model):
    """For example grades 1 to 3."""

    name: Name
    title: Bilingual


class ContestSettings(Model):
    """The content of `contest.yml`. Moments carry their zone: 2027-05-01T09:00:00+08:00."""

    title: Bilingual
    version: int = Field(1, ge=1, le=9999, description="raise it with every change of the content")
    editor: ShortText = Field("", description="the block editor's version that the rules demand")
    opens: datetime
    closes: datetime
    age_groups: tuple[AgeGroup, ...] = Field(min_length=1, max_length=12)
    schools: tuple[Name, ...] = Field(min_length=1, description="enrolled schools")
    lab: tuple[Name, ...] = ()
    late: LateRule = LateRule.MARK
    repeated: RepeatRule = RepeatRule.LAST
    freeze_hours: float = Field(48, ge=0, le=1000)
    limits: Limits = Limits()
    autosave_s: int = Field(30, ge=5, le=600)
    allowed_hosts: tuple[Host, ...] = Field((), max_length=20, description="reachable while on")
    keep_personal_days: int = Field(365, ge=1, le=3650)

    @field_validator("opens", "closes")
    @classmethod
    def _with_zone(cls, at: datetime) -> datetime:
        if at.tzinfo is None:
            raise ValueError("say the time zone, for example 2027-05-01T09:00:00+08:00")
        return at

    @model_validator(mode="after")
    def _in_order(self) -> ContestSettings:
        if self.closes <= self.opens:
            raise ValueError("“closes” is not after “opens”")
        names = [group.name for group in self.age_groups]
        if len(set(names)) != len(names):
            raise ValueError("an age group stands twice")
        if len(set(self.schools)) != len(self.schools):
            raise ValueError("a school stands twice in “schools”")
        if set(self.lab) - set(self.schools):
            raise ValueError("“lab” names a school that is not in “schools”")
        return self


class ContestCard(Model):
    """What the hand-in page and the machines know of a contest."""

    name: Name
    version: int
    title: Bilingual
    opens: datetime
    closes: datetime
    age_groups: tuple[AgeGroup, ...]
    late: LateRule
    limits: Limits
    autosave_s: int
    allowed_hosts: tuple[Host, ...]

    @classmethod
    def of(cls, name: str, settings: ContestSettings) -> ContestCard:
        shared = settings.model_dump(include=set(cls.model_fields) - {"name"})
        return cls.model_validate({"name": name, **shared})

    def is_on_at(self, clock: ClockReading) -> bool:
        """Whether the contest's hours say that it is on; never by a clock that nobody has set."""
        if clock.doubt_s is None:
            return False
        return self.opens - LEAD <= clock.at < self.closes + TRAIL

    def check_time(self, clock: ClockReading) -> None:
        """Refuse only what is surely outside of the contest's time: a doubtful clock is no reason.

        Raises TimeRefusedError.
        """
        if clock.doubt_s is None:
            return
        doubt = timedelta(seconds=clock.doubt_s)
        if clock.at + doubt < self.opens:
            raise TimeRefusedError("The contest has not begun yet.", "比赛还没有开始。")
        if self.late is LateRule.REFUSE and clock.at - doubt >= self.closes:
            raise TimeRefusedError("The contest is over: nothing more is taken.",
                                   "比赛已经结束，不能再交作品了。")  # fmt: skip


class SeatFile(Model):
    """/etc/classroom/contest-seat.json: a machine's place in a contest, as the playbook writes it.

    Without an address of the teacher's machine the room is asked for it, and the answer counts
    when `teacher_key` has signed it.
    """

    school: Name
    seat: ShortText
    teacher: bool = False
    teacher_url: ShortText = Field("", description="http://ADDRESS:PORT of the teacher's machine")
    teacher_key: KeyHex | None = None
    room_address: ShortText = Field("0.0.0.0", description="where a teacher's machine listens")  # noqa: S104


class ContestPlace(Model):
    """What the station tells one machine beside the state that it shall have."""

    seat: SeatFile
    pupil: ShortText = Field(description="login of the account that pupils use")


class TimeRefusedError(WrongStateError):
    """Surely too early or too late; `zh` is the same sentence in Chinese."""

    def __init__(self, message: str, zh: str) -> None:
        super().__init__(message)
        self.zh = zh
