"""A small station for the agent's tests: the real envelopes over real HTTP, and nothing else.

It answers whatever the test says it should, honestly or not.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from provisioner.errors import ProvisionerError
from provisioner.model.order import Order, Work
from provisioner.model.record import Record
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.model.wire import (
    PollRequest,
    Progress,
    RecordRequest,
    RegisterRequest,
    Reply,
    Request,
    Screen,
)

REQUESTS: dict[str, type[Request]] = {
    "register": RegisterRequest,
    "poll": PollRequest,
    "record": RecordRequest,
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, *words: Any) -> None:
        self.lines: set[socket.socket] = set()
        super().__init__(*words)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.lines.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.lines.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End lines that wait for another request, and their threads with them."""
        for line in list(self.lines):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def handle_error(self, *_: object) -> None:
        """A connection that the other side dropped is part of the tests."""


class StubStation:
    """Orders are put into `orders` (sealed); what machines said is kept for the test."""

    def __init__(self, files: Path | None = None, host: str = "127.0.0.1", port: int = 0) -> None:
        self.key = PrivateKey.generate()
        self.files = files
        self.orders: deque[str] = deque()
        self.registered: list[RegisterRequest] = []
        self.records: list[Record] = []
        self.progress: list[tuple[float, Progress]] = []
        self.requests: list[tuple[str, int]] = []
        self.gets: list[tuple[str, str]] = []
        self.machine_key = ""
        self.screen = Screen(title_en="Hello", title_zh="你好")
        self.poll_seconds = 0.05
        # Dishonesty, one function at a time
        self.mangle: Callable[[Reply], Reply] = lambda reply: reply
        self.seal: Callable[[Reply], str] = lambda reply: self.key.seal(reply)
        self.refuse: Callable[[str], tuple[int, str] | None] = lambda _door: None
        self.cut_after: int | None = None  # bytes of each GET's body before the line breaks
        self.connections: set[tuple[str, int]] = set()
        self.trickle = 0  # so many bodies come a few bytes at a time
        self.too_long = 0  # so many ranges are answered with a byte more than was asked for
        self.ranges = True  # whether ranges are answered, or whole files only
        self._server = _Server((host, port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def order(self, work: Work, **changes: object) -> Order:
        """An order for the machine that registered last, put into the queue."""
        values: dict[str, object] = {
            "id": secrets.token_hex(16),
            "machine_key": self.machine_key,
            "machine": "T-001",
            "batch": "test",
            "station_url": self.url,
            "work": work,
        }
        order = Order.model_validate({**values, **changes})
        self.orders.append(self.key.seal(order))
        return order

    def wait_for(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        until = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < until, f"not within {seconds} s; records: {self.records}"
            time.sleep(0.01)

    def answer(self, door: str, body: bytes) -> str:
        request, key = open_envelope(body, REQUESTS[door], trusted=None)
        self.requests.append((door, request.counter))
        self.machine_key = key
        order = None
        match request:
            case RegisterRequest():
                self.registered.append(request)
            case RecordRequest():
                self.records.append(request.record)
            case PollRequest():
                if request.progress:
                    self.progress.append((time.monotonic(), request.progress))
                elif self.orders:
                    order = self.orders.popleft()
        reply = Reply(
            to_key=key,
            counter=request.counter,
            asset_tag="T-001",
            screen=self.screen,
            order=order,
            station_time=time.time(),
            poll_seconds=self.poll_seconds,
        )
        return self.seal(self.mangle(reply))

    def _handler(station: StubStation) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                door = self.path.rsplit("/", 1)[-1]
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if no := station.refuse(door):
                    self._send(no[0], json.dumps({"title": "No", "detail": no[1]}).encode())
                    return
                try:
                    self._send(200, station.answer(door, body).encode())
                except ProvisionerError as error:
                    self._send(403, json.dumps({"title": error.message}).encode())

            def do_GET(self) -> None:
                asked = self.headers.get("Range", "")
                station.gets.append((self.path, asked))
                station.connections.add(self.client_address)
                path = (station.files or Path("/nonexistent")) / self.path.lstrip("/")
                if not path.is_file():
                    self._send(404, b"{}")
                    return
                data = path.read_bytes()
                match = re.match(r"bytes=(\d+)-(\d*)$", asked) if station.ranges else None
                start = int(match[1]) if match else 0
                stop = int(match[2]) + 1 if match and match[2] else len(data)
                if match and station.too_long:
                    station.too_long, stop = station.too_long - 1, stop + 1
                self.send_response(206 if match else 200)
                if match:
                    self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
                body = data[start:stop]
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if station.cut_after is not None and len(body) > station.cut_after:
                    self.wfile.write(body[: station.cut_after])
                    self.close_connection = True
                    return
                if match and station.trickle:
                    station.trickle -= 1
                    for at in range(0, min(len(body), 100)):
                        self.wfile.write(body[at : at + 1])
                        time.sleep(0.02)
                    self.close_connection = True
                    return
                self.wfile.write(body)

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler
