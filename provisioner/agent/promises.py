"""What a new system must show before it may stay: what the old one had, and room to work in.

These are what a machine can see by itself in any school, with a line or without; the checks of a
school's own promises come with its configuration.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

from provisioner.agent.installed import Installed
from provisioner.agent.surroundings import Home
from provisioner.agent.text import clean, read_line
from provisioner.errors import CommandError
from provisioner.model.renewal import Check
from provisioner.run import run

LEAST_FREE = 64 * 1024 * 1024
NETWORK_S = 180.0  # an old switch port takes most of a minute
LOOK_EVERY_S = 3.0


def look(home: Home, machine: Installed, revision: str) -> tuple[Check, ...]:
    """Everything, in the new system; a check that does not pass is said with what was found."""
    return (
        Check(id="release", passed=home.release == machine.running, value=home.release),
        check_network(),
        check_room(machine.state),
        check_homes(machine.state),
        check_units(),
        Check(id="configuration", passed=True, value=revision[:12] or "none was left here"),
    )


def check_network(
    sys_net: Path = Path("/sys/class/net"),
    routes: Callable[[], str] = lambda: Path("/proc/net/fib_trie").read_text(),
    patience_s: float = NETWORK_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Check:
    """A wired card whose cable is in has an address; without any cable nothing can be said."""
    left = patience_s
    while True:
        linked = [path.name for path in sorted(sys_net.iterdir()) if _linked(path)]
        if has_address(routes()):
            return Check(id="network", passed=True, value=", ".join(linked))
        if left <= 0:
            break
        sleep(LOOK_EVERY_S)
        left -= LOOK_EVERY_S
    wired = [path.name for path in sorted(sys_net.iterdir()) if (path / "device").exists()]
    if not wired:
        return Check(id="network", passed=False, value="no network card is seen")
    if not linked:
        return Check(id="network", passed=True, value="no cable is in")
    return Check(id="network", passed=False, value=f"{', '.join(linked)} got no address")


def has_address(fib: str) -> bool:
    """Whether the kernel has an IPv4 address of its own besides loopback's (fib_trie lists them
    as `/32 host LOCAL`)."""
    lines = [line.strip() for line in fib.splitlines()]
    for before, line in itertools.pairwise(lines):
        if line == "/32 host LOCAL" and not before.removeprefix("|-- ").startswith("127."):
            return True
    return False


def check_room(state: Path) -> Check:
    """Pupils can save something."""
    found = os.statvfs(state)
    free = found.f_bavail * found.f_frsize
    return Check(id="room", passed=free >= LEAST_FREE, value=f"{free >> 20} MiB free")


def check_homes(state: Path, shown: Path = Path("/home")) -> Check:
    """What people see as /home is what they saved."""
    same = shown.exists() and shown.samefile(state / "home")
    return Check(id="homes", passed=same, value="" if same else "/home is another folder")


def check_units() -> Check:
    """The system's own services are up."""
    try:
        done = run(["systemctl", "--failed", "--no-legend", "--plain", "--full"], timeout_s=60)
    except CommandError as error:
        return Check(id="services", passed=False, value=clean(error.message))
    failed = [line.split()[0] for line in done.stdout.splitlines() if line.split()]
    return Check(id="services", passed=not failed, value=clean(", ".join(failed)))


def _linked(path: Path) -> bool:
    return (path / "device").exists() and read_line(path / "carrier") == "1"
