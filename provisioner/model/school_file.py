"""/etc/classroom/school.json: what a machine itself knows about its school; nothing is secret.

Configuring writes it, the agent and its parts read it: when lessons are, what updates may take of
the line, whether this machine serves the room. A key that an older agent does not know is passed
over, so new ones go to the top level.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from provisioner.model.base import Model, Name, ShortText
from provisioner.model.classroom import Contest, Homes, Line, Proxy, Weekday
from provisioner.model.school import AssetTag, Bilingual, HostLabel, School, SeatRole
from provisioner.model.site_cache import Lessons, SiteCache
from provisioner.model.wish import PackWish

PATH = Path("/etc/classroom/school.json")
SITE_CACHE_PATH = Path("/etc/classroom/site-cache.json")
DAYS = tuple(Weekday)


class Place(Model):
    """One seat of the room: how its machine is called, and its address where that is fixed."""

    seat: ShortText
    role: SeatRole
    hostname: HostLabel
    address: ShortText | None = None


class SchoolFile(BaseModel):
    """One machine's view of its school."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 1
    school: Name
    name: Bilingual
    asset_tag: AssetTag
    seat: ShortText
    role: SeatRole
    hostname: HostLabel
    room: tuple[Place, ...] = Field((), description="all seats, teachers' first")
    language: ShortText
    time_zone: ShortText
    homes: Homes = Homes.KEPT
    hours: tuple[Lessons, ...] = Field((), description="empty: nothing is known about lessons")
    switch_off: bool = False
    line: Line = Line()
    proxy: Proxy | None = None
    site_cache: bool = Field(True, description="this machine gives what it has to the room")
    rescue: bool = Field(False, description="broken machines of the room may start from this one")
    courseware: bool = Field(False, description="this machine serves courseware to the room")
    packs: tuple[PackWish, ...] = ()
    contest: Contest | None = None

    @property
    def teachers(self) -> tuple[Place, ...]:
        """The teacher's machines."""
        return tuple(place for place in self.room if place.role is SeatRole.TEACHER)


def lessons_of(school: School) -> tuple[Lessons, ...]:
    """Opening hours in the form that the agent reckons with: Monday is 0."""
    hours = school.settings.hours
    return tuple(
        Lessons(days=tuple(sorted(map(DAYS.index, one.days))), begin=one.open, end=one.close)
        for one in (hours.times if hours else ())
    )


def school_file(school: School, seat_number: int, asset_tag: str) -> SchoolFile:
    """What the machine at a seat is told. Raises NotFoundError for a seat that is not there."""
    settings, seat = school.settings, school.seat(seat_number)
    desk, hours = settings.teacher_desk, settings.hours
    at_desk = seat.role is SeatRole.TEACHER
    return SchoolFile(
        school=school.id,
        name=settings.name,
        asset_tag=asset_tag,
        seat=seat.name,
        role=seat.role,
        hostname=seat.hostname,
        room=places(school),
        language=settings.language,
        time_zone=settings.time_zone,
        homes=settings.homes,
        hours=lessons_of(school),
        switch_off=bool(hours and hours.switch_off),
        line=settings.line,
        proxy=settings.network.proxy,
        site_cache=desk.site_cache or not at_desk,
        rescue=desk.rescue and at_desk,
        courseware=desk.courseware and at_desk,
        packs=settings.packs,
        contest=settings.contest,
    )


def places(school: School) -> tuple[Place, ...]:
    """Every seat of the room."""
    fixed = school.settings.network.fixed
    return tuple(
        Place(
            seat=seat.name,
            role=seat.role,
            hostname=seat.hostname,
            address=fixed.address(number).partition("/")[0] if fixed else None,
        )
        for number, seat in enumerate(school.seats, 1)
    )


def site_cache(school: School, seat_number: int) -> SiteCache:
    """What the machine may give to the room, in the file that `agent.cache` reads."""
    at_desk = school.seat(seat_number).role is SeatRole.TEACHER
    enabled = school.settings.teacher_desk.site_cache or not at_desk
    lessons = lessons_of(school)
    return SiteCache(enabled=enabled, lessons=lessons) if lessons else SiteCache(enabled=enabled)
