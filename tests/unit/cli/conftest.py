"""A station's state folder, and the command line on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from provisioner.cli import cli
from provisioner.workshop.station import Station
from tests import factories


class Terminal:
    """Runs commands as a person or a script would."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir

    def run(self, *words: str, typed: str | None = None, code: int = 0) -> Result:
        """The result of a command that must end with `code`."""
        args = ["--state-dir", str(self._state_dir), *words]
        result = CliRunner().invoke(cli, args, input=typed, prog_name="provisioner")
        assert result.exit_code == code, result.output
        return result

    def json(self, *words: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*words, "--json").stdout)


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
def terminal(station: Station) -> Terminal:
    return Terminal(station.settings.state_dir)
