"""Talking to the station: one signed question, one signed answer.

The reply counts only when the station's pinned key signed it, it is addressed to our key and
it answers exactly this counter. Of anything else nothing is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeVar

import urllib3

from provisioner.agent.memory import Counter
from provisioner.agent.surroundings import Home
from provisioner.agent.text import clean
from provisioner.errors import (
    ProvisionerError,
    StationError,
    UnreachableError,
    UntrustedError,
)
from provisioner.model.hardware import Hardware
from provisioner.model.health import Health
from provisioner.model.record import Record
from provisioner.model.rollout import StateReport, WantedReply, WantedRequest
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.model.wire import (
    BootFacts,
    PollRequest,
    Progress,
    RecordRequest,
    RegisterRequest,
    Reply,
    Request,
)
from provisioner.swarm.line import SocketOption, open_pool, plain

TIMEOUT = urllib3.Timeout(connect=3.0, read=15.0)
PROBLEM_BYTES = 64 * 1024
R = TypeVar("R", Reply, WantedReply)


class RefusedError(StationError):
    """The station answered, and the answer is no; `status` is HTTP's."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class StationClient:
    """The machine's side of /machine/v1. Each call raises UnreachableError, RefusedError or
    UntrustedError; used by one thread."""

    def __init__(self, home: Home, counter: Counter, options: Sequence[SocketOption] = ()) -> None:
        self._home, self._counter = home, counter
        # To each address of its own: a certificate that is right for one is not for the other.
        self._pools = {url: open_pool(url, options, num_pools=1, maxsize=1, timeout=TIMEOUT)
                       for url in home.line.urls}  # fmt: skip

    def register(self, hardware: Hardware, boot: BootFacts) -> Reply:
        return self._ask(
            "register",
            RegisterRequest(counter=self._counter.next(), hardware=hardware, boot=boot),
        )

    def poll(self, progress: Progress | None, health: Health | None = None) -> Reply:
        return self._ask(
            "poll", PollRequest(counter=self._counter.next(), progress=progress, health=health)
        )

    def record(self, record: Record) -> Reply:
        return self._ask("record", RecordRequest(counter=self._counter.next(), record=record))

    def wanted(self, reports: Sequence[StateReport]) -> WantedReply:
        """Which release and which contest this machine shall have, for what it has."""
        request = WantedRequest(counter=self._counter.next(), reports=tuple(reports))
        return self._answered("wanted", request, WantedReply)

    def _ask(self, door: str, request: Request) -> Reply:
        return self._answered(door, request, Reply)

    def _answered(self, door: str, request: Request, kind: type[R]) -> R:
        try:
            return self._answer(door, request, kind)
        except ProvisionerError:
            # In a school, somebody else may have the address that the workshop's station had.
            self._home.line.turn()
            raise

    def _answer(self, door: str, request: Request, kind: type[R]) -> R:
        status, body = self._post(door, self._home.key.seal(request))
        if status >= 400:
            raise read_problem(status, body)
        reply, _ = open_envelope(body, kind, trusted=self._home.station_key)
        if reply.to_key != self._home.key.public or reply.counter != request.counter:
            raise UntrustedError(
                "The station's answer belongs to another question.",
                "Somebody may be replaying old messages on this network; ask a technician.",
            )
        return reply

    def _post(self, door: str, body: str) -> tuple[int, bytes]:
        url = self._home.line.url
        try:
            response = self._pools[url].request(
                "POST",
                f"{plain(url)}/machine/v1/{door}",
                body=body.encode(),
                headers={"Content-Type": "application/json"},
                preload_content=False,
                redirect=False,
            )
            try:
                data = response.read(MAX_ENVELOPE_BYTES + 1, decode_content=False)
                return response.status, data
            finally:
                response.close() if response.status >= 300 else response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(
                f"The station does not answer at {plain(url)}: {clean(str(error))}",
                "Check the network cable and that the station is switched on.",
            ) from error


def read_problem(status: int, body: bytes) -> RefusedError | UnreachableError:
    """An RFC 9457 problem document as an error; a station in trouble (5xx) is waited for."""
    try:
        problem = json.loads(body[:PROBLEM_BYTES])
        title, detail = clean(problem.get("title")), clean(problem.get("detail"), 1000)
    except (ValueError, AttributeError, RecursionError):
        title, detail = "", ""
    if status >= 500 or status in (408, 425, 429):
        return UnreachableError(f"The station is in trouble ({status}). {title} {detail}".strip())
    return RefusedError(status, title or f"The station said no ({status}).", detail)
