"""Fixtures for the agent's tests: a stub station, and a disk that is a file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.agent.client import StationClient
from provisioner.agent.disk import OpenDisk
from provisioner.agent.memory import Counter
from provisioner.agent.surroundings import Home
from provisioner.model.hardware import Disk, Transport
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from tests.unit.agent.station import StubStation

MIB = 1024 * 1024


@pytest.fixture
def station(tmp_path: Path) -> Iterator[StubStation]:
    files = tmp_path / "served"
    files.mkdir()
    stub = StubStation(files)
    yield stub
    stub.close()


@pytest.fixture
def home(station: StubStation) -> Home:
    return Home(
        kind=Surroundings.LIVE,
        station_url=station.url,
        station_key=station.key.public,
        key=PrivateKey.generate(),
    )


@pytest.fixture
def client(home: Home) -> StationClient:
    return StationClient(home, Counter())


def make_disk(name: str = "disk.img", size: int = 16 * MIB, **changes: Any) -> Disk:
    values: dict[str, Any] = {
        "name": name,
        "serial": "S-1",
        "wwn": "",
        "model": "TEST",
        "size_bytes": size,
        "logical_sector_bytes": 512,
        "physical_sector_bytes": 512,
        "transport": Transport.SATA,
        "removable": False,
    }
    return Disk.model_validate({**values, **changes})


@contextlib.contextmanager
def open_file_disk(folder: Path, disk: Disk) -> Iterator[OpenDisk]:
    """A file as the target; direct input and output like on a real disk."""
    path = folder / disk.name
    handle = os.open(path, os.O_RDWR | os.O_DIRECT)
    try:
        yield OpenDisk(disk, path, handle)
    finally:
        os.close(handle)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[OpenDisk]:
    disk = make_disk()
    (tmp_path / disk.name).write_bytes(os.urandom(disk.size_bytes))
    with open_file_disk(tmp_path, disk) as opened:
        yield opened
