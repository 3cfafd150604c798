"""A simulated country: schools that are often off, machines that fail, and the real engine.

Machines speak through the station's own door, signed, into a real database; only their hardware
and the calendar are made up. `python -m tests.rollout_sim` runs every scenario with 200 schools
and 5,000 machines and prints the table; tests run a short form. With `--restart` the station is
closed and opened again each simulated hour.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from provisioner.fleet import rollouts
from provisioner.fleet.rollout import cap
from provisioner.lifecycle import Milestone
from provisioner.model.rollout import (
    RolloutPlan,
    RolloutState,
    StateReport,
    WantedReply,
    WantedRequest,
)
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.settings import Settings
from provisioner.store.rollout_tables import RolloutMachineRow
from provisioner.store.tables import BatchRow, MachineKeyRow, MachineRow
from provisioner.workshop.in_the_field import FieldDialogue
from provisioner.workshop.station import Station, open_station

MONDAY = datetime(2027, 3, 1, 0, 0, tzinfo=UTC)
TRACK, OLD, NEW = "contest:contest-2027", "contest-2027.0.off", "contest-2027.1.prepared"
HOURS = range(8, 16)


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

    @property
    def good(self) -> bool:
        return self.fails < 0.01 and not self.failing_schools and not self.dies

    def breaks(self, school: str, number: int) -> bool:
        if chance(self.name, "school", school) < self.failing_schools:
            return True
        return chance(self.name, "fails", number) < self.fails

    def kills(self, number: int) -> bool:
        return chance(self.name, "dies", number) < self.dies


SCENARIOS = (
    Scenario("good"),
    Scenario("all fail", fails=1.0),
    Scenario("half fail", fails=0.5),
    Scenario("a tenth fails", fails=0.1),
    Scenario("3 % fail", fails=0.03),
    Scenario("one model fails", failing_schools=0.15),
    Scenario("all die silently", dies=1.0),
    Scenario("a fifth dies silently", dies=0.2),
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
    """What came of a scenario; `harmed` counts machines that the value really broke."""

    scenario: str
    state: str
    reason: str
    days: float
    exposed_most: int
    allowed: int
    harmed: int
    have_it: int
    machines: int
    never_on: int
    calls: int
    seconds: float
    decisions: list[tuple[str, str, int]] = field(default_factory=list)


class Country:
    """Schools and machines in a station's database, and the calendar they live by."""

    def __init__(self, folder: Path, schools: int, seats: int) -> None:
        self.folder, self.now = folder, MONDAY
        self.station = self._open()
        self.dialogue = self._dialogue()
        self.machines: list[Machine] = []
        self.calls = 0
        self._fill(schools, seats)

    def _open(self) -> Station:
        return open_station(Settings(state_dir=self.folder / "state"), url="http://10.77.0.1:8080")

    def _dialogue(self) -> FieldDialogue:
        return FieldDialogue(self.station, clock=lambda: self.now)

    def restart(self) -> None:
        """As after `kill -9`: nothing but the database remains."""
        self.station.database.close()
        self.station = self._open()
        self.dialogue = self._dialogue()

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
                    row = MachineRow(id=number + 1, asset_tag=f"PC-{number:05d}", batch=batch,
                                     milestone=Milestone.HANDED_OVER, hardware={}, boot={},
                                     last_seen=self.now)  # fmt: skip
                    session.add(row)
                    session.flush()
                    session.add(MachineKeyRow(key=key.public, machine_id=row.id, counter=0,
                                              surroundings="installed", retired=False))  # fmt: skip
                    self.machines.append(Machine(number, name, key))

    def is_on(self, machine: Machine) -> bool:
        """Lessons on weekdays; a third of the schools are off on two days of three."""
        day, hour = self.now.date().isoformat(), self.now.hour
        if self.now.weekday() > 4 or hour not in HOURS or machine.dead:
            return False
        often_off = chance("often off", machine.school) < 1 / 3
        if chance("day", machine.school, day) < (0.67 if often_off else 0.05):
            return False
        return chance("hour", machine.number, day, hour) < 0.75

    def speak(self, machine: Machine, scenario: Scenario, ask: Callable[[bytes], str]) -> None:
        """One question of one machine, and doing what the answer says."""
        machine.asked += 1
        broken = machine.value == NEW and scenario.breaks(machine.school, machine.number)
        report = StateReport(track=TRACK, value=machine.value, ok=not broken,
                             powered_on_s=machine.since_s,
                             problem="the editor does not start" if broken else "")  # fmt: skip
        request = WantedRequest(counter=machine.asked, reports=(report,))
        answer = ask(machine.key.seal(request).encode())
        reply, _ = open_envelope(answer, WantedReply, trusted=self.station.key.public)
        self.calls += 1
        for wanted in reply.wanted:
            if wanted.value != machine.value:
                machine.value, machine.since_s = wanted.value, 0.0
                machine.dead = wanted.value == NEW and scenario.kills(machine.number)

    def hour(self, scenario: Scenario, ask: Callable[[bytes], str]) -> None:
        for machine in self.machines:
            if self.is_on(machine):
                # Who has it and has proved it asks once a day; the others each hour.
                if machine.value == OLD or machine.since_s < 6 * 3600 or self.now.hour == 8:
                    self.speak(machine, scenario, ask)
                machine.since_s += 3600
        with self.station.database.transaction() as session:
            rollouts.step(session, self.now)
        self.now += timedelta(hours=1)


