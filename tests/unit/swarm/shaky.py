"""A station's HTTP for tests, honest or not: files with ranges, a tracker, and every bad habit.

Run as a program (`python -m tests.unit.swarm.shaky FOLDER ADDRESS PORT NETWORK [HABIT]`) it
serves inside a network namespace.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from pathlib import Path

from provisioner.swarm.tracker import Tracker


class ShakyStation(ThreadingHTTPServer):
    """Serves `folder` at /; `habit` is what it does wrong, `bad_times` how often."""

    daemon_threads = True

    def __init__(
        self, folder: Path, address: str = "127.0.0.1", port: int = 0,
        network: str = "127.0.0.0/8", habit: str = "", bad_times: int = 10**9,
    ) -> None:  # fmt: skip
        super().__init__((address, port), Handler)
        self.folder, self.habit, self.bad_times = folder, habit, bad_times
        self.tracker = Tracker(IPv4Network(network))
        self.asked: list[tuple[str, str]] = []
        self.sent = 0
        self.lock = threading.Lock()

    def handle_error(self, *_: object) -> None:
        """A connection that the other side dropped is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def start(self) -> ShakyStation:
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def bad_now(self) -> str:
        """The habit, while it lasts."""
        with self.lock:
            if not self.habit or self.bad_times <= 0:
                return ""
            self.bad_times -= 1
            return self.habit


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ShakyStation

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/announce":
            answer = self.server.tracker.answer(
                query.encode("latin-1"), self.client_address[0], time.monotonic()
            )
            self._head(200, len(answer))
            self.wfile.write(answer)
            return
        asked = self.headers.get("Range", "")
        self.server.asked.append((path, asked))
        file = self.server.folder / path.lstrip("/")
        if not file.is_file():
            self._head(404, 0)
            return
        large = file.stat().st_size >= 1_000_000
        self._send(file, asked, self.server.bad_now() if large else "")

    def _send(self, file: Path, asked: str, habit: str) -> None:
        size = file.stat().st_size
        start, stop = 0, size
        if match := re.match(r"bytes=(\d+)-(\d*)$", asked):
            start, stop = int(match[1]), int(match[2]) + 1 if match[2] else size
        if habit == "gone":
            self._head(404, 0)
            return
        if habit == "whole":
            start, stop, asked = 0, size, ""
        with file.open("rb") as source:
            source.seek(start)
            data = source.read(stop - start)
        if habit == "wrong":
            data = bytes(len(data))
        told = f"bytes {start}-{stop - 1}/{size + (habit == 'other size')}"
        if habit == "other range":
            told = f"bytes {start + 1}-{stop}/{size}"
        self._head(206 if asked else 200, len(data), told if asked else "")
        if habit in ("short", "reset"):
            data = data[: len(data) // 2]
            self.close_connection = True
        if habit == "drip":
            self._drip(data)
            return
        for at in range(0, len(data), 65536):
            self.wfile.write(data[at : at + 65536])
            with self.server.lock:
                self.server.sent += len(data[at : at + 65536])
        if habit == "reset":
            self.connection.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: RST

    def _drip(self, data: bytes) -> None:
        """One byte a second, for as long as anybody listens."""
        for byte in data:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(1)

    def _head(self, status: int, length: int, told: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if told:
            self.send_header("Content-Range", told)
        self.end_headers()


if __name__ == "__main__":
    folder, address, port, network, habit = (*sys.argv[1:], "")[:5]
    ShakyStation(Path(folder), address, int(port), network, habit).serve_forever()
