"""A pupil's machine, a teacher's and a station, in folders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from provisioner.entry.keeping import Keeping
from provisioner.handin.box import Box, Seat
from provisioner.model.entry import ClockReading, Keeper, Limits, Pupil
from provisioner.model.signed import PrivateKey
from tests import hostile_entries as hostile

NOON = ClockReading(at=datetime(2027, 5, 1, 12, tzinfo=UTC), doubt_s=2.0)
SEAT = Seat("contest-2027", "new-shoots", "PC-0001", "pupil-01")
KEY, TEACHER, STATION = (PrivateKey.from_hex(f"{n:064x}") for n in (11, 12, 13))
PUPIL = Pupil(name="王小明", form="五年级二班", age_group="primary")
KEEPERS = {Keeper.TEACHER: TEACHER.public, Keeper.STATION: STATION.public}

MakeBox = Callable[[], Box]


@pytest.fixture(scope="session")
def game(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return hostile.good_entry(tmp_path_factory.mktemp("game"))


def open_box(folder: Path) -> Box:
    return Box(folder, KEY, SEAT, lambda: NOON, Limits(), KEEPERS)


def open_keeping(folder: Path, keeper: Keeper = Keeper.STATION) -> Keeping:
    key = STATION if keeper is Keeper.STATION else TEACHER
    return Keeping(folder, key, keeper, lambda: NOON, Limits())


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return open_box(tmp_path / "box")


@pytest.fixture
def home(tmp_path: Path) -> Keeping:
    return open_keeping(tmp_path / "home")


@pytest.fixture
def teacher(tmp_path: Path) -> Keeping:
    return open_keeping(tmp_path / "teacher", Keeper.TEACHER)
