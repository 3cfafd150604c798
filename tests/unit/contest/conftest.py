"""A contest folder, a station that knows its schools' machines, and pupils' boxes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioner.contest.folder import Contest, load_contest
from provisioner.contest.intake import Intake
from provisioner.entry.keeping import MAX_PIECE
from provisioner.handin.box import Box, Seat
from provisioner.lifecycle import Milestone
from provisioner.model.entry import ClockReading, Keeper, Limits, Pupil
from provisioner.model.signed import PrivateKey
from provisioner.settings import Settings
from provisioner.store.tables import MachineRow
from provisioner.workshop.station import Station
from tests import factories
from tests import hostile_entries as hostile

CONTEST_YML = """\
title: {en: Design a game, zh: 设计一个游戏}
version: 1
opens: 2027-05-01T09:00:00+08:00
closes: 2027-05-01T17:00:00+08:00
age_groups:
  - {name: primary, title: {en: Primary school, zh: 小学组}}
  - {name: middle, title: {en: Middle school, zh: 初中组}}
schools: [new-shoots, high-pasture]
"""
IN_TIME = ClockReading(at=datetime(2027, 5, 1, 3, tzinfo=UTC), doubt_s=2.0)


def write_contest(inventories: Path, text: str = CONTEST_YML) -> Path:
    folder = inventories / "contests" / "contest-2027"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contest.yml").write_text(text)
    for language, words in (("zh", "规则"), ("en", "Rules")):
        (folder / f"rules.{language}.md").write_text(f"# {words}\n")
    return folder


@pytest.fixture
def inventories(tmp_path: Path) -> Path:
    """The example schools, and a contest for both."""
    there = tmp_path / "inventories"
    shutil.copytree(Settings().inventories_dir, there)
    write_contest(there)
    return there


@pytest.fixture
def contest(inventories: Path) -> Contest:
    return load_contest(inventories, "contest-2027")


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = factories.make_station(tmp_path)
    factories.open_batch(made)
    yield made
    made.database.close()


@pytest.fixture
def intake(station: Station, contest: Contest) -> Intake:
    return Intake(contest, station.database, station.key, station.settings.state_dir)


HandIn = Callable[..., str]


@pytest.fixture
def hand_in(station: Station, intake: Intake, tmp_path: Path) -> HandIn:
    """Hands a game in at a machine and brings it home; its receipt's code."""

    def work(data: bytes, name: str = "王小明", number: int = 1, title: str = "游戏",
             clock: ClockReading = IN_TIME, form: str = "五年级",
             group: str = "primary") -> str:  # fmt: skip
        key = machine_key(number)
        with station.database.transaction() as session:
            if session.query(MachineRow).filter_by(installed_key=key.public).first() is None:
                row = factories.add_machine(session, number, Milestone.HANDED_OVER)
                row.installed_key = key.public
        box = Box(tmp_path / f"box-{number}", key,
                  Seat("contest-2027", factories.SCHOOL, f"PC-{number:04d}"), lambda: clock,
                  Limits(), {Keeper.STATION: station.key.public})  # fmt: skip
        entry = box.hand_in(data, Pupil(name=name, form=form, age_group=group), title)
        held = intake.begin(entry.sealed)
        while held.receipt is None:
            held = intake.take(entry.hand_in.id, held.have, data[held.have :][:MAX_PIECE])
        assert box.acknowledged(Keeper.STATION, held.receipt)
        return entry.code

    return work


def machine_key(number: int) -> PrivateKey:
    return PrivateKey.from_hex(f"{number + 100:064x}")


@pytest.fixture(scope="session")
def game(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return hostile.good_entry(tmp_path_factory.mktemp("game"))
