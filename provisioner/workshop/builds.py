"""Building a release from the screen: one at a time, in a process of its own, with its log."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import NotFoundError, ProvisionerError, WrongStateError, nearest
from provisioner.release.recipe import recipe_names
from provisioner.run import start
from provisioner.store.events import note
from provisioner.workshop.station import Station

TAIL_BYTES = 64 * 1024
# Settings that a build reads; those of this station, wherever they came from.
FOR_BUILDING = ("images_dir", "cache_dir", "parts_dir", "mirror")


@dataclass(frozen=True)
class Build:
    """A build that was ordered here; `code` is None while it runs."""

    recipe: str
    actor: str
    log: Path
    code: int | None = None


class Builds:
    """Knows the build that runs, or the last one."""

    def __init__(self, station: Station) -> None:
        self._station, self._lock = station, threading.Lock()
        self._last: Build | None = None

    @property
    def last(self) -> Build | None:
        return self._last

    def recipes(self) -> list[str]:
        return recipe_names(self._station.settings.images_dir)

    def start(self, recipe: str, actor: str) -> Build:
        """Start building. Raises NotFoundError for a recipe that is none, WrongStateError."""
        if recipe not in self.recipes():
            raise NotFoundError(f"There is no recipe “{recipe}”.", nearest(recipe, self.recipes()))
        with self._lock:
            if self._last is not None and self._last.code is None:
                raise WrongStateError(
                    f"{self._last.recipe} is being built.", "One build at a time: wait for it."
                )
            log = self._station.settings.logs_dir / f"build-{recipe}.log"
            log.write_text("")
            build = self._last = Build(recipe, actor, log)
        # The child dies with the thread that started it, so that thread stays until it has ended.
        threading.Thread(target=self._work, args=(build,), name="build", daemon=True).start()
        return build

    def made(self) -> str:
        """The release that the last build has left; empty while it runs and after a failure."""
        if self._last is None or self._last.code != 0:
            return ""
        found = (one.id for one in self._station.catalog.list()[::-1])
        return next((one for one in found if one.partition("@")[0] == self._last.recipe), "")

    def tail(self) -> str:
        """The end of the log, as text that can be shown."""
        if self._last is None or not self._last.log.exists():
            return ""
        text = self._last.log.read_bytes()[-TAIL_BYTES:].decode("utf-8", "replace")
        return "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in text)

    def _work(self, build: Build) -> None:
        self._note(build, "build-started", None)
        code = 1
        try:
            child = start(self._words(build.recipe), log=build.log, env=self._environment())
            code = child.wait()
        except ProvisionerError as error:
            with build.log.open("a", encoding="utf-8") as log:
                log.write(f"{error}\n")
        finally:
            self._last = Build(build.recipe, build.actor, build.log, code)
            self._note(build, "build-ended", code)

    def _note(self, build: Build, kind: str, code: int | None) -> None:
        with self._station.database.transaction() as session:
            if kind == "build-started":
                note(session, "build-started", actor=build.actor, recipe=build.recipe)
            else:
                note(session, "build-ended", recipe=build.recipe, code=code)
        self._station.board.touch()

    def _words(self, recipe: str) -> list[str]:
        settings = self._station.settings
        return [sys.executable, "-m", "provisioner", "--state-dir", str(settings.state_dir),
                "image", "build", recipe]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        """What the station itself runs with: its settings, and where the package lies."""
        kept = {name: text for name, text in os.environ.items() if name.startswith("PROVISIONER_")}
        said = {name: getattr(self._station.settings, name) for name in FOR_BUILDING}
        own = {f"PROVISIONER_{name.upper()}": str(text) for name, text in said.items() if text}
        places = os.pathsep.join(filter(None, sys.path))
        return {**kept, **own, "PYTHONPATH": places, "PYTHONUNBUFFERED": "1"}
