"""The little server on each machine of the room: the pupil's page, and the teacher's keeping.

On a pupil's machine it answers on 127.0.0.1 only, to its own page only. On the teacher's machine a
second door answers the room: it takes entries and gives nothing out but how far each has come.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from pydantic import ValidationError

from provisioner.entry.keeping import MAX_PIECE, Keeping
from provisioner.entry.refusal import EntryRefusedError
from provisioner.errors import ProvisionerError, UntrustedError, WrongStateError
from provisioner.handin.box import Box, HandedIn
from provisioner.handin.room import room_view, write_zip
from provisioner.model.contest import ContestCard
from provisioner.model.entry import ClockReading, Pupil

LOOPBACK = "127.0.0.1"
PAGE_PORT = 8602
ROOM_PORT = 6774
OWN_HEADER = "X-Hand-In"
PAGE = Path(__file__).parent / "page"
HTML = "text/html; charset=utf-8"
FILES = {"/": ("index.html", HTML),
         "/page.js": ("page.js", "text/javascript"),
         "/page.css": ("page.css", "text/css")}  # fmt: skip
ROOM_FILES = {"/room": ("room.html", HTML), "/room.js": ("room.js", "text/javascript")}
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
          "base-uri 'none'; form-action 'none'; frame-ancestors 'none'")  # fmt: skip
_ENTRY = re.compile(r"^/entries/v1/([0-9a-f]{32})$")
MAX_SEALED = 32 * 1024
# For what a refused request still sends: silence, and all of it
LINGER_S, MOST_LINGER_S = 2.0, 30.0


@dataclass
class Desk:
    """What the pupil's page works with. `woken` tells the couriers of a new entry."""

    box: Box
    card: ContestCard
    clock: Callable[[], ClockReading]
    woken: Callable[[], None] = lambda: None

    def hand_in(self, data: bytes, pupil: Pupil, title: str) -> HandedIn:
        """Raises EntryRefusedError, WrongStateError when it is surely too early or too late."""
        self.card.check_time(self.clock())
        if pupil.age_group not in {group.name for group in self.card.age_groups}:
            raise WrongStateError("There is no such age group.")
        entry = self.box.hand_in(data, pupil, title)
        self.woken()
        return entry


@dataclass
class Room:
    """What the teacher's page works with; `seats` are the pupils', where they are known."""

    keeping: Keeping
    seats: tuple[str, ...] = ()
    woken: Callable[[], None] = lambda: None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def page_server(desk: Desk, port: int = PAGE_PORT, room: Room | None = None) -> Server:
    """The pupil's page, and with `room` the teacher's; call `serve_forever` on it."""
    parts = {"desk": desk, "room": room}
    return Server((LOOPBACK, port), type("PageHandler", (_PageHandler,), parts))


def room_server(keeping: Keeping, address: str, port: int = ROOM_PORT) -> Server:
    """The teacher's door for the room."""
    return Server((address, port), type("RoomHandler", (_RoomHandler,), {"keeping": keeping}))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    unread = False

    def parse_request(self) -> bool:
        good = super().parse_request()
        self.unread = good and self.headers.get("Content-Length", "0") != "0"
        return good

    def answer(self, work: Callable[[], Any]) -> None:
        try:
            self.say(HTTPStatus.OK, work())
        except EntryRefusedError as error:
            self.say(HTTPStatus.UNPROCESSABLE_ENTITY,
                     {"code": error.code, **error.words.model_dump()})  # fmt: skip
        except UntrustedError as error:
            self.say(HTTPStatus.FORBIDDEN, {"code": "untrusted", "en": error.message, "zh": ""})
        except ProvisionerError as error:
            zh = getattr(error, "zh", "")
            self.say(HTTPStatus.CONFLICT, {"code": "refused", "en": error.message, "zh": zh})
        except (ValidationError, ValueError):
            self.say(HTTPStatus.BAD_REQUEST, {"code": "wrong", "en": "", "zh": ""})
        except OSError as error:
            self.say(HTTPStatus.INSUFFICIENT_STORAGE,
                     {"code": "disk", "en": f"The disk cannot take it: {error.strerror}.",
                      "zh": "硬盘存不下了，请马上告诉老师。"})  # fmt: skip

    def body(self, limit: int) -> bytes:
        """Raises ValueError for a body that is too long or broke off."""
        length = int(self.headers.get("Content-Length", "-1"))
        if not 0 <= length <= limit:
            self.close_connection = True
            raise ValueError("too long")
        data = self.rfile.read(length)
        if len(data) != length:
            self.close_connection = True
            raise ValueError("broke off")
        self.unread = False
        return data

    def say(self, status: HTTPStatus, value: Any, kind: str = "application/json") -> None:
        data = value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        if self.unread:  # what was not read would be taken for the next request
            self.close_connection = True
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def finish(self) -> None:
        """Throw away what was not read: closed with bytes in it, a connection is reset, and the
        pupil's browser says that the network is broken instead of what was answered."""
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_WR)
            self.connection.settimeout(LINGER_S)
            until = time.monotonic() + MOST_LINGER_S
            while self.connection.recv(1 << 16) and time.monotonic() < until:
                pass
        super().finish()

    def send_file(self, path: Path, name: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(path.stat().st_size))
        self.send_header("Content-Disposition", f'attachment; filename="{name}"')
        self.end_headers()
        with path.open("rb") as file:
            shutil.copyfileobj(file, self.wfile)

    def log_message(self, format: str, *args: Any) -> None:
        """Names of pupils stay out of the journal."""


