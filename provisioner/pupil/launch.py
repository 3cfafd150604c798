"""One double click: finds or starts the server, and opens Chromium in a window of its own.

The first start serves until the last window is closed. A second start (another file is
double-clicked) asks the first for the work's address and hands it to the running Chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import ProvisionerError
from provisioner.pupil import browser
from provisioner.pupil.assets import import_assets
from provisioner.pupil.server import KEY_HEADER, LOOPBACK, Application, Places, Server
from provisioner.pupil.works import Works
from provisioner.run import start

NAME = "classroom-blocks"
WORKS = "作品"
SHARED_ASSETS = Path("/var/lib/classroom-blocks/assets")
PATIENCE_S = 20


@dataclass(frozen=True)
class Home:
    """The pupil's own places, from the session's environment."""

    home: Path
    works: Path
    state: Path
    profile: Path
    runtime: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Home:
        home = Path(environment.get("HOME", "/"))
        state = Path(environment.get("XDG_STATE_HOME") or home / ".local/state") / NAME
        runtime = Path(environment.get("XDG_RUNTIME_DIR") or state)
        works = Path(environment.get("CLASSROOM_WORKS") or home / WORKS)
        return cls(home, works, state, state / "chromium", runtime / NAME)


def places(root: Path) -> Places:
    """The application's parts below its folder, and what was brought in later."""
    return Places(
        editor=root / "editor",
        page=Path(__file__).parent / "page",
        libraries=(root / "ours", root / "library", SHARED_ASSETS),
        indexes=(root / "library.json", root / "official.json"),
        notices=root / "notices",
    )


def main(arguments: Sequence[str], root: Path) -> int:
    """The application's command. Returns its exit code."""
    parser = argparse.ArgumentParser(prog=NAME, description="Block programming, offline.")
    parser.add_argument("file", nargs="?", type=Path, help="a .sb3, .sb2 or .sb file")
    parser.add_argument("--import-assets", type=Path, metavar="FOLDER",
                        help="bring a pack of pictures and sounds in (as root)")  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        if given.import_assets is not None:
            brought = import_assets(given.import_assets, SHARED_ASSETS)
            print(f"{brought.new} new, {brought.known} known, {brought.bytes} bytes")
            return 0
        return open_window(given.file, root, os.environ)
    except ProvisionerError as error:
        print(error, file=sys.stderr)
        return 1
    except PermissionError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1


def open_window(file: Path | None, root: Path, environment: Mapping[str, str]) -> int:
    """Show a window for `file`, or for a new work. Returns when it may."""
    home = Home.of(environment)
    for folder in (home.state, home.profile, home.runtime):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(home.runtime) as alone:
        if alone:
            return _first(file, root, home, environment)
    address = _ask_first(home, file)
    child = start(browser.command(address, home.profile, environment),
                  log=home.state / "chromium.log", env=_language(environment))  # fmt: skip
    return child.wait()


def _first(
    file: Path | None, root: Path, home: Home, environment: Mapping[str, str]
) -> int:  # fmt: skip
    application = Application(
        places(root), Works(home.works, home.state, home.home),
        language=browser.editor_language(environment),
        high_contrast=environment.get("CLASSROOM_CONTRAST") == "high",
    )  # fmt: skip
    with Server(application) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = _address(application, file)
        note = home.runtime / "instance.json"
        note.touch(mode=0o600)
        note.write_text(json.dumps({"port": application.port, "key": application.key}))
        browser.forget_other_names(home.profile)
        log = home.state / "chromium.log"
        log.unlink(missing_ok=True)
        child = start(browser.command(address, home.profile, environment), log=log,
                      env=_language(environment))  # fmt: skip
        signal.signal(signal.SIGTERM, lambda _number, _frame: child.terminate())
        try:
            return child.wait()
        finally:
            note.unlink(missing_ok=True)


def _address(application: Application, file: Path | None) -> str:
    """The page for a file, for the work that a power cut interrupted, or for a new one."""
    wanted = file or application.works.interrupted()
    if wanted is None:
        return application.address()
    try:
        return application.address(application.works.open_file(wanted).id)
    except ProvisionerError as error:
        kind = "damaged" if file else ""
        print(error, file=sys.stderr)
        return f"{application.origin}/?problem={kind}#{application.key}"


def _ask_first(home: Home, file: Path | None) -> str:
    """The address of a work from the start that serves already."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            said = json.loads((home.runtime / "instance.json").read_text())
            origin = f"http://{LOOPBACK}:{said['port']}"
            if file is None:
                return f"{origin}/?work=#{said['key']}"
            body = json.dumps({"path": str(file.absolute())}).encode()
            request = urllib.request.Request(  # noqa: S310 - our own loopback address
                f"{origin}/open", data=body, headers={KEY_HEADER: said["key"]}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return str(json.loads(answer.read())["address"])
        except urllib.error.HTTPError:
            return f"{origin}/?problem=damaged#{said['key']}"
        except (OSError, ValueError, KeyError) as error:
            if time.monotonic() > until:
                raise ProvisionerError("The editor does not answer.",
                                       "Close its windows and try again.") from error  # fmt: skip
            time.sleep(0.2)


@contextlib.contextmanager
def _lock(runtime: Path) -> Iterator[bool]:
    """Whether we are the first start; held until it ends, also when it is killed."""
    with (runtime / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _language(environment: Mapping[str, str]) -> dict[str, str]:
    """`start` sets a language for programs whose output we read; Chromium gets the session's."""
    return {"LC_ALL": environment.get("LC_ALL") or environment.get("LANG") or "C.UTF-8"}
