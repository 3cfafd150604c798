"""Brings what is in the box to somebody who keeps it, piece by piece, for as long as it takes.

Any cut costs one piece at most; sending something twice changes nothing on the other side. The
same four words are spoken with the teacher's machine and with the station.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import urllib3
from pydantic import ValidationError

from provisioner.errors import ProvisionerError, UnreachableError
from provisioner.handin.box import Box, HandedIn
from provisioner.model.entry import Held, Keeper

PIECE = 256 * 1024
TIMEOUT = urllib3.Timeout(connect=5.0, read=60.0)
WAITS_S = (5, 10, 30, 60, 120, 300, 600)
MAX_ANSWER = 64 * 1024

log = logging.getLogger(__name__)


class Line(Protocol):
    """A way to somebody who keeps entries. Raises UnreachableError when it is cut."""

    def begin(self, sealed: str) -> Held: ...

    def take(self, entry_id: str, offset: int, data: bytes) -> Held: ...


class HttpLine:
    """The same over HTTP: POST /entries/v1, PUT /entries/v1/ID?offset=N."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=1, retries=False, timeout=TIMEOUT)

    def begin(self, sealed: str) -> Held:
        return self._ask("POST", "/entries/v1", sealed.encode(), "application/json")

    def take(self, entry_id: str, offset: int, data: bytes) -> Held:
        path = f"/entries/v1/{entry_id}?offset={offset}"
        return self._ask("PUT", path, data, "application/octet-stream")

    def _ask(self, method: str, path: str, body: bytes, kind: str) -> Held:
        try:
            answer = self._pool.request(
                method,
                self._url + path,
                body=body,
                redirect=False,
                headers={"Content-Type": kind},
                preload_content=False,
            )
            said = answer.read(MAX_ANSWER, decode_content=False)
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UnreachableError(f"{self._url} does not answer: {error}") from error
        if answer.status >= 500 or answer.status in (408, 425, 429):
            raise UnreachableError(f"{self._url} is in trouble ({answer.status}).")
        if answer.status >= 400:
            raise ProvisionerError(f"{self._url} refuses this entry ({answer.status}).")
        try:
            return Held.model_validate_json(said)
        except ValidationError as error:
            raise UnreachableError(f"{self._url} does not answer as it should.") from error


def carry(line: Line, entry_id: str, sealed: str, path: Path) -> str:
    """Bring one entry to who is at the line; their sealed receipt. Raises UnreachableError."""
    held = line.begin(sealed)
    with path.open("rb") as file:
        while held.receipt is None:
            file.seek(held.have)
            piece = file.read(PIECE)
            if not piece:
                raise UnreachableError("All was sent and no receipt came.")
            had, held = held.have, line.take(entry_id, held.have, piece)
            if held.receipt is None and held.have <= had:
                raise UnreachableError("What was sent did not arrive whole.")
    return held.receipt


def bring(box: Box, entry: HandedIn, keeper: Keeper, line: Line) -> bool:
    """Bring one entry; True when its receipt is in the box."""
    receipt = carry(line, entry.hand_in.id, entry.sealed, entry.path)
    return box.acknowledged(keeper, receipt)


def bring_all(box: Box, keeper: Keeper, line: Line) -> int:
    """Bring everything that waits; how many arrived. One that is refused holds no other up."""
    arrived = 0
    for entry in box.waiting(keeper):
        try:
            arrived += bring(box, entry, keeper, line)
        except UnreachableError:
            raise
        except ProvisionerError as error:
            log.error("Entry %s: %s", entry.code, error)
    return arrived


class Background:
    """Does its work again and again: at once after `wake()`, else with longer and longer pauses
    while it comes to nothing."""

    def __init__(self, work: Callable[[], object], name: str,
                 wait: Callable[[threading.Event, float], object] | None = None,
                 ) -> None:  # fmt: skip
        self._work, self._name = work, name
        self._woken, self._stop = threading.Event(), threading.Event()
        self._wait = wait or (lambda event, seconds: event.wait(seconds))
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stop.set()
        self._woken.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            self._woken.clear()
            try:
                self._work()
                failures = 0
            except (ProvisionerError, OSError) as error:
                failures += 1
                log.warning("Entries wait (%s): %s", self._name, error)
            self._wait(self._woken, WAITS_S[min(failures, len(WAITS_S) - 1)])


class Courier(Background):
    """Brings what is in a machine's box to one keeper."""

    def __init__(self, box: Box, keeper: Keeper, line: Line,
                 wait: Callable[[threading.Event, float], object] | None = None,
                 ) -> None:  # fmt: skip
        super().__init__(lambda: bring_all(box, keeper, line), f"courier-{keeper}", wait)
