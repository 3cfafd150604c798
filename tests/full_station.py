"""A station with something on every page: a busy day, schools in service, leases, donors, two
rollouts, renewals, a contest with entries. For looking at pages, and for axe."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.contest import publishing
from provisioner.contest.folder import load_contest
from provisioner.contest.intake import Intake
from provisioner.fleet import rollouts
from provisioner.handin.box import Box, Seat
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.batch import Policy
from provisioner.model.entry import ClockReading, Keeper, Limits, Pupil
from provisioner.model.health import Health
from provisioner.model.record import Problem
from provisioner.model.release import Component
from provisioner.model.rollout import MachineState, RolloutPlan
from provisioner.model.signed import PrivateKey
from provisioner.settings import Settings
from provisioner.store.rollout_tables import RolloutMachineRow
from provisioner.store.tables import BatchRow, FieldOrderRow, MachineRow, now
from provisioner.workshop import field_orders, giving, releases, runs
from provisioner.workshop.station import Station
from tests import blocks_factory, factories

NEWER, CONTEST = "education@2026.2", "design-a-game"
SILENT = Problem(kind="NewSystemSilentError", message="The new release did not come up.")
OTHERS = ("high-pasture", "listening-hill")
IN_SERVICE = 11  # the seats that these schools have
CONTEST_YML = """\
title: {{en: Design a game, zh: 设计一个游戏}}
opens: {opens}
closes: {closes}
age_groups:
  - {{name: primary, title: {{en: Primary school, zh: 小学组}}}}
