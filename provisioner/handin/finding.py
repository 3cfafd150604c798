"""Finding the teacher's machine on the room's wire, where no address of it is fixed.

A question goes to everybody on each wire; whoever keeps the contest's entries answers with a signed
word on that very question. Its key is known from the station, so nobody else can answer.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import threading
import time

from provisioner.errors import UnreachableError, UntrustedError
from provisioner.handin.courier import HttpLine
from provisioner.model.entry import Held, KeeperHere
from provisioner.model.signed import PrivateKey, open_envelope

EVERYBODY = "255.255.255.255"
LOOPBACK = "lo"
WAIT_S = 2.0
MAX_ANSWER = 2048
_QUESTION = re.compile(rb"classroom-entries\? ([a-z0-9-]{1,63}) ([0-9a-f]{32})\n")


class Answerer:
    """On the teacher's machine: tells who asks that entries are kept here, at `port`."""

    def __init__(self, contest: str, key: PrivateKey, address: str, port: int) -> None:
        self._contest, self._key, self._port = contest, key, port
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._run, name="answerer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._socket.close()

    def _run(self) -> None:
        while self._socket.fileno() != -1:
            try:
                question, whom = self._socket.recvfrom(256)
            except OSError:
                return
            found = _QUESTION.fullmatch(question)
            if found is None or found[1].decode() != self._contest:
                continue
            here = KeeperHere(contest=self._contest, question=found[2].decode(), port=self._port)
            with contextlib.suppress(OSError):
                self._socket.sendto(self._key.seal(here).encode(), whom)


def find_keeper(contest: str, key: str, port: int, wires: list[str] | None = None,
                wait_s: float = WAIT_S) -> str:  # fmt: skip
    """The address of who keeps entries here, as http://ADDRESS:PORT; only `key` is believed.

    `wires` are names of interfaces, all but the loopback by default. Raises UnreachableError.
    """
    question = secrets.token_hex(16)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for wire in _wires() if wires is None else wires:
            with contextlib.suppress(OSError):
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, wire.encode())
                words = f"classroom-entries? {contest} {question}\n".encode()
                asking.sendto(words, ("127.0.0.1" if wire == LOOPBACK else EVERYBODY, port))
        with contextlib.suppress(OSError):
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"")
        until = time.monotonic() + wait_s
        while (left := until - time.monotonic()) > 0:
            asking.settimeout(left)
            try:
                answer, (address, _) = asking.recvfrom(MAX_ANSWER)
                here, _ = open_envelope(answer, KeeperHere, trusted=key)
            except (OSError, UntrustedError):
                continue
            if (here.contest, here.question) == (contest, question):
                return f"http://{address}:{here.port}"
    raise UnreachableError("The teacher's machine does not answer.")


def _wires() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != LOOPBACK]


class RoomLine:
    """A line to the teacher's machine, wherever it is at the moment."""

    def __init__(self, url: str, contest: str, key: str, port: int) -> None:
        self._fixed, self._contest, self._key, self._port = url, contest, key, port
        self._line: HttpLine | None = None

    def begin(self, sealed: str) -> Held:
        """Raises UnreachableError, as `take` does; then it is looked for anew."""
        if self._line is None:
            url = self._fixed or find_keeper(self._contest, self._key, self._port)
            self._line = HttpLine(url)
        try:
            return self._line.begin(sealed)
        except UnreachableError:
            self._line = None
            raise

    def take(self, entry_id: str, offset: int, data: bytes) -> Held:
        if self._line is None:
            raise UnreachableError("The teacher's machine went away.")
        return self._line.take(entry_id, offset, data)
