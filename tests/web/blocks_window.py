"""The block-programming application as a pupil starts it: its own command, a real window.

Chromium runs with a window on a virtual screen and not headless: headless draws the stage even
where a pupil would read that the browser does not support WebGL.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from playwright.sync_api import Browser, Error, Page, Playwright

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
LOAD_MS = 180_000
_URL = re.compile(r'"url":"([a-z]+):/*([^/"]*)')
_LOOPBACK = re.compile(r"^(127\.0\.0\.1(:\d+)?)?$")


@contextmanager
def virtual_screen(log: Path) -> Iterator[str]:
    """An X server of one's own without a GPU; its display's name."""
    read, write = os.pipe()
    with log.open("wb") as out:
        server = subprocess.Popen(
            ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x800x24",
             "-nolisten", "tcp"],
            pass_fds=[write], stdout=out, stderr=out,
        )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait(20)


@dataclass
class Window:
    """One pupil's session: a home of their own, the application, what left the computer."""

    playwright: Playwright
    display: str
    application: Path
    home: Path
    language: str = "zh_CN.UTF-8"
    switches: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    double_click: bool = False  # through the desktop's own way from a file to its program
    process: subprocess.Popen[bytes] | None = None
    browser: Browser | None = None
    complaints: list[str] = field(default_factory=list)

    @property
    def works(self) -> Path:
        return self.home / "作品"

    @property
    def net_log(self) -> Path:
        return self.home / "net.json"

    @property
    def profile(self) -> Path:
        return self.home / ".local/state/classroom-blocks/chromium"

    def open(self, file: Path | None = None) -> Page:
        """Start the application and wait until the editor shows a work."""
        self.start(file)
        port = self.wait_for(self.debugging_port)
        self.browser = self.playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
        page = self.wait_for(self.page)
        self.watch(page)
        page.wait_for_selector("body[data-ready]", timeout=LOAD_MS, state="attached")
        return page

    def start(self, file: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the application's command, as the desktop does for a double click."""
        runtime = self.home / "run"
        runtime.mkdir(parents=True, exist_ok=True)
        (self.profile / "DevToolsActivePort").unlink(missing_ok=True)
        switches = ("--no-sandbox --disable-dev-shm-usage --remote-debugging-port=0 "
                    f"--log-net-log={self.net_log} {self.switches}")  # fmt: skip
        kept = {name: os.environ[name] for name in ("PATH",)}
        root = str(self.application / "usr/lib/classroom-blocks")
        command = [sys.executable, "-m", "provisioner.pupil", root, *([str(file)] if file else [])]
        if self.double_click:
            assert file is not None
            command = ["sh", "-c", 'gio open "$1" && sleep 3600', "sh", str(file)]
        self.process = subprocess.Popen(
            [*self._installed(), *command],
            cwd=ROOT, start_new_session=True,
            env={**kept, "HOME": str(self.home), "XDG_RUNTIME_DIR": str(runtime),
                 "DISPLAY": self.display, "LANG": self.language,
                 "CLASSROOM_BLOCKS_SWITCHES": switches, **self.environment},
        )  # fmt: skip
        return self.process

    def _installed(self) -> list[str]:
        """The application over this system's /usr and /etc, as in an image; for this start alone.

        Chromium then finds its policies and switches, and the desktop its files.
        """
        over = (
            'for part in usr etc; do mount -t overlay overlay -o "lowerdir=$1/$part:/$part" '
            '"/$part" || exit 1; done; shift; exec "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", over, "sh", str(self.application)]

    def watch(self, page: Page) -> None:
        """Note what the page complains about."""
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("response", lambda got: self.complaints.append(f"{got.status} {got.url}")
                if got.status >= 400 else None)  # fmt: skip

    def pull_the_plug(self) -> None:
        """Kill everything at once, as a power cut does."""
        assert self.process is not None
        for pid in self._family():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(20)
        until = time.monotonic() + 20
        while self._family():
            assert time.monotonic() < until, "Chromium outlived the power cut"
            time.sleep(0.1)

    def close(self) -> None:
        """Close the window as a pupil does."""
        if self.double_click and self.process is not None:
            self.pull_the_plug()
        elif self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.pull_the_plug()

    def outside(self) -> list[str]:
        """Hosts other than this computer that Chromium wanted, from its own network log."""
        text = self.net_log.read_text(errors="replace")
        assert "127.0.0.1" in text, "the network log is empty"
        return sorted(
            {f"{scheme}://{host}" for scheme, host in _URL.findall(text)
             if scheme in ("http", "https", "ws", "wss") and not _LOOPBACK.match(host)}
        )  # fmt: skip

    def _family(self) -> list[int]:
        """Every process of this pupil's session."""
        marks = (str(self.profile).encode(), f"HOME={self.home}\0".encode())
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                said = (folder / "cmdline").read_bytes() + b"\0" + (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and any(mark in said + b"\0" for mark in marks):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def debugging_port(self) -> str | None:
        try:
            return (self.profile / "DevToolsActivePort").read_text().splitlines()[0]
        except (OSError, IndexError):
            return None

    def page(self) -> Page | None:
        assert self.browser is not None
        try:
            return next((page for context in self.browser.contexts for page in context.pages
                         if page.url.startswith("http://127.0.0.1")), None)  # fmt: skip
        except Error:
            return None

    def wait_for(self, look: Callable[[], T | None]) -> T:
        until = time.monotonic() + 90
        while (found := look()) is None:
            assert time.monotonic() < until, f"waited in vain: {self._chromium_said()}"
            assert self.process is None or self.process.poll() is None, self._chromium_said()
            time.sleep(0.2)
        return found

    def _chromium_said(self) -> str:
        log = self.profile.parent / "chromium.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "nothing"
