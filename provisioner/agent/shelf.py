"""A stick's files, handed out as the station would hand them out: to this machine's own agent on
the loopback address, and to its neighbours on the room's wire.

So a renewal from a stick is the same work as one over a line: ranges, resuming, checking.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from provisioner.errors import ProvisionerError

BLOCK = 256 * 1024
PATIENCE_S = 60.0  # with a neighbour that has fallen silent
MOST_AT_ONCE = 64  # of a room of 25, each with two lines
_RANGE = re.compile(r"^bytes=(\d{1,18})-(\d{0,18})$")

# The path that was posted to, and what was posted; whether it was taken.
Take = Callable[[str, bytes], bool]


class Shelf:
    """Serves `folder` until closed; a context manager.

    Only what lies below the names of `shown`, if any are given. `take` gets what is posted.
    """

    def __init__(
        self,
        folder: Path,
        host: str = "127.0.0.1",
        *,
        shown: tuple[str, ...] = (),
        take: Take | None = None,
        take_bytes: int = 0,
    ) -> None:
        root = folder.resolve()

        class Handler(_Handler):
            shelf, names, limit = root, shown, take_bytes
            taking = staticmethod(take) if take else None
            turn = threading.Semaphore(MOST_AT_ONCE)

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="shelf", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://{self._server.server_address[0]!s}:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = PATIENCE_S
    shelf = Path("/nonexistent")
    names: tuple[str, ...] = ()
    limit = 0
    taking: Take | None = None
    turn = threading.Semaphore(MOST_AT_ONCE)

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        path = (self.shelf / name).resolve()
        if not self._shows(path) or not path.is_file():
            self.send_error(404)
            return
        with self.turn, contextlib.suppress(OSError), path.open("rb") as file:
            self._answer(file, path.stat().st_size)

    def _shows(self, path: Path) -> bool:
        if not path.is_relative_to(self.shelf):
            return False
        return not self.names or path.relative_to(self.shelf).parts[:1] in {
            (n,) for n in self.names
        }

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.taking is None or not length.isdecimal() or int(length) > self.limit:
            self.close_connection = True
            self.send_error(403)
            return
        with contextlib.suppress(OSError):
            body = self.rfile.read(int(length))
            try:
                taken = type(self).taking(self.path, body)  # type: ignore[misc]
            except (ProvisionerError, OSError, ValueError):
                taken = False
            self.send_response(200 if taken else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, file: BinaryIO, size: int) -> None:
        first, last, wanted = 0, size - 1, _RANGE.match(self.headers.get("Range", ""))
        if wanted:
            first, last = int(wanted[1]), min(int(wanted[2] or last), last)
        if wanted and first > last:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        file.seek(first)
        left = last - first + 1
        while left > 0 and (data := file.read(min(BLOCK, left))):
            self.wfile.write(data)
            left -= len(data)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""
