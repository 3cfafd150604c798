"""What a machine in the field makes of what is wanted of it, by whoever's word and hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provisioner.agent.contest import Contests, Goal, parse_goal
from provisioner.errors import ProvisionerError, StationError, UnreachableError
from provisioner.model.contest import (
    AgeGroup,
    ContestCard,
    ContestPlace,
    ContestSettings,
    SeatFile,
)
from provisioner.model.entry import ClockReading
from provisioner.model.rollout import StateReport, Wanted, WantedReply
from provisioner.model.school import Bilingual

TRACK = "contest:contest-2027"
V1, V2 = "contest-2027.2027.1", "contest-2027.2027.2"
OPENS = datetime(2027, 5, 1, 9, tzinfo=UTC)
TITLE = Bilingual(en="x", zh="x")
CARD = ContestCard.of(
    "contest-2027",
    ContestSettings(title=TITLE, opens=OPENS, closes=OPENS + timedelta(hours=8),
                    age_groups=(AgeGroup(name="primary", title=TITLE),), schools=("s",)),
)  # fmt: skip
PLACE = ContestPlace(seat=SeatFile(school="s", seat="pupil-01"), pupil="pupil")


class FakeHands:
    """A machine of which only its state is known."""

    def __init__(self) -> None:
        self.state = ""
        self.done: list[str] = []
        self.fails: ProvisionerError | None = None
        self.layer: str = ""
        self.sends = self.waiting = 0

    def bring(self, goal: Goal, least: int) -> int:
        if self.fails:
            raise self.fails
        self.layer = goal.release
        return int(goal.version.rpartition(".")[2])

    def here(self, goal: Goal) -> bool:
        return self.layer == goal.release

    def card(self, goal: Goal) -> ContestCard | None:
        return CARD if self.layer else None

    def play(self, goal: Goal, place: ContestPlace) -> None:
        self.done.append(goal.value)
        self.state = goal.value

    def send(self, goal: Goal) -> int:
        self.sends += 1
        return self.waiting

    def forget(self, goal: Goal) -> None:
        self.done.append("forget")

    def trouble(self, goal: Goal) -> str:
        return "" if self.state == goal.value else "not so"


class World:
    """One machine, its hours, and what its station says."""

    def __init__(self, folder: Path) -> None:
        self.hands, self.wish, self.monotonic = FakeHands(), "", 0.0
        self.clock = ClockReading(at=OPENS - timedelta(days=3), doubt_s=2.0)
        self.file = folder / "contest.json"
        self.heard: list[tuple[StateReport, ...]] = []
        self.wanted_now: tuple[Wanted, ...] = ()
        self.start()

    def start(self) -> None:
        self.contests = Contests(self.file, self.hands, lambda: self.clock, lambda: self.wish,
                                 lambda: self.monotonic)  # fmt: skip

    def wanted(self, reports: Sequence[StateReport]) -> WantedReply:
        self.heard.append(tuple(reports))
        return WantedReply(to_key="k", counter=1, wanted=self.wanted_now, ask_again_s=900)

    def says(self, value: str) -> None:
        self.wanted_now = (Wanted(track=TRACK, value=value, place=PLACE),)
        self.monotonic += 1000
        self.contests.speak(self)
        self.contests.turn()

    @property
    def report(self) -> StateReport:
        return self.contests.reports()[0]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_values_are_read_and_others_refused() -> None:
    goal = parse_goal(TRACK, f"{V1}.on")
    assert (goal.release, goal.state, goal.value) == ("contest-2027@2027.1", "on", f"{V1}.on")
    for track, value in ((TRACK, "contest-2028.1.on"), ("release", "x@1"), (TRACK, V1[:12])):
        with pytest.raises(ValueError, match="is no state"):
            parse_goal(track, value)


def test_what_is_wanted_is_done_once_and_said(world: World) -> None:
    world.says(f"{V1}.prepared")
    assert world.hands.done == [f"{V1}.prepared"]
    world.contests.turn()
    assert len(world.hands.done) == 1
    assert (world.report.value, world.report.ok) == (f"{V1}.prepared", True)
    world.monotonic += 3600
    world.contests.turn()
    assert world.report.powered_on_s == 3600
    world.says(f"{V1}.prepared")
    assert world.heard[-1][0].powered_on_s == 3600


def test_it_is_on_by_its_own_hours_without_a_line(world: World) -> None:
    world.says(f"{V1}.prepared")
    world.monotonic += 7200
    for hours, state in ((-0.6, "prepared"), (-0.4, "on"), (8.4, "on"), (8.6, "prepared")):
        world.clock = ClockReading(at=OPENS + timedelta(hours=hours), doubt_s=2.0)
        world.start()  # and a restart changes nothing
        world.contests.turn()
        assert world.hands.state == f"{V1}.{state}", hours
        assert (world.report.value, world.report.now) == (f"{V1}.prepared", f"{V1}.{state}")
    assert world.hands.done[1:] == [f"{V1}.on", f"{V1}.prepared"]


def test_a_clock_that_nobody_set_switches_nothing_on_but_a_person_may(world: World) -> None:
    world.says(f"{V1}.prepared")
    world.clock = ClockReading(at=OPENS + timedelta(hours=1), doubt_s=None)
    world.contests.turn()
    assert world.hands.state == f"{V1}.prepared"
    world.wish = "on"
    world.contests.turn()
    assert world.hands.state == f"{V1}.on"
    world.wish = ""  # it was read, and outlives a power cut
    world.start()
    world.contests.turn()
    assert world.hands.state == f"{V1}.on"
    world.wish = "off"
    world.contests.turn()
    assert world.hands.state == f"{V1}.prepared"
    world.wish = ""
    world.says(f"{V1}.on")  # the station's new word counts more
    assert world.hands.state == f"{V1}.on"


def test_on_the_day_what_is_here_counts(world: World) -> None:
    """A newer version is wanted, and the line went away before it was brought."""
    world.says(f"{V1}.prepared")
    world.hands.fails = UnreachableError("cut")
    world.says(f"{V2}.prepared")
    assert world.hands.state == f"{V1}.prepared"
    world.hands.fails = None
    world.hands.bring = lambda goal, least: 1  # type: ignore[method-assign]
    world.clock = ClockReading(at=OPENS, doubt_s=2.0)
    world.monotonic += 1000
    world.contests.turn()
    assert world.hands.state == f"{V1}.on"


def test_taken_back_and_removed(world: World) -> None:
    world.says(f"{V2}.prepared")
    world.says(f"{V1}.prepared")
    world.says("contest-2027.0.removed")
    assert world.hands.state == "contest-2027.0.removed"
    world.wish = "on"  # nobody switches on what was removed
    world.contests.turn()
    assert world.hands.state == "contest-2027.0.removed"
    assert world.report.value == "contest-2027.0.removed"


def test_no_line_is_no_failure_and_a_failure_is_said(world: World) -> None:
    world.hands.fails = UnreachableError("nobody there")
    world.says(f"{V1}.prepared")
    assert world.contests.reports() == ()
    world.hands.fails = StationError("the layer is damaged")
    world.monotonic += 1000
    world.contests.turn()
    assert (world.report.ok, world.report.value) == (False, f"{V1}.prepared")
    assert world.report.problem == "the layer is damaged"
    world.hands.fails = None
    world.monotonic += 1000
    world.contests.turn()
    assert (world.report.ok, world.report.problem) == (True, "")


def test_a_new_version_must_be_proved_anew(world: World) -> None:
    world.says(f"{V1}.prepared")
    world.monotonic += 7200
    world.says(f"{V2}.prepared")
    assert (world.report.value, world.report.powered_on_s) == (f"{V2}.prepared", 0.0)


def test_a_damaged_file_is_asked_anew(world: World) -> None:
    world.says(f"{V1}.prepared")
    world.file.write_text("{")
    world.start()
    assert world.contests.reports() == ()
    world.says(f"{V1}.prepared")
    assert world.report.value == f"{V1}.prepared"


def test_nothing_is_removed_before_all_entries_are_at_home(world: World) -> None:
    world.says(f"{V1}.prepared")
    world.hands.waiting = 2
    world.says("contest-2027.0.removed")
    assert world.hands.done == [f"{V1}.prepared"]
    world.hands.waiting = 0
    world.monotonic += 1000
    world.contests.turn()
    assert world.hands.done[1:] == ["forget", "contest-2027.0.removed"]


def test_entries_go_on_their_way_when_it_is_off(world: World) -> None:
    world.says(f"{V1}.prepared")
    assert world.hands.sends == 1
    world.hands.waiting = 1
    for _ in range(4):
        world.monotonic += 3600
        world.contests.turn()
    assert world.hands.sends == 5
    world.says(f"{V1}.on")
    world.monotonic += 3600
    world.contests.turn()
    assert world.hands.sends == 5  # the service does it


def test_what_undid_itself_is_done_again(world: World) -> None:
    world.says(f"{V1}.on")
    world.hands.state = ""
    world.monotonic += 100
    world.contests.turn()
    assert world.hands.done == [f"{V1}.on", f"{V1}.on"]
