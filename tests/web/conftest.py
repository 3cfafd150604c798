"""A real station's dashboard on a loopback port, and Debian's Chromium to look at it."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
import uvicorn
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from provisioner.web import login_link, make_operator_side
from provisioner.workshop.station import Station
from tests import factories, people

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update",
             "--disable-sync")  # fmt: skip

# What is tested is not speed: CI's computer has other work, too.
PATIENCE_S = 120
expect.set_options(timeout=PATIENCE_S * 1000)
# A stopped station, and an address that there is not: tests ask for both.
EXPECTED = ("net::ERR", "404 (Not Found)")


@dataclass
class Dashboard:
    """The dashboard of a station on a busy day; it can be stopped and started again."""

    station: Station
    port: int = 0
    _server: uvicorn.Server = field(init=False)
    _thread: threading.Thread = field(init=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def login(self) -> str:
        """A new address that logs in once, as `provisioner dashboard` prints it."""
        return f"{self.url}/login#{login_link(self.station, 'test').partition('#')[2]}"

    def start(self) -> None:
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            make_operator_side(self.station), log_level="warning", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        run = {"sockets": [listening]}
        self._thread = threading.Thread(target=self._server.run, kwargs=run, daemon=True)
        self._thread.start()
        until = time.monotonic() + 30
        while not self._server.started and time.monotonic() < until:
            time.sleep(0.02)
        assert self._server.started

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


@contextmanager
def serving(station: Station) -> Iterator[Dashboard]:
    """The dashboard of a station, until the block ends; then the station is closed."""
    made = Dashboard(station)
    made.start()
    try:
        yield made
    finally:
        made.stop()
        station.database.close()


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    with serving(factories.make_busy_station(tmp_path)) as made:
        yield made


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all: a thread can hold no second one."""
    with sync_playwright() as started:
        yield started


def launch(playwright: Playwright) -> Browser:
    """Debian's Chromium."""
    program = shutil.which("chromium")
    assert program, "Debian's chromium is not installed: see tests/packages.txt"
    return playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = launch(playwright)
    yield browser
    browser.close()


OpenPage = Callable[..., Page]


def _is_bad(said: ConsoleMessage) -> bool:
    return said.type == "error" and not any(word in said.text for word in EXPECTED)


@pytest.fixture
def open_page(chromium: Browser, dashboard: Dashboard) -> Iterator[OpenPage]:
    """Opens a page of somebody who has logged in; what the browser complains about fails."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str = "/", *, width: int = 1280, script: bool = True,
                  language: str = "en", role: Role = Role.ADMINISTRATOR,
                  scheme: Literal["light", "dark"] = "light") -> Page:  # fmt: skip
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, java_script_enabled=script,
            color_scheme=scheme, accept_downloads=True,
        )  # fmt: skip
        cookie = people.log_in(dashboard.station, role, {"administrator": "li"}.get(role, role))
        context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, "url": dashboard.url}])
        context.set_default_timeout(PATIENCE_S * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if _is_bad(said) else None)
        mark = "&" if "?" in path else "?"
        page.goto(f"{dashboard.url}{path}{mark}lang={language}", wait_until="commit")
        page.wait_for_selector("main")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
