"""Answers the editor on 127.0.0.1: its files, pictures and sounds, the pupil's works, speech.

It runs as the pupil, so that the kernel decides what may be read and written. Two things keep
other programs and pages on the same PC out: only requests to our own host name and port are
answered (no rebinding of names), and whatever reads or writes works needs the key of this start,
which only our own page is given.
"""

from __future__ import annotations

import hmac
import json
import mimetypes
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from provisioner.errors import CommandError, NotFoundError, ProvisionerError
from provisioner.pupil import library, sb3, speech
from provisioner.pupil.contest import contest_now
from provisioner.pupil.works import SaveError, Works

LOOPBACK = "127.0.0.1"
PORT = 8601
KEY_HEADER = "X-Blocks-Key"
MAX_SMALL = 64 * 1024
_ASSET = re.compile(r"^/internalapi/asset/([0-9a-f]{32}\.[a-z0-9]{2,4})/get/?$")
_WORK = re.compile(r"^/works/([0-9a-f]{24})$")
_PROJECT = re.compile(r"^/projects/([0-9a-f]{24})$")
# Nothing but this server can be reached from the page, whatever a project tries.
PAGE_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-eval' 'unsafe-inline' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'"
)
# The editor reads it while its program is being loaded: it must be there before.
CONTRAST = "scratchtheme=high-contrast; Path=/; Max-Age=31536000; SameSite=Strict"
ASSET_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml",
         ".json": "application/json", ".wav": "audio/wav", ".mp3": "audio/mpeg",
         ".html": "text/html; charset=utf-8", ".css": "text/css"}  # fmt: skip


@dataclass(frozen=True)
class Places:
    """Where the application's parts lie. `libraries` are folders of assets, ours first."""

    editor: Path
    page: Path
    libraries: tuple[Path, ...]
    indexes: tuple[Path, ...]
    notices: Path


