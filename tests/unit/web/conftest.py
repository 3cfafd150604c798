"""A station on a real SQLite file, and a volunteer's browser (without script)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.auth import SESSION_COOKIE
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import factories, people


@pytest.fixture
def station(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Station]:
    busy = "busy" in request.fixturenames
    make = factories.make_busy_station if busy else factories.make_station
    made = make(tmp_path)
    yield made
    made.database.close()


@pytest.fixture
def busy(station: Station) -> Station:
    """The same station on a busy day."""
    return station


@pytest.fixture
def session(station: Station) -> str:
    return people.log_in(station, login="li")


@pytest.fixture
def secret(session: str) -> dict[str, str]:
    """What every form of this session carries."""
    return people.secret_of(session)


@pytest.fixture
def browser(station: Station, session: str) -> Iterator[TestClient]:
    """Somebody who has logged in."""
    side = make_operator_side(station)
    with TestClient(side, cookies={SESSION_COOKIE: session}) as client:
        yield client
