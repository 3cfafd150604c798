"""A contest on this machine: what the station wants of it, and what it is now.

The station is asked now and then, in the agent's own dialogue; the work is done in a thread of its
own. What is wanted is kept on the disk, so that a machine goes on without a line: it comes into
the contest by the contest's own hours, from half an hour before the beginning to half an hour after
the end, as long as it knows what time it is, and by a file named `contest` in
`/run/classroom/wishes/` that says “on” or “off” (or “by itself” again) when it does not. A state
counts when the machine was looked at.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import Field, ValidationError

from provisioner.agent.memory import write_whole
from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.model.base import Model, ShortText
from provisioner.model.contest import ContestCard, ContestPlace
from provisioner.model.entry import ClockReading
from provisioner.model.rollout import StateReport, Track, Value, Wanted, WantedReply

KIND = "contest:"
STATE_FILE = "contest.json"
ASK_S = 900.0
LOOK_S, KEEP_S = 20.0, 300.0
RETRY_S = (30.0, 60.0, 300.0, 900.0)
SEND_S = 3600.0
WISHES = ("on", "off", "by itself")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Goal:
    """One state of one version of a contest, as it stands in a rollout's value."""

    contest: str
    version: str
    state: str

    @property
    def release(self) -> str:
        return f"{self.contest}@{self.version}"

    @property
    def value(self) -> str:
        return f"{self.contest}.{self.version}.{self.state}"


def parse_goal(track: str, value: str) -> Goal:
    """`contest:NAME` and `NAME.VERSION.STATE`. Raises ValueError for anything else."""
    contest = track.removeprefix(KIND)
    version, dot, state = value.removeprefix(f"{contest}.").rpartition(".")
    if not (track.startswith(KIND) and value.startswith(f"{contest}.") and dot and version):
        raise ValueError(f"{value} is no state of {track}")
    return Goal(contest, version, state)


class Seat(Model):
    """What is kept of one contest: what is wanted, what is, since when, and what went wrong."""

    track: Track
    wanted: Value
    place: ContestPlace | None = None
    wish: ShortText = Field("", description="of somebody at the machine, until another word")
    has: Value | None = None
    ok: bool = True
    problem: ShortText = ""
    powered_on_s: float = 0.0
    number: int = Field(0, description="of the newest layer that was here")


class Seats(Model):
    seats: tuple[Seat, ...] = ()


class Hands(Protocol):
    """What is done to this machine. Each raises ProvisionerError."""

    def bring(self, goal: Goal, least: int) -> int:
        """Have the layer on the disk; its number."""

    def here(self, goal: Goal) -> bool:
        """Whether the layer of this version is on the disk."""

    def card(self, goal: Goal) -> ContestCard | None:
        """What the layer that was played last says of the contest."""

    def play(self, goal: Goal, place: ContestPlace) -> None:
        """Bring the machine into the state, and look whether it is."""

    def trouble(self, goal: Goal) -> str:
        """Why the machine is not in the state, or not well in it; empty when it is."""

    def send(self, goal: Goal) -> int:
        """Bring home what was handed in; how many entries still wait."""

    def forget(self, goal: Goal) -> None:
        """Remove the entries themselves, which are all at home."""


class Asking(Protocol):
    def wanted(self, reports: Sequence[StateReport]) -> WantedReply: ...


