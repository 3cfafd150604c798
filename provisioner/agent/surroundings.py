"""Which system the agent runs in, whom it belongs to, and with which key it signs.

Live: the boot loader put `boot=live station=http://…` on the kernel's command line, the
station's public key came inside the initramfs, and the machine makes its own key in memory.
Installed: /etc/classroom/agent.json, written while the machine was imaged, tells all of it.
"""

from __future__ import annotations

import re
import shlex
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import StringConstraints, ValidationError

from provisioner.agent.lsblk import read_disks
from provisioner.agent.nic import parse_bootif
from provisioner.agent.text import clean, read_line
from provisioner.errors import StationError
from provisioner.model.base import Model, ShortText
from provisioner.model.order import KeyHex
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import BootFacts, Surroundings

STATION_KEY = "run/live/station.pub"
AGENT_FILE = "etc/classroom/agent.json"
# The installed agent's counter and used orders: outside of all releases, because each of them
# works with the same key; machines imaged long ago kept them in the release's own overlay.
MEMORY, OLD_MEMORY = "run/classroom/state/agent", "var/lib/classroom"
_URL = re.compile(r"^https?://[A-Za-z0-9.:\[\]-]{1,200}/?$")
_KEY = re.compile(r"^[0-9a-f]{64}$")


class AgentFile(Model):
    """/etc/classroom/agent.json on the installed system; readable by root only."""

    station_url: ShortText
    station_key: KeyHex
    machine_key: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    asset_tag: ShortText
    release: ShortText
    field_url: ShortText = ""


class Line:
    """Where the station is spoken to now: in the workshop, or from a school by another way."""

    def __init__(self, *urls: str) -> None:
        self.urls = [url.rstrip("/") for url in urls if url] or [""]

    @property
    def url(self) -> str:
        return self.urls[0]

    def turn(self) -> None:
        """Nobody answered here: the next word goes the other way."""
        self.urls = [*self.urls[1:], self.urls[0]]


@dataclass(frozen=True)
class Home:
    """Where the agent finds itself. `memory` is None where nothing outlives a restart.

    `station_url` is where it was imaged, on whose wire neighbours are; `line` is where it speaks.
    """

    kind: Surroundings
    station_url: str
    station_key: str
    key: PrivateKey = field(repr=False)
    boot_mac: str = ""
    asset_tag: str = ""
    release: str = ""
    memory: Path | None = None
    line: Line = field(default_factory=Line, compare=False)

    def __post_init__(self) -> None:
        if self.station_url.rstrip("/") not in self.line.urls:
            object.__setattr__(self, "line", Line(self.station_url))


def find_home(root: Path = Path("/")) -> Home:
    """Read the surroundings. Raises StationError when they are incomplete."""
    arguments = parse_command_line(_read(root / "proc/cmdline"))
    if arguments.get("boot") == "live":
        return _live(root, arguments)
    return _installed(root, arguments)


def parse_command_line(text: str) -> dict[str, str]:
    """The kernel's arguments; the last of a name counts, a bare word has the value ''."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs}


def read_boot(home: Home, root: Path = Path("/")) -> BootFacts:
    """How this system was started, in the words of the protocol."""
    return BootFacts(
        surroundings=home.kind,
        release=clean(home.release),
        boot_id=read_line(root / "proc/sys/kernel/random/boot_id"),
        kernel=read_line(root / "proc/sys/kernel/osrelease"),
        boot_mac=home.boot_mac,
        root_disk_serial=_root_disk_serial() if home.kind is Surroundings.INSTALLED else "",
        clock=time.time(),
    )


def _live(root: Path, arguments: dict[str, str]) -> Home:
    key = read_line(root / STATION_KEY).lower()
    url = arguments.get("station", "")
    if not _URL.match(url):
        raise StationError(
            f"The boot menu named no station (station={clean(url)!r}).",
            "Start this machine again from the workshop's network.",
        )
    if not _KEY.match(key):
        raise StationError(
            "The live environment carries no key of its station.",
            "Publish it again: restart “provisioner serve”.",
        )
    return Home(
        kind=Surroundings.LIVE,
        station_url=url.rstrip("/"),
        station_key=key,
        key=PrivateKey.generate(),
        boot_mac=parse_bootif(arguments.get("BOOTIF", "")),
        release=clean(arguments.get("release", "")),
    )


def _installed(root: Path, arguments: dict[str, str]) -> Home:
    path = root / AGENT_FILE
    try:
        known = AgentFile.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise StationError(
            f"{path} is missing or damaged: {error}", "Image this machine again."
        ) from error
    return Home(
        kind=Surroundings.INSTALLED,
        station_url=known.station_url.rstrip("/"),
        station_key=known.station_key,
        key=PrivateKey.from_hex(known.machine_key),
        boot_mac=parse_bootif(arguments.get("BOOTIF", "")),
        asset_tag=known.asset_tag,
        # what runs, not what was once installed
        release=clean(arguments.get("release", "")),
        memory=_memory(root),
        line=Line(known.station_url, known.field_url),
    )


def _memory(root: Path) -> Path:
    """Where the agent remembers; what an older agent kept elsewhere goes there first."""
    new, old = root / MEMORY, root / OLD_MEMORY
    if not new.is_dir():
        return old
    for name in ("counter", "orders"):
        if (old / name).is_file() and not (new / name).exists():
            shutil.copyfile(old / name, new / name)
    return new


def _root_disk_serial() -> str:
    used = [disk.serial for disk in read_disks() if disk.in_use]
    return used[0] if len(used) == 1 else ""


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