schools: [high-pasture, listening-hill]
"""


def make_full_station(folder: Path) -> Station:
    """On top of `factories.busy_day`; its schools are its own and may be written to."""
    busy = factories.make_busy_station(folder)
    inventories = Path(shutil.copytree(busy.settings.inventories_dir, folder / "inventories"))
    settings = Settings(state_dir=busy.settings.state_dir, inventories_dir=inventories)
    station = Station(settings, busy.database, busy.key, busy.catalog, busy.url, busy.board)
    parts = (Component(name="firefox-esr", version="140.4", licence="MPL-2.0"),
             Component(name="gcompris-qt", version="25.0", licence="GPL-3.0-or-later"))  # fmt: skip
    newer = {"version": "2026.2", "number": 2026002, "components": parts}
    factories.publish(station, factories.make_manifest().model_copy(update=newer))
    with station.database.transaction() as session:
        for place, school in enumerate(OTHERS):
            _in_service(session, school, 100 + place * 50)
        _office(session, station)
        _field(session, station)
        _rollouts(session)
    _contest(station, inventories)
    return station


def _in_service(session: Session, school: str, first: int) -> None:
    policy = Policy().model_dump(mode="json")
    session.add(BatchRow(name=school, school=school, release="education@2026.1", policy=policy,
                         size=IN_SERVICE, open_until=None))  # fmt: skip
    session.flush()
    for number in range(first, first + IN_SERVICE):
        row = factories.add_machine(session, number, Milestone.HANDED_OVER, batch=school)
        row.seat, row.installed_key = number - first + 1, _key(number).public
        row.last_seen = now() - timedelta(hours=(number * 7) % 30)
        for run in row.runs:
            run.started_at -= timedelta(days=900)
            run.ended_at = run.ended_at and run.ended_at - timedelta(days=900)


def _key(number: int) -> PrivateKey:
    return PrivateKey.from_hex(f"{number + 100:064x}")


def _office(session: Session, station: Station) -> None:
    for name, contact in (("Example Trading Co., Ltd.", "it@example.org"), ("山水银行", "")):
        giving.add_donor(session, giving.Donor(name=name, contact=contact), "mei")
    giving.gave_batch(session, "high-pasture", "Example Trading Co., Ltd.", "mei")
    giving.gave_batch(session, factories.BATCH, "山水银行", "mei")
    giving.add_receipt(session, giving.Receipt(
        number="R-2026-118", factory="Green Works", kilograms=212.5,
        weighed_on=date(2026, 10, 2), donor="山水银行"), "mei")  # fmt: skip
    giving.declare(session, giving.Declaration(
        school="high-pasture", school_year="2026/27", pupils=184, declared_by="李校长",
        declared_on=date(2026, 9, 4)), "mei")  # fmt: skip
    lease = giving.Lease(school="listening-hill", begins=date(2026, 9, 1), ends=date(2029, 8, 31))
    giving.lease(session, lease, "mei")
    standing = releases.Standing
    releases.say(station, session, NEWER, standing.PROMOTED, "tried in the lab", "mei")


def _field(session: Session, station: Station) -> None:
    """One school half renewed: done, at work, failed, not told yet; one machine long silent."""
    machines = session.scalars(select(MachineRow).join(BatchRow).where(
        BatchRow.school == "high-pasture").order_by(MachineRow.seat)).all()  # fmt: skip
    field_orders.renew_school(station, session, "high-pasture", NEWER, "mei")
    session.flush()
    orders = {row.machine_id: row for row in session.query(FieldOrderRow)}
    for machine in machines[:5]:
        field_orders.hear(session, machine, Health(state_free=41_000_000_000, temperature_c=44))
    for machine in machines[:3]:
        orders[machine.id].state, machine.release = field_orders.FieldState.DONE, NEWER
    orders[machines[3].id].state = field_orders.FieldState.GIVEN
    words = Health(state_free=9_000_000_000, renewing="bringing the new system, 45 %")
    field_orders.hear(session, machines[3], words)
    failed = orders[machines[4].id]
    run = runs.open_run(session, machines[4], Verb.RENEW)
    run.state, run.problem = RunState.FAILED, SILENT.model_dump()
    run.ended_at = now()
    failed.state, failed.run_id = field_orders.FieldState.FAILED, run.id
    machines[6].last_seen = now() - timedelta(days=23)


def _rollouts(session: Session) -> None:
    """One that has stopped by itself, and one that is done."""

    def plan(name: str, track: str, value: str, former: str) -> RolloutPlan:
        return RolloutPlan.model_validate({"name": name, "track": track, "value": value,
                                           "former": former, "schools": OTHERS})  # fmt: skip

    def mark(name: str, states: list[MachineState]) -> None:
        row = rollouts.start(session, plan(*WHAT[name]), now() - timedelta(days=3), "mei")
        rollouts.step(session, now())
        mine = session.scalars(
            select(RolloutMachineRow).where(RolloutMachineRow.rollout_id == row.id)
            .order_by(RolloutMachineRow.wave.is_(None), RolloutMachineRow.machine_id)
        )  # fmt: skip
        for machine, state in zip(mine, states, strict=False):
            machine.state, machine.told_at, machine.heard_at = state, now(), now()
            machine.has = WHAT[name][2]
            machine.problem = "The new release did not come up." if state == "failed" else ""
        rollouts.step(session, now())

    mark("rules-2025", [MachineState.HEALTHY] * 24)
    mark("summer-2026", [MachineState.HEALTHY, MachineState.HEALTHY, MachineState.FAILED])


WHAT = {
    "rules-2025": ("rules-2025", "contest:old", "old.2025.1.on", "old.0.removed"),
    "summer-2026": ("summer-2026", "release", NEWER, "education@2026.1"),
}


def _contest(station: Station, inventories: Path) -> None:
    """On now, with three entries, two of which are alike."""
    at = datetime.now(UTC).replace(microsecond=0)
    folder = inventories / "contests" / CONTEST
    folder.mkdir(parents=True)
    opens, closes = at - timedelta(hours=2), at + timedelta(hours=5)
    text = CONTEST_YML.format(opens=opens.isoformat(), closes=closes.isoformat())
    (folder / "contest.yml").write_text(text)
    for language, words in (("zh", "规则"), ("en", "Rules")):
        (folder / f"rules.{language}.md").write_text(f"# {words}\n")
    contest = load_contest(inventories, CONTEST)
    with station.database.transaction() as session:
        row = rollouts.start(session, publishing.plan_for(contest, "2026.1", "on"), now(), "mei")
        rollouts.step(session, now())
        assert row.name
    intake = Intake(contest, station.database, station.key, station.settings.state_dir)
    for number, sprite, title in ((100, "红球", "小猫回家"), (101, "红球", "赛车"),
                                  (102, "蓝鱼", "Space garden")):  # fmt: skip
        made = folder.parent / f"{number}.sb3"
        data = blocks_factory.make_project("scratch-2026", made, sprite).read_bytes()
        made.unlink()
        clock = ClockReading(at=at, doubt_s=2.0)
        box = Box(station.settings.state_dir / f"box-{number}", _key(number),
                  Seat(CONTEST, "high-pasture", f"PC-{number:04d}"), partial(_same, clock),
                  Limits(), {Keeper.STATION: station.key.public})  # fmt: skip
        entry = box.hand_in(data, Pupil(name=f"学生{number}", age_group="primary"), title)
        intake.begin(entry.sealed)
        intake.take(entry.hand_in.id, 0, data)


def _same(clock: ClockReading) -> ClockReading:
    return clock