class Contests:
    """Ask with `speak` from the agent's own thread; `run` in another one."""

    def __init__(
        self, file: Path, hands: Hands, clock: Callable[[], ClockReading],
        wish: Callable[[], str] = lambda: "", now: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._file, self._hands, self._clock, self._wish = file, hands, clock, wish
        self._now, self._lock, self._woken = now, threading.Lock(), threading.Event()
        self._seats = {seat.track: seat for seat in _read(file).seats}
        self._ask_at, self._kept_at = now(), now()
        self._tried: dict[str, tuple[Goal, int, float]] = {}
        self._sent: dict[str, tuple[int, float]] = {}
        self._ticked = now()

    def speak(self, station: Asking) -> None:
        """Ask the station when it is time to; whatever comes of it, the agent goes on."""
        if self._now() < self._ask_at:
            return
        self._ask_at = self._now() + ASK_S
        try:
            reply = station.wanted(self.reports())
        except ProvisionerError as error:
            log.info("What is wanted of this machine was not told: %s", error)
            return
        self._ask_at = self._now() + reply.ask_again_s
        self.want(reply.wanted)

    def reports(self) -> tuple[StateReport, ...]:
        """What this machine has, in the words of rollouts."""
        with self._lock:
            return tuple(_report(seat) for seat in self._seats.values() if seat.has or seat.problem)

    def want(self, wanted: Sequence[Wanted]) -> None:
        """Take in what the station wants; the work begins in the other thread."""
        with self._lock:
            for one in wanted:
                try:
                    goal = parse_goal(one.track, one.value)
                except ValueError:
                    continue  # another kind of track
                seat = self._seats.get(one.track) or Seat(track=one.track, wanted=one.value)
                wish = seat.wish if seat.wanted == one.value else ""
                new = seat.model_copy(update={"wanted": one.value, "wish": wish,
                                              "place": one.place or seat.place})  # fmt: skip
                if new != seat or one.track not in self._seats:
                    log.info("Wanted of this machine: %s", goal.value)
                    self._seats[one.track] = new
                    self._keep()
        self._woken.set()

    def run(self) -> None:
        """Never returns."""
        while True:
            try:
                self.turn()
            except Exception:  # the next turn may go better; the agent itself goes on
                log.exception("looking after contests failed")
            self._woken.wait(LOOK_S)
            self._woken.clear()

    def turn(self) -> None:
        """Look at every contest once, and do what is to be done."""
        passed = self._now() - self._ticked
        self._ticked += passed
        if (wish := self._wish()) in WISHES:
            for track in list(self._seats):
                self._change(track, wish=wish, save=True)
        for track in list(self._seats):
            self._change(track, powered_on_s=self._seats[track].powered_on_s + passed)
            self._look_at(self._seats[track])
            self._send(self._seats[track])
        if self._now() - self._kept_at >= KEEP_S:
            with self._lock:
                self._keep()

    def goal_of(self, seat: Seat) -> Goal:
        """What this machine shall be now: the station's word, or the contest's own hours."""
        goal = parse_goal(seat.track, seat.wanted)
        if goal.state not in ("prepared", "on", "off"):
            return goal
        if seat.wish == "off":
            return Goal(goal.contest, self._version_here(seat, goal), "prepared")
        card = self._hands.card(goal) if goal.state == "prepared" else None
        if seat.wish == "on" or (card is not None and card.is_on_at(self._clock())):
            return Goal(goal.contest, self._version_here(seat, goal), "on")
        return goal

    def _version_here(self, seat: Seat, goal: Goal) -> str:
        """On the day what is here counts, when the newest could not be brought."""
        if seat.has is None or self._hands.here(goal):
            return goal.version
        before = parse_goal(seat.track, seat.has)
        return before.version if before.state != "removed" else goal.version

    def _look_at(self, seat: Seat) -> None:
        goal = self.goal_of(seat)
        if seat.has == goal.value and not self._hands.trouble(goal):
            if not seat.ok:
                self._change(seat.track, ok=True, problem="", save=True)
            return
        last, failures, again = self._tried.get(seat.track, (goal, 0, 0.0))
        if last == goal and self._now() < again:
            return
        try:
            self._work(seat, goal)
        except UnreachableError as error:
            log.info("%s waits: %s", goal.value, error)
        except ProvisionerError as error:
            log.error("%s came to nothing: %s", goal.value, error)
            self._change(seat.track, ok=False, problem=error.message[:200], save=True)
        else:
            self._tried.pop(seat.track, None)
            return
        failures = failures + 1 if last == goal else 1
        pause = RETRY_S[min(failures, len(RETRY_S)) - 1]
        self._tried[seat.track] = (goal, failures, self._now() + pause)

    def _work(self, seat: Seat, goal: Goal) -> None:
        place = seat.place
        if place is None:
            return
        number = seat.number
        if goal.state in ("prepared", "on"):
            number = self._hands.bring(goal, seat.number)
        if goal.state == "removed":
            if waiting := self._hands.send(goal):
                raise UnreachableError(f"{waiting} entries are not at home yet.")
            self._hands.forget(goal)
        self._hands.play(goal, place)
        if trouble := self._hands.trouble(goal):
            raise ProvisionerError(trouble)
        log.info("This machine is %s", goal.value)
        self._sent.pop(seat.track, None)
        since = seat.powered_on_s if _same(seat, goal) else 0.0
        self._change(seat.track, has=goal.value, ok=True, problem="", powered_on_s=since,
                     number=number, save=True)  # fmt: skip

    def _send(self, seat: Seat) -> None:
        """While it is on, the hand-in service does it; before and after, this does."""
        failures, again = self._sent.get(seat.track, (0, 0.0))
        if seat.has is None or self._now() < again:
            return
        goal = parse_goal(seat.track, seat.has)
        if goal.state not in ("prepared", "off"):
            return
        try:
            waiting = self._hands.send(goal)
        except ProvisionerError as error:
            log.warning("Entries wait: %s", error)
            waiting = 1
        failures = failures + 1 if waiting else 0
        pause = RETRY_S[min(failures, len(RETRY_S)) - 1] if waiting else SEND_S
        self._sent[seat.track] = (failures, self._now() + pause)

    def _change(self, track: str, *, save: bool = False, **values: object) -> None:
        with self._lock:
            self._seats[track] = self._seats[track].model_copy(update=values)
            if save:
                self._keep()
                self._ask_at = self._now()  # the station hears of it with the next word

    def _keep(self) -> None:
        self._kept_at = self._now()
        seats = Seats(seats=tuple(self._seats.values()))
        write_whole(self._file, seats.model_dump_json())


def _same(seat: Seat, goal: Goal) -> bool:
    """Whether only the hours changed what it is; its version is as before."""
    if seat.has is None:
        return False
    return parse_goal(seat.track, seat.has).version == goal.version and seat.ok


def _report(seat: Seat) -> StateReport:
    """A state that the contest's hours brought counts as the one that was wanted."""
    wanted = parse_goal(seat.track, seat.wanted)
    has = parse_goal(seat.track, seat.has) if seat.has else None
    if seat.problem and not seat.ok:
        value = seat.wanted
    elif has and has.version == wanted.version and "removed" not in (has.state, wanted.state):
        value = seat.wanted if wanted.state == "prepared" else has.value
    else:
        value = has.value if has else seat.wanted
    return StateReport(track=seat.track, value=value, ok=seat.ok, problem=seat.problem,
                       powered_on_s=seat.powered_on_s, now=seat.has)  # fmt: skip


def _read(file: Path) -> Seats:
    try:
        return Seats.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Seats()
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be read; the station is asked anew: %s", file, error)
        return Seats()
