"""Talking to QEMU: answers, refusals, events in between, silence."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.errors import UnreachableError
from provisioner.lab.qmp import execute

Serve = Callable[[list[object]], Path]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """A QEMU that says the greeting and then, for each command, the next line(s)."""

    def start(answers: list[object]) -> Path:
        path = tmp_path / "q"
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(path))
        listening.listen(1)

        def talk() -> None:
            connection, _ = listening.accept()
            with connection, connection.makefile("rwb") as lines:
                lines.write(b'{"QMP": {}}\n')
                lines.flush()
                for answer in answers:
                    lines.readline()
                    lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()

        threading.Thread(target=talk, daemon=True).start()
        return path

    return start


def test_the_answer_to_the_command(serve: Serve) -> None:
    path = serve([{"return": {}}, {"return": {"status": "running"}}])
    assert execute(path, "query-status") == {"status": "running"}


def test_a_refusal_is_an_error_in_qemus_words(serve: Serve) -> None:
    path = serve([{"return": {}}, {"error": {"desc": "no such device"}}])
    with pytest.raises(UnreachableError, match="no such device"):
        execute(path, "set_link", name="x", up=False)


def test_a_qemu_that_goes_away_is_unreachable(serve: Serve) -> None:
    path = serve([{"return": {}}])
    with pytest.raises(UnreachableError):
        execute(path, "query-status")


def test_no_qemu_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        execute(tmp_path / "none", "query-status")