def simulate(
    scenario: Scenario, folder: Path, *, schools: int = 200, seats: int = 25, days: int = 60,
    restart: bool = False, door: Callable[[Country], Callable[[bytes], str]] | None = None,
) -> Outcome:  # fmt: skip
    """One scenario from start to its end, or `days`."""
    began = time.monotonic()
    country = Country(folder, schools, seats)
    plan = RolloutPlan(name="r1", track=TRACK, value=NEW, former=OLD,
                       schools=tuple(f"school-{s:03d}" for s in range(schools)))  # fmt: skip
    with country.station.database.transaction() as session:
        rollouts.start(session, plan, country.now)
        rollouts.step(session, country.now)
    ask = door(country) if door else lambda body: country.dialogue.wanted(body, "10.0.0.1")
    most = 0
    while country.now < MONDAY + timedelta(days=days):
        country.hour(scenario, ask)
        most = max(most, _exposed(country))
        if restart:
            country.restart()
        if _ended(country):
            break
    return _outcome(country, scenario, plan, most, began)


def _exposed(country: Country) -> int:
    with country.station.database.reading() as session:
        row = rollouts.find(session, "r1")
        plan = rollouts.plan_of(row)
        return rollouts.exposed(rollouts.figures(session, row, plan, country.now))


def _ended(country: Country) -> bool:
    with country.station.database.reading() as session:
        state = rollouts.find(session, "r1").state
    everybody = all(m.value == NEW and m.since_s >= 7200 for m in country.machines if m.asked)
    return state in (RolloutState.HALTED, RolloutState.DONE) or (
        everybody and all(machine.asked for machine in country.machines)
    )


def _outcome(
    country: Country, scenario: Scenario, plan: RolloutPlan, most: int, began: float
) -> Outcome:
    with country.station.database.reading() as session:
        row = rollouts.find(session, "r1")
        figures = rollouts.figures(session, row, plan, country.now)
        decisions = _decisions(session)
        assert session.query(RolloutMachineRow).count() == len(country.machines)
    have = [machine for machine in country.machines if machine.value == NEW]
    harmed = sum(m.dead or scenario.breaks(m.school, m.number) for m in have)
    return Outcome(
        scenario=scenario.name, state=row.state, reason=row.reason,
        days=(country.now - MONDAY) / timedelta(days=1), exposed_most=most,
        allowed=cap(plan, figures), harmed=harmed, have_it=len(have),
        machines=len(country.machines), never_on=sum(not m.asked for m in country.machines),
        calls=country.calls, seconds=time.monotonic() - began, decisions=decisions,
    )  # fmt: skip


def _decisions(session: object) -> list[tuple[str, str, int]]:
    from provisioner.store.tables import EventRow

    query = session.query(EventRow).filter_by(kind="rollout-decided").order_by(EventRow.id)  # type: ignore[attr-defined]
    return [(e.data["verdict"], e.data["reason"], e.data["figures"]["healthy"]) for e in query]


HEAD = ("scenario", "state", "days", "exposed at most", "allowed", "harmed", "have it", "of",
        "questions", "s")  # fmt: skip


def table(outcomes: list[Outcome]) -> str:
    rows = [HEAD] + [
        (o.scenario, o.state, f"{o.days:.1f}", str(o.exposed_most), str(o.allowed), str(o.harmed),
         str(o.have_it), str(o.machines), str(o.calls), f"{o.seconds:.0f}")
        for o in outcomes
    ]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schools", type=int, default=200)
    parser.add_argument("--seats", type=int, default=25)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--only", default="")
    parser.add_argument("--restart", action="store_true")
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    outcomes = []
    for scenario in SCENARIOS:
        if given.only in scenario.name:
            folder = Path(tempfile.mkdtemp(prefix="rollout-sim-"))
            outcomes.append(simulate(scenario, folder, schools=given.schools, seats=given.seats,
                                     days=given.days, restart=given.restart))  # fmt: skip
            shutil.rmtree(folder)
            print(table(outcomes).splitlines()[-1], outcomes[-1].reason, flush=True)
    print(table(outcomes))
    if given.results:
        given.results.write_text(json.dumps([vars(o) for o in outcomes], indent=1))
    bad = [o for o in outcomes if o.exposed_most > o.allowed or o.harmed > o.allowed]
    raise SystemExit(f"{bad[0].scenario} exposed too many" if bad else 0)


if __name__ == "__main__":
    main()