class _PageHandler(_Handler):
    desk: Desk
    room: Room | None

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if not self._from_own_page():
            self.say(HTTPStatus.FORBIDDEN, {"code": "host"})
        elif path in FILES:
            name, kind = FILES[path]
            self.say(HTTPStatus.OK, (PAGE / name).read_bytes(), kind)
        elif path == "/contest.json":
            self.answer(lambda: self.desk.card.model_dump(mode="json"))
        elif path == "/handed-in.json":
            self.answer(lambda: [_shown(entry) for entry in self.desk.box.all()])
        elif self.room is not None and path in (*ROOM_FILES, "/room.json", "/room.zip"):
            self._room(path, self.room)
        else:
            self.say(HTTPStatus.NOT_FOUND, {"code": "missing"})

    def _room(self, path: str, room: Room) -> None:
        """The teacher's page, on the teacher's machine only."""
        if path in ROOM_FILES:
            name, kind = ROOM_FILES[path]
            self.say(HTTPStatus.OK, (PAGE / name).read_bytes(), kind)
        elif path == "/room.json":
            self.answer(lambda: room_view(room.keeping, room.seats))
        else:
            with tempfile.NamedTemporaryFile(dir=room.keeping.folder, suffix=".zip") as file:
                write_zip(room.keeping, Path(file.name))
                self.send_file(Path(file.name), f"{self.desk.card.name}.zip")

    def do_POST(self) -> None:
        """The bytes are the body; who hands in stands in the address."""
        url = urlsplit(self.path)
        # Another page cannot send this header without asking first, and is not answered then.
        if not self._from_own_page() or OWN_HEADER not in self.headers or url.path != "/hand-in":
            self.close_connection = True
            self.say(HTTPStatus.FORBIDDEN, {"code": "host"})
            return
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}

        def work() -> dict[str, Any]:
            limit = self.desk.card.limits.bytes
            pupil = Pupil(name=asked.get("name", ""), form=asked.get("form", ""),
                          age_group=asked.get("age_group", ""))  # fmt: skip
            if int(self.headers.get("Content-Length", "0")) > limit:
                self.close_connection = True
                raise EntryRefusedError("too-big", limit=limit >> 20)
            return _shown(self.desk.hand_in(self.body(limit), pupil, asked.get("title", "")))

        self.answer(work)

    def _from_own_page(self) -> bool:
        port = cast(Server, self.server).server_port
        hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host") in hosts and (
            origin is None or origin.removeprefix("http://") in hosts
        )


class _RoomHandler(_Handler):
    keeping: Keeping

    def do_POST(self) -> None:
        if self.path != "/entries/v1":
            self.close_connection = True
            self.say(HTTPStatus.NOT_FOUND, {"code": "missing"})
            return
        self.answer(lambda: self.keeping.begin(self.body(MAX_SEALED).decode()).model_dump())

    def do_PUT(self) -> None:
        url = urlsplit(self.path)
        found = _ENTRY.match(url.path)
        if found is None:
            self.close_connection = True
            self.say(HTTPStatus.NOT_FOUND, {"code": "missing"})
            return
        offset = int(parse_qs(url.query).get("offset", ["-1"])[0])
        entry_id = found[1]
        self.answer(lambda: self.keeping.take(entry_id, offset, self.body(MAX_PIECE)).model_dump())


def _shown(entry: HandedIn) -> dict[str, Any]:
    said = entry.hand_in
    at: datetime = said.clock.at
    return {"code": entry.code, "name": said.pupil.name, "form": said.pupil.form,
            "title": said.title, "at": at.isoformat(), "sure": said.clock.doubt_s is not None,
            "teacher": entry.teacher, "station": entry.station}  # fmt: skip
