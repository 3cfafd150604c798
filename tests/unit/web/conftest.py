"""A station on a real SQLite file, and a volunteer's browser (without script)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.auth import SESSION_COOKIE, doorkeeper_of
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import factories


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
    return doorkeeper_of(station).new_session()


@pytest.fixture
def secret(station: Station, session: str) -> dict[str, str]:
    """What every form of this session carries."""
    return {"form_secret": doorkeeper_of(station).form_secret(session)}


@pytest.fixture
def browser(station: Station, session: str) -> Iterator[TestClient]:
    """Somebody who has logged in."""
    side = make_operator_side(station)
    with TestClient(side, cookies={SESSION_COOKIE: session}) as client:
        yield client
