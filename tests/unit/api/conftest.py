"""A station on a real SQLite file, and clients of the operator's application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.operator import make_operator_app
from provisioner.workshop.station import OPERATOR_TOKEN, Station
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
def stranger(station: Station) -> TestClient:
    """Somebody without the token."""
    return TestClient(make_operator_app(station), follow_redirects=False)


@pytest.fixture
def client(station: Station) -> Iterator[TestClient]:
    """A script that holds the token."""
    token = (station.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    app = make_operator_app(station)
    with TestClient(app, headers=headers, raise_server_exceptions=False) as client:
        yield client
