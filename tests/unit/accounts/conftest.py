"""A station with its tables, and nobody in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.workshop.station import Station
from tests import factories


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    made = factories.make_station(tmp_path)
    yield made
    made.database.close()
