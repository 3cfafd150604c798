"""A workshop whose machines were erased, made once and copied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.settings import Settings
from provisioner.workshop.station import Station, open_station
from tests.paper_factory import make_workshop


@pytest.fixture(scope="session")
def prototype(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("papers")
    make_workshop(folder).database.close()
    return folder / "state"


@pytest.fixture
def station(prototype: Path, tmp_path: Path) -> Iterator[Station]:
    shutil.copytree(prototype, tmp_path / "state")
    made = open_station(
        Settings(
            state_dir=tmp_path / "state", workshop_name="Second Bell",
            public_url="http://10.77.0.1:8000",
        ),
        url="http://10.77.0.1:8080",
    )  # fmt: skip
    yield made
    made.database.close()
