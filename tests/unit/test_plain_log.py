"""A log that strangers write into: one entry each, printable, of bounded length."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from provisioner import plain_log
from provisioner.api import problems
from tests.unit.test_bad_input import NASTY

ESCAPES = ("\x1b[2J", "\x9b31m", "\r\n10:00 root: all is well", "\u202egnp.exe", "\x00")


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What goes to standard error through the real set-up, put back afterwards."""
    root, library = logging.getLogger(), logging.getLogger("library")
    before = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    library.propagate = False
    plain_log.install(logging.INFO, "library")
    yield stream
    root.handlers, library.handlers, library.propagate = before[0], [], True
    root.setLevel(before[1])


def entries(text: str) -> list[str]:
    """What begins at the left edge."""
    return [line for line in text.splitlines() if not line.startswith(" ")]


@pytest.mark.parametrize("text", [*NASTY, *ESCAPES, "A" * 2**20], ids=lambda text: ascii(text)[:20])
def test_nobody_else_writes_an_entry(written: io.StringIO, text: str) -> None:
    logging.getLogger("provisioner.test").warning("%s failed", text)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("library").exception("Order %s failed", text)
    said = written.getvalue()
    assert all(char.isprintable() or char in "\n\t" for char in said)
    assert len(entries(said)) == 2
    assert len(said) < 3 * plain_log.LIMIT
    said.encode()


def test_what_is_escaped_can_still_be_read() -> None:
    assert plain_log.plain("a\x1b[31mb\nc 教室") == "a\\x1b[31mb\n    c 教室"
    # not through a logger: two workers of pytest cannot tell each other half a character
    assert plain_log.plain("a\ud800b") == "a\\ud800b"
    assert plain_log.plain("x" * 30_000).endswith("(10000 more characters)")


def test_an_address_that_breaks_the_station(written: io.StringIO) -> None:
    """The path of a request is a stranger's text as well."""
    app = FastAPI()
    problems.install(app)

    @app.get("/{path:path}")
    def broken(path: str) -> None:
        raise RuntimeError(path)

    client = TestClient(app, raise_server_exceptions=False)
    assert client.get("/%1b[2J").status_code == 500
    assert "GET /\\x1b[2J failed" in written.getvalue().splitlines()
    assert "\x1b" not in written.getvalue()


def test_both_programs_log_in_this_form() -> None:
    """The station and the agent, and the servers inside the station."""
    package = Path(plain_log.__file__).parent
    for program in ("serve.py", "agent/main.py"):
        assert "plain_log.install(" in (package / program).read_text()
    assert "log_config=None" in (package / "serve.py").read_text()
    for path in package.rglob("*.py"):
        if path.name != "plain_log.py":
            assert "logging.basicConfig" not in path.read_text(), path
