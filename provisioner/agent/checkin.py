"""How often an installed machine speaks, what it says of itself, and whose clock it believes.

It only ever asks; nobody can reach it. It keeps asking through weeks without a line, ever more
seldom and never all machines at once. What the station's clock says in its signed answer counts
more than a machine's own, whose battery may be dead.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.agent import bootstate, renew, site_keep
from provisioner.agent.installed import CLASSROOM, ESP, STATE, SYSTEM
from provisioner.agent.lsblk import read_disks
from provisioner.agent.smart import read_reading
from provisioner.agent.text import read_int, read_line
from provisioner.errors import CommandError, ProvisionerError
from provisioner.model.health import Health
from provisioner.model.record import SmartReading
from provisioner.run import run

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 5.0, 3600.0  # from one try to the next while the station is silent
SPREAD = 0.25  # so much earlier or later, by chance
CLOCK_OFF_S = 120.0  # less than that is left to the time service
COMPARED = CLASSROOM / "clock-compared"
DISK_EVERY_S = 6 * 3600.0  # asking a sleeping disk wakes it
HEALTH_EVERY_S = 240.0  # each report is a write on the station


@dataclass
class Rhythm:
    """When to speak next. `chance` gives numbers from 0 to 1."""

    chance: Callable[[], float] = random.random
    _silent: int = 0

    def after_answer(self, wanted_s: float) -> float:
        """Seconds until the next word, around what the station wants."""
        self._silent = 0
        return wanted_s * self._spread()

    def after_silence(self) -> float:
        """Twice as long each time, up to an hour; never gives up."""
        pause = min(FIRST_S * 2.0 ** min(self._silent, 12), LONGEST_S)
        self._silent += 1
        return pause * self._spread()

    def _spread(self) -> float:
        return 1.0 + SPREAD * (2.0 * self.chance() - 1.0)


def mend_clock(station_time: float, *, now: Callable[[], float] = time.time,
               put: Callable[[float], None] | None = None) -> float | None:  # fmt: skip
    """Set a clock that is plainly wrong by a signed answer; returns by how much it was, or None.

    The answer is fresh: it names the counter of the question.
    """
    off = now() - station_time
    if abs(off) >= CLOCK_OFF_S:
        log.warning("The clock was %.0f s off; it goes by the station's now", off)
        (put or _set_clock)(station_time)
    if put is None:
        with contextlib.suppress(OSError):  # what `provisioner.clock` goes by
            COMPARED.touch()
    return off if abs(off) >= CLOCK_OFF_S else None


def _set_clock(seconds: float) -> None:
    with contextlib.suppress(OSError):
        time.clock_settime(time.CLOCK_REALTIME, seconds)
        with contextlib.suppress(CommandError):  # so that it holds until the next start
            run(["hwclock", "--systohc", "--utc"], timeout_s=30, check=False)


@dataclass
class Doctor:
    """Reads what a machine can tell about itself; whatever cannot be read is left out."""

    release: str
    root: Path = Path("/")
    state: Path = STATE
    system: Path = SYSTEM
    esp: Path = ESP
    clock: Callable[[], float] = time.monotonic
    clock_off_s: float | None = None
    _disk: SmartReading = field(default_factory=SmartReading)
    _asked: float = float("-inf")
    _told: float = float("-inf")

    def report(self) -> Health | None:
        """What is to be said now; nothing while the last report is fresh."""
        if self.clock() - self._told < HEALTH_EVERY_S:
            return None
        self._told = self.clock()
        return self.health()

    def health(self, renewing: str = "") -> Health:
        boot = self._boot()
        uptime = read_line(self.root / "proc/uptime").split()
        return Health(
            release=self.release,
            good=boot.good,
            trial=boot.trial if boot.left else "",
            configuration=site_keep.revision_here(self.state),
            state_free=_free(self.state),
            system_free=_free(self.system),
            temperature_c=hottest(self.root / "sys/class/hwmon"),
            disk=self._smart(),
            uptime_s=float(uptime[0]) if uptime else None,
            clock_off_s=self.clock_off_s,
            renewing=renewing or self._renewing(),
        )

    def _boot(self) -> bootstate.BootState:
        try:
            return bootstate.read_state(self.esp)
        except ProvisionerError:
            return bootstate.BootState("")

    def _renewing(self) -> str:
        journal = renew.read_journal(self.state)
        return f"{journal.new}: {journal.phase}" if journal else ""

    def _smart(self) -> SmartReading:
        if self.clock() - self._asked < DISK_EVERY_S:
            return self._disk
        self._asked = self.clock()
        with contextlib.suppress(ProvisionerError, OSError):
            used = [disk for disk in read_disks() if disk.in_use]
            if len(used) == 1:
                self._disk = read_reading(Path("/dev") / used[0].name)
        return self._disk


def hottest(folder: Path) -> float | None:
    """Degrees Celsius of the hottest sensor; None where there is none."""
    found = (read_int(path) for path in folder.glob("hwmon*/temp*_input"))
    sensible = [value / 1000 for value in found if value is not None and 0 < value < 150_000]
    return max(sensible, default=None)


def _free(point: Path) -> int | None:
    try:
        found = os.statvfs(point)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize
