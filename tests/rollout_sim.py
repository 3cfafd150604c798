"""A simulated country: schools that are often off, machines that fail, and the real engine.

Machines speak signed through the station's own application into a real database
(`tests.rollout_server`); only their hardware and the calendar are made up, so nothing waits for
real time. `python -m tests.rollout_sim` runs every scenario with 200 schools and 5,000 machines
and prints the table; a scenario with kills has the station killed (SIGKILL) while it answers, at
least once a day, and must come to the same decisions. Tests run a short form.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provisioner.fleet import rollouts
from provisioner.lifecycle import Milestone
from provisioner.model.rollout import (
    RolloutPlan,
    RolloutState,
    StateReport,
    WantedReply,
    WantedRequest,
)
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.store.tables import BatchRow, MachineKeyRow, MachineRow
from provisioner.workshop.in_the_field import FieldDialogue
from tests.rollout_server import NAME, OwnProcess, open_at

MONDAY = datetime(2027, 3, 1, 0, 0, tzinfo=UTC)
TRACK, OLD, NEW = "contest:contest-2027", "contest-2027.0.off", "contest-2027.1.prepared"
HOURS = range(8, 16)
STUCK_DAYS = 10  # nobody was given it for so long: a person has to look


def chance(*words: object) -> float:
    """The same number from 0 to 1 for the same words, on every run."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass(frozen=True)
class Scenario:
    """What the new value does to machines. Shares of machines, or of schools."""

    name: str
    fails: float = 0.003
    failing_schools: float = 0.0
    dies: float = 0.0
    kills: bool = False

    @property
    def good(self) -> bool:
        return self.fails < 0.01 and not self.failing_schools and not self.dies

    def breaks(self, school: str, number: int) -> bool:
        if chance(self.name, "school", school) < self.failing_schools:
            return True
        return chance("fails", number) < self.fails

    def kill(self, number: int) -> bool:
        return chance(self.name, "dies", number) < self.dies


SCENARIOS = (
    Scenario("good"),
    Scenario("good, killed daily", kills=True),
    Scenario("a fifth dies silently", dies=0.2),
    Scenario("all die silently", dies=1.0),
    Scenario("3 % fail", fails=0.03),
    Scenario("a tenth fails", fails=0.1),
    Scenario("half fail", fails=0.5),
    Scenario("all fail", fails=1.0),
    Scenario("one model fails", failing_schools=0.15),
)


@dataclass
class Machine:
    number: int
    school: str
    key: PrivateKey
    value: str = OLD
    since_s: float = 0.0
    dead: bool = False
    asked: int = 0


@dataclass
class Outcome:
    """What came of a scenario; `harmed` counts machines that the value really broke.

    `exposed_most` is the highest at any moment: what was exposed after a decision, and every
    machine that was given it before the next.
    """

    scenario: str
    state: str
    reason: str
    days: float
    exposed_most: int
    allowed: int
    harmed: int
    have_it: int
    reachable: int
    machines: int
    kills: int
    questions: int
    seconds: float
    decisions: list[tuple[str, str, int]] = field(default_factory=list)

    def wrong(self, scenario: Scenario) -> str:
        """Why this is not what was promised; empty when it is."""
        if self.exposed_most > self.allowed:
            return f"{self.exposed_most} were exposed and {self.allowed} are allowed"
        if not scenario.good and self.harmed > self.allowed:
            return f"{self.harmed} were harmed and {self.allowed} are allowed"
        if scenario.good and self.have_it < self.reachable:
            return f"{self.reachable - self.have_it} that could be reached have not got it"
        return ""


class Country:
    """Schools and machines in a station's database, and the calendar they live by.

    `station` and `dialogue` are the engine without an application, for tests of single steps.
    """

    def __init__(self, folder: Path, schools: int, seats: int) -> None:
        self.folder, self.now = folder, MONDAY
        self.station = open_at(folder)
        self.dialogue = FieldDialogue(self.station, clock=lambda: self.now)
        self.machines: list[Machine] = []
        self.questions = self.told = 0
        self._fill(schools, seats)

    def restart(self) -> None:
        """Nothing but the database remains."""
        self.station.database.close()
        self.station = open_at(self.folder)
        self.dialogue = FieldDialogue(self.station, clock=lambda: self.now)

    def _fill(self, schools: int, seats: int) -> None:
        with self.station.database.transaction() as session:
            for s in range(schools):
                name = f"school-{s:03d}"
                batch = BatchRow(name=name, school=name, release="education@2026.1", policy={},
                                 size=seats, open_until=None)  # fmt: skip
                session.add(batch)
                for _ in range(seats):
                    number = len(self.machines)
                    key = PrivateKey.from_hex(hashlib.sha256(b"%d" % number).hexdigest())
                    session.add(
                        MachineRow(id=number + 1, asset_tag=f"PC-{number:05d}", batch=batch,
                                   milestone=Milestone.HANDED_OVER, hardware={}, boot={},
                                   last_seen=self.now)
                    )  # fmt: skip
                    self.machines.append(Machine(number, name, key))
            session.flush()
            session.add_all(
                MachineKeyRow(key=machine.key.public, machine_id=machine.number + 1, counter=0,
                              surroundings="installed", retired=False)
                for machine in self.machines
            )  # fmt: skip

    def is_open(self, school: str) -> bool:
        """One school in a hundred stays closed all the time."""
        return chance("closed", school) >= 0.01

    def is_on(self, machine: Machine) -> bool:
        """Lessons on weekdays; a third of the schools are off on two days of three."""
        day, hour = self.now.date().isoformat(), self.now.hour
        if self.now.weekday() > 4 or hour not in HOURS or machine.dead:
            return False
        if not self.is_open(machine.school):
            return False
        often_off = chance("often off", machine.school) < 1 / 3
        if chance("day", machine.school, day) < (0.67 if often_off else 0.05):
            return False
        return chance("hour", machine.number, day, hour) < 0.75

    def asks(self, machine: Machine) -> bool:
        """Who was given it says each hour or two how it is, until that is old; the others ask once
        a day, which is seldom: a real machine asks four times an hour."""
        if machine.value == NEW and machine.since_s < 6 * 3600:
            return machine.since_s < 2 * 3600 or machine.since_s % 7200 == 0
        return self.now.hour == HOURS.start + machine.number % len(HOURS)

    def question(self, machine: Machine, scenario: Scenario) -> bytes:
        machine.asked += 1
        broken = machine.value == NEW and scenario.breaks(machine.school, machine.number)
        report = StateReport(track=TRACK, value=machine.value, ok=not broken,
                             powered_on_s=machine.since_s,
                             problem="the editor does not start" if broken else "")  # fmt: skip
        self.questions += 1
        return machine.key.seal(WantedRequest(counter=machine.asked, reports=(report,))).encode()

    def speak(self, machine: Machine, scenario: Scenario, ask: Callable[[bytes], str]) -> None:
        """One question of one machine, and doing what the answer says."""
        answer = ask(self.question(machine, scenario))
        reply, _ = open_envelope(answer, WantedReply, trusted=self.station.key.public)
        for wanted in reply.wanted:
            if wanted.value != machine.value:
                self.told += wanted.value == NEW
                machine.value, machine.since_s = wanted.value, 0.0
                machine.dead = wanted.value == NEW and scenario.kill(machine.number)

    def hour(self, scenario: Scenario, server: OwnProcess) -> None:
        """One hour of the whole country, machine by machine."""
        kill_at = 3 if scenario.kills and self.now.hour in HOURS else None
        spoken = 0
        for machine in self.machines:
            if self.is_on(machine):
                if self.asks(machine):
                    if spoken == kill_at and chance("kill", self.now) < 0.4:
                        server.kill(self.now, self.question(machine, scenario))
                    self.speak(machine, scenario, lambda body: server.ask(self.now, body))
                    spoken += 1
                machine.since_s += 3600
        self.now += timedelta(hours=1)


def make_plan(schools: int) -> RolloutPlan:
    return RolloutPlan(name=NAME, track=TRACK, value=NEW, former=OLD,
                       schools=tuple(f"school-{s:03d}" for s in range(schools)))  # fmt: skip


def simulate(scenario: Scenario, folder: Path, *, schools: int = 200, seats: int = 25,
             days: int = 60) -> Outcome:  # fmt: skip
    """One scenario from start to its end, or `days`."""
    began = time.monotonic()
    country = Country(folder, schools, seats)
    plan = make_plan(schools)
    with country.station.database.transaction() as session:
        rollouts.start(session, plan, country.now)
    country.station.database.close()  # the other process has it alone
    server = OwnProcess(folder)
    try:
        state, exposed = server.step(country.now)
        most, last_told = exposed, country.now
        while country.now < MONDAY + timedelta(days=days):
            before = country.told
            country.hour(scenario, server)
            most = max(most, exposed + country.told - before)
            last_told = country.now if country.told > before else last_told
            if country.now.hour in (*HOURS, HOURS.stop):
                state, exposed = server.step(country.now)
            if _ended(country, state) or country.now - last_told > timedelta(days=STUCK_DAYS):
                break
        decisions, kills = server.decisions(), server.kills
    finally:
        server.close()
    return _outcome(country, scenario, plan, most, decisions, kills, began)


def _ended(country: Country, state: str) -> bool:
    if state in (RolloutState.HALTED, RolloutState.DONE):
        return True
    return all(machine.value == NEW and machine.since_s >= 7200
               for machine in country.machines if country.is_open(machine.school))  # fmt: skip


def _outcome(
    country: Country, scenario: Scenario, plan: RolloutPlan, most: int,
    decisions: list[tuple[str, str, int]], kills: int, began: float,
) -> Outcome:  # fmt: skip
    with country.station.database.reading() as session:
        row = rollouts.find(session, NAME)
    country.station.database.close()
    have = [machine for machine in country.machines if machine.value == NEW]
    harmed = sum(m.dead or scenario.breaks(m.school, m.number) for m in have)
    machines = len(country.machines)
    return Outcome(
        scenario=scenario.name, state=row.state, reason=row.reason,
        days=(country.now - MONDAY) / timedelta(days=1), exposed_most=most,
        allowed=max(machines // len(plan.schools), machines * 2 // 100), harmed=harmed,
        have_it=len(have), machines=machines, kills=kills, questions=country.questions,
        reachable=sum(country.is_open(machine.school) for machine in country.machines),
        seconds=time.monotonic() - began, decisions=decisions,
    )  # fmt: skip


HEAD = ("scenario", "state", "days", "exposed at most", "allowed", "harmed", "have it",
        "reachable", "of", "kills", "questions", "s")  # fmt: skip


def table(outcomes: list[Outcome]) -> str:
    rows = [HEAD] + [
        (o.scenario, o.state, f"{o.days:.1f}", str(o.exposed_most), str(o.allowed), str(o.harmed),
         str(o.have_it), str(o.reachable), str(o.machines), str(o.kills), str(o.questions),
         f"{o.seconds:.0f}")
        for o in outcomes
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def simulate_aside(scenario: Scenario, schools: int, seats: int, days: int) -> Outcome:
    """`simulate` in a folder in memory, where there is one: no disk is measured here."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="rollout-sim-", dir=memory if memory.is_dir() else None))
    try:
        return simulate(scenario, folder, schools=schools, seats=seats, days=days)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, default=200)
    parser.add_argument("--seats", type=int, default=25)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--only", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    chosen = [scenario for scenario in SCENARIOS if given.only in scenario.name]
    with ProcessPoolExecutor(given.jobs) as pool:
        running = [pool.submit(simulate_aside, scenario, given.schools, given.seats, given.days)
                   for scenario in chosen]  # fmt: skip
        outcomes = [future.result() for future in running]
    print(table(outcomes))
    if given.results:
        given.results.write_text(json.dumps([vars(o) for o in outcomes], indent=1))
    pairs = zip(outcomes, chosen, strict=True)
    bad = [f"{one.scenario}: {why}" for one, scenario in pairs if (why := one.wrong(scenario))]
    decided = {o.scenario: o.decisions for o in outcomes if o.scenario.startswith("good")}
    if len({json.dumps(decisions) for decisions in decided.values()}) > 1:
        bad.append("killing the station changed what was decided")
    raise SystemExit("; ".join(bad) if bad else 0)


if __name__ == "__main__":
    main()
