"""Schemathesis over the whole API: whatever fits the description gets no 5xx and an answer that
fits it, too; bounded, so that it ends."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import (
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok

from provisioner.web import make_operator_side
from provisioner.workshop.builds import Builds
from provisioner.workshop.station import OPERATOR_TOKEN, Station
from tests import factories

pytestmark = pytest.mark.integration
EXAMPLES = 12
# It never ends, so there is no answer to compare.
STREAM = "/api/v1/live"
FEWEST_OPERATIONS = 45


@pytest.fixture
def side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FastAPI, str]]:
    """A busy station of its own, whose schools may be written to and which builds nothing."""
    busy = factories.make_busy_station(tmp_path)
    shutil.copytree(busy.settings.inventories_dir, tmp_path / "inventories")
    own = busy.settings.model_copy(update={"inventories_dir": tmp_path / "inventories"})
    station = Station(own, busy.database, busy.key, busy.catalog, board=busy.board)
    monkeypatch.setattr(Builds, "_work", lambda *_: None)
    yield make_operator_side(station), (own.state_dir / OPERATOR_TOKEN).read_text().strip()
    busy.database.close()


def test_whatever_fits_the_description_is_answered_as_described(
    side: tuple[FastAPI, str],
) -> None:
    app, token = side
    headers = {"Authorization": f"Bearer {token}"}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app, headers=headers)
    tried = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.path == STREAM:
            continue
        tried += 1

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
            phases=(Phase.explicit, Phase.generate), suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def attack(case: schemathesis.Case[Any]) -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                case.call_and_validate(
                    headers=headers,
                    checks=[
                        not_a_server_error, status_code_conformance, response_schema_conformance,
                    ],
                )  # fmt: skip

        attack()
    assert tried >= FEWEST_OPERATIONS
