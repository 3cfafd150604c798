"""pytest's side of the checks: fixtures, and one line of JSON for the result of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import paramiko
import pytest
import testinfra.host

from provisioner.checks.promises import Promises
from provisioner.checks.visit import Visit, connect

VISIT = pytest.StashKey[Visit]()
MAX_MESSAGE = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--visit", type=Path, required=True, help="a Visit as JSON")


def pytest_configure(config: pytest.Config) -> None:
    text = config.getoption("--visit").read_text(encoding="utf-8")
    config.stash[VISIT] = Visit.model_validate_json(text)


@pytest.fixture(scope="session")
def visit(pytestconfig: pytest.Config) -> Visit:
    return pytestconfig.stash[VISIT]


@pytest.fixture(scope="session")
def promises(visit: Visit) -> Promises:
    return visit.promises


@pytest.fixture(scope="session")
def host(visit: Visit) -> testinfra.host.Host:
    """The machine, with its connection open; without one, nothing else is worth trying."""
    machine = connect(visit)
    try:
        machine.check_output("true")
    except (OSError, EOFError, paramiko.SSHException) as error:
        kind = "untrusted" if _wrong_key(error) else "unreachable"
        _write(visit.results, {kind: _plain(f"{type(error).__name__}: {error}")})
        pytest.exit(f"{kind}: {error}", returncode=1)
    return machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        line = {
            "id": item.name.removeprefix("test_").replace("_", "-"),
            "outcome": report.outcome,
            "message": _message(call),
            "seconds": round(report.duration, 3),
        }
        _write(item.config.stash[VISIT].results, line)
    return report


def _message(call: pytest.CallInfo[None]) -> str:
    """What the assertion said, in one line; nothing when it held."""
    if call.excinfo is None:
        return ""
    words = str(call.excinfo.value).splitlines() or [call.excinfo.typename]
    return _plain(words[0].removeprefix("AssertionError: "))


def _plain(text: str) -> str:
    """What a machine wrote is not trusted: short, and without control characters."""
    return "".join(char if char.isprintable() else " " for char in text)[:MAX_MESSAGE]


def _wrong_key(error: BaseException) -> bool:
    return isinstance(error, paramiko.BadHostKeyException) or "known_hosts" in str(error)


def _write(results: Path, line: dict[str, Any]) -> None:
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
