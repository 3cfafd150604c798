"""A station in a process of its own that a simulation speaks with, and kills.

In that process are the real application for machines, called by ASGI without a socket, the real
database, and `rollouts.step`; only its clock is the simulation's. `restart(body)` sends it a
question and kills it with SIGKILL while it works on that, wherever it then is.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, MutableMapping
from datetime import datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, cast

from provisioner.api.machine import make_machine_app
from provisioner.fleet import rollouts
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.settings import Settings
from provisioner.store.tables import EventRow
from provisioner.workshop.station import Station, open_station

URL = "http://10.77.0.1:8080"
NAME = "r1"
Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Awaitable[None],
]


def open_at(folder: Path) -> Station:
    return open_station(Settings(state_dir=folder / "state"), url=URL)


class InProcess:
    """The station's application and engine, here."""

    def __init__(self, folder: Path) -> None:
        self.station = open_at(folder)
        self.at = datetime.min
        netboot = NetbootSettings(interface="lo", station="10.77.0.1/24", mode=DhcpMode.SERVER,
                                  tftp_root=folder, state_dir=folder)  # fmt: skip
        self._app = make_machine_app(self.station, netboot, folder, clock=lambda: self.at)

    async def ask(self, at: datetime, body: bytes) -> str:
        """One question through the application, as a web server would pass it on."""
        self.at = at
        status, answer = await post(cast(App, self._app), "/machine/v1/wanted", body)
        assert status == 200, answer
        return answer.decode()

    def step(self, at: datetime) -> tuple[str, int]:
        """Decide; how the rollout stands, and how many machines are exposed now."""
        with self.station.database.transaction() as session:
            rollouts.step(session, at)
            row = rollouts.find(session, NAME)
            return row.state, rollouts.exposed(
                rollouts.figures(session, row, rollouts.plan_of(row), at)
            )

    def decisions(self) -> list[tuple[str, str, int]]:
        with self.station.database.reading() as session:
            query = session.query(EventRow).filter_by(kind="rollout-decided").order_by(EventRow.id)
            return [(e.data["verdict"], e.data["reason"], e.data["figures"]["healthy"])
                    for e in query]  # fmt: skip


class OwnProcess:
    """The same in a child process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._chance = random.Random(7)
        self.kills = 0
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._line, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(self._folder, theirs), daemon=True)
        self._child.start()
        theirs.close()

    def _call(self, *words: Any) -> Any:
        self._line.send(words)
        return self._line.recv()

    def ask(self, at: datetime, body: bytes) -> str:
        return cast(str, self._call("ask", at, body))

    def step(self, at: datetime) -> tuple[str, int]:
        return cast(tuple[str, int], self._call("step", at))

    def decisions(self) -> list[tuple[str, str, int]]:
        return cast(list[tuple[str, str, int]], self._call("decisions"))

    def kill(self, at: datetime, body: bytes, within_s: float = 0.004) -> None:
        """SIGKILL while it works on a question, whose answer is lost; then a new process."""
        self._line.send(("ask", at, body))
        time.sleep(self._chance.random() * within_s)
        self._end()
        self.kills += 1
        self._start()

    def close(self) -> None:
        self._end()

    def _end(self) -> None:
        assert self._child.pid is not None
        os.kill(self._child.pid, signal.SIGKILL)
        self._child.join()
        self._line.close()


def _serve(folder: Path, line: Connection) -> None:
    asyncio.run(_answer(InProcess(folder), line))


async def _answer(station: InProcess, line: Connection) -> None:
    """One question after the other: the line is waited for in the loop, which has no other work."""
    while True:
        verb, *rest = line.recv()
        said = getattr(station, verb)(*rest)
        line.send(await said if asyncio.iscoroutine(said) else said)


async def post(app: App, path: str, body: bytes) -> tuple[int, bytes]:
    """POST by ASGI: status and body of the answer."""
    said: list[Message] = []
    scope: Message = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"content-type", b"application/json")],
        "client": ("10.0.0.1", 40000), "server": ("10.77.0.1", 8080),
    }  # fmt: skip

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said[0]["status"], b"".join(message.get("body", b"") for message in said[1:])
