"""A stick's files, handed out to this machine's own agent as the station would hand them out.

So a renewal from a stick is the same work as one over a line: ranges, resuming, checking. It
listens on the loopback address only.
"""

from __future__ import annotations

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

BLOCK = 256 * 1024
_RANGE = re.compile(r"^bytes=(\d{1,18})-(\d{0,18})$")


class Shelf:
    """Serves `folder` until closed; a context manager."""

    def __init__(self, folder: Path) -> None:
        root = folder.resolve()

        class Handler(_Handler):
            shelf = root

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="shelf", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    shelf = Path("/nonexistent")

    def do_GET(self) -> None:
        path = (self.shelf / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_relative_to(self.shelf) or not path.is_file():
            self.send_error(404)
            return
        with contextlib.suppress(OSError), path.open("rb") as file:
            self._answer(file, path.stat().st_size)

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