@dataclass
class Application:
    """Everything that a request may need; one for each start."""

    places: Places
    works: Works
    language: str = "zh-cn"
    high_contrast: bool = False
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = PORT

    @property
    def origin(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def address(self, work_id: str = "") -> str:
        """The page for a work, or for a new one. The key travels in the part after “#”."""
        return f"{self.origin}/?work={work_id}#{self.key}"

    def shown_library(self) -> library.Index:
        indexes = [library.read_index(path) for path in self.places.indexes if path.exists()]
        shown = library.offered(indexes, library.available(self.places.libraries))
        return library.named(shown, self.language)


class Server(ThreadingHTTPServer):
    """The loopback server of one application."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, application: Application, ports: range | None = None) -> None:
        self.application = application
        for port in ports or range(application.port, application.port + 20):
            try:
                super().__init__((LOOPBACK, port), Handler)
                break
            except OSError:  # somebody else on this PC has it
                continue
        else:
            raise CommandError("No port is free for the editor.", "Restart the computer.")
        application.port = self.server_address[1]


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    @property
    def app(self) -> Application:
        return self.server.application

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_HEAD(self) -> None:
        self._guarded(self._get)

    def do_PUT(self) -> None:
        self._guarded(self._put)

    def do_POST(self) -> None:
        self._guarded(self._post)

    def _guarded(self, answer: Callable[[str, dict[str, list[str]]], None]) -> None:
        if self.headers.get("Host") != f"{LOOPBACK}:{self.app.port}":
            self._error(HTTPStatus.FORBIDDEN, "host", "This server answers its own page only.")
            return
        url = urlsplit(self.path)
        try:
            answer(unquote(url.path), parse_qs(url.query))
        except NotFoundError as error:
            self._error(HTTPStatus.NOT_FOUND, "missing", error.message)
        except sb3.NotAProjectError as error:
            self._error(HTTPStatus.UNPROCESSABLE_ENTITY, "damaged", error.message)
        except SaveError as error:
            self._error(HTTPStatus.INSUFFICIENT_STORAGE, error.kind, error.message)
        except ProvisionerError as error:
            self._error(HTTPStatus.BAD_REQUEST, "wrong", str(error))
        except (BrokenPipeError, ConnectionResetError):  # the window was closed meanwhile
            self.close_connection = True

    def _get(self, path: str, query: dict[str, list[str]]) -> None:
        if path == "/":
            self._file(self.app.places.page, "index.html", PAGE_POLICY)
        elif path == "/session.json":
            self._session(query)
        elif path == "/library.js":
            text = json.dumps(self.app.shown_library(), ensure_ascii=True)
            self._send(f"window.offeredLibrary={text};".encode(), TYPES[".js"])
        elif path == "/synth":
            text, locale, gender = (query.get(name, [""])[0] for name in
                                    ("text", "locale", "gender"))  # fmt: skip
            self._send(speech.speak(text, locale, gender), TYPES[".wav"])
        elif found := _ASSET.match(path):
            self._asset(found[1])
        elif found := _PROJECT.match(path):
            work = self.app.works.get(found[1])
            self._send(self.app.works.content(work), "application/x.scratch.sb3")
        elif path.startswith("/page/"):
            self._file(self.app.places.page, path.removeprefix("/page/"))
        elif path.startswith("/notices/"):
            self._file(self.app.places.notices, path.removeprefix("/notices/"))
        else:
            self._file(self.app.places.editor, path.lstrip("/"), kept=True)

    def _put(self, path: str, query: dict[str, list[str]]) -> None:
        found = _WORK.match(path)
        if found is None:
            raise NotFoundError("There is nothing to write here.")
        self._check_key()
        work = self.app.works.get(found[1])
        saved = self.app.works.save(work, self._body(sb3.MAX_BYTES))
        self._json({"id": work.id, "title": saved.stem, "file": str(saved)})

    def _post(self, path: str, query: dict[str, list[str]]) -> None:
        self._check_key()
        said = json.loads(self._body(MAX_SMALL) or b"{}")
        if path == "/works":
            work = self.app.works.new(str(said.get("title", "")), str(said.get("sha256", "")))
        elif path == "/rename":
            work = self.app.works.get(str(said.get("id", "")))
            self.app.works.rename(work, str(said.get("title", "")))
        elif path == "/open":
            work = self.app.works.open_file(Path(str(said.get("path", ""))))
        elif path == "/closed":
            self.app.works.closed_cleanly()
            self._json({})
            return
        else:
            raise NotFoundError("There is nothing to ask here.")
        self._json({"id": work.id, "title": work.title, "address": self.app.address(work.id)})

    def _session(self, query: dict[str, list[str]]) -> None:
        self._check_key()
        said: dict[str, Any] = {
            "language": self.app.language, "work": None,
            "folder": str(self.app.works.folder), "contest": contest_now(),
        }  # fmt: skip
        if work_id := query.get("work", [""])[0]:
            work = self.app.works.get(work_id)
            onto_disk = work.path is not None or work.source is not None
            said["work"] = {"id": work.id, "title": work.title, "saved": onto_disk,
                            "ours": work.path is not None}  # fmt: skip
        self._json(said)

    def _asset(self, name: str) -> None:
        for folder in self.app.places.libraries:
            if (folder / name).is_file():
                self._file(folder, name, ASSET_POLICY, kept=True)
                return
        raise NotFoundError(f"There is no picture or sound {name} here.")

    def _file(self, root: Path, name: str, policy: str = "", *, kept: bool = False) -> None:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()) or not path.is_file():
            raise NotFoundError("There is no such file.")
        kind = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        self._send(path.read_bytes(), kind or "application/octet-stream", policy, kept=kept)

    def _body(self, limit: int) -> bytes:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= limit:
            self.close_connection = True
            raise ProvisionerError("The message is too long, or does not say how long it is.")
        data = self.rfile.read(length)
        if len(data) != length:  # the browser died while it was sending
            self.close_connection = True
            raise ProvisionerError("The message broke off.")
        return data

    def _check_key(self) -> None:
        said = self.headers.get(KEY_HEADER, "")
        if not hmac.compare_digest(said.encode(), self.app.key.encode()):
            raise ProvisionerError("This page does not know the key of this start.",
                                   "Close the window and open the work again.")  # fmt: skip

    def _json(self, value: object) -> None:
        self._send(json.dumps(value, ensure_ascii=False).encode(), TYPES[".json"])

    def _error(self, status: HTTPStatus, kind: str, message: str) -> None:
        text = json.dumps({"kind": kind, "message": message}, ensure_ascii=False)
        self._send(text.encode(), TYPES[".json"], status=status)

    def _send(
        self, data: bytes, kind: str, policy: str = "", *, kept: bool = False,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> None:  # fmt: skip
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "max-age=86400" if kept else "no-store")
        if policy:
            self.send_header("Content-Security-Policy", policy)
        if policy == PAGE_POLICY and self._wants_contrast():
            self.send_header("Set-Cookie", CONTRAST)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _wants_contrast(self) -> bool:
        """Whether the session asks for it and the pupil has not chosen otherwise."""
        return self.app.high_contrast and "scratchtheme=" not in self.headers.get("Cookie", "")

    def log_message(self, format: str, *args: object) -> None:
        """Silent: a log of every picture would only wear the disk."""
