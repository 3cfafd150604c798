"""The classroom's wire: a network namespace with a bridge, and one tap for each machine.

The station, dnsmasq and QEMU run inside the namespace, so nothing of it can be heard on the
host's real network, nor the other way round. Everything a run makes is noted in a folder under
/run together with the process that owns it; the next run removes what a dead owner left behind
and touches nothing else.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Interface
from pathlib import Path

from provisioner.errors import ProofMissingError, StationError
from provisioner.run import run

RUN_ROOT = Path("/run/classroom-lab")
BRIDGE = "br0"
# A fixed address: by itself a bridge takes the lowest one of its ports, which changes with each
# tap and leaves the machines with stale neighbour tables.
BRIDGE_MAC = "02:00:0a:4d:00:01"
STATION = IPv4Interface("10.77.0.1/24")
OWNER_FILE = "owner.json"
IP_TIMEOUT_S = 20.0
END_TIMEOUT_S = 10.0

_counter = itertools.count()


class LabNetwork:
    """A namespace with a bridge that holds the station's address; use as a context manager."""

    def __init__(self, station: IPv4Interface = STATION, run_root: Path = RUN_ROOT) -> None:
        self.name = f"classroom-{os.getpid()}-{next(_counter)}"
        self.station = station
        self.run_root = run_root
        self.run_dir = run_root / self.name

    @property
    def exec_prefix(self) -> tuple[str, ...]:
        """The words that make a command run inside the namespace (as the same process)."""
        return _inside(self.name)

    def __enter__(self) -> LabNetwork:
        remove_leftovers(self.run_root)
        self.create()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def create(self) -> None:
        """Make the namespace and its bridge. Raises StationError without root's rights."""
        if os.geteuid() != 0:
            raise StationError(
                "The virtual classroom needs its own network.", "Run “make lab” as root."
            )
        _note_owner(self.run_root, self.name)
        run(["ip", "netns", "add", self.name], timeout_s=IP_TIMEOUT_S)
        self._ip("link", "set", "lo", "up")
        self._ip("link", "add", BRIDGE, "address", BRIDGE_MAC, "type", "bridge")
        # “brd +” sets the broadcast address; without it multicast senders wait for ever.
        self._ip("addr", "add", str(self.station), "brd", "+", "dev", BRIDGE)
        self._ip("link", "set", BRIDGE, "up")

    def close(self) -> None:
        """End every process inside, then the namespace. Raises ProofMissingError if it stays."""
        dismantle(self.name, self.run_root)

    def add_tap(self, number: int) -> str:
        """A network card's socket on the bridge; its interface name."""
        tap = f"tap{number}"
        self._ip("tuntap", "add", tap, "mode", "tap")
        self._ip("link", "set", tap, "master", BRIDGE, "up")
        return tap

    @contextmanager
    def neighbour(self, name: str, address: IPv4Interface) -> Iterator[tuple[str, ...]]:
        """Another computer on the wire, in a namespace of its own, with the interface `eth0`.

        Yields the words that run a command there. Used for a second DHCP server.
        """
        other, port = f"{self.name}-{name}", f"to-{name}"
        run(["ip", "netns", "add", other], timeout_s=IP_TIMEOUT_S)
        try:
            self._ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", other)
            self._ip("link", "set", port, "master", BRIDGE, "up")
            for words in (
                ("link", "set", "lo", "up"),
                ("addr", "add", str(address), "brd", "+", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
            ):
                run([*_inside(other), "ip", *words], timeout_s=IP_TIMEOUT_S)
            yield _inside(other)
        finally:
            _remove_namespace(other)

    def _ip(self, *words: str) -> None:
        run(["ip", "-n", self.name, *words], timeout_s=IP_TIMEOUT_S)


def remove_leftovers(run_root: Path = RUN_ROOT) -> list[str]:
    """Dismantle the runs whose owner is dead; their names. A living run is left alone."""
    if not run_root.is_dir():
        return []
    dead = [
        folder.name
        for folder in sorted(run_root.iterdir())
        if (folder / OWNER_FILE).is_file() and not _owner_lives(folder / OWNER_FILE)
    ]
    for name in dead:
        dismantle(name, run_root)
    return dead


def dismantle(name: str, run_root: Path = RUN_ROOT) -> None:
    """End the processes of a run, remove its namespaces and its folder."""
    for namespace in namespaces():
        if namespace == name or namespace.startswith(f"{name}-"):
            _remove_namespace(namespace)
    shutil.rmtree(run_root / name, ignore_errors=True)


def namespaces() -> list[str]:
    """Names of all network namespaces of this computer."""
    listing = run(["ip", "netns", "list"], timeout_s=IP_TIMEOUT_S).stdout
    return [line.split()[0] for line in listing.splitlines() if line.strip()]


def processes_in(namespace: str) -> list[int]:
    """Process ids inside a namespace; empty when there is no such namespace."""
    found = run(["ip", "netns", "pids", namespace], timeout_s=IP_TIMEOUT_S, check=False)
    return [int(word) for word in found.stdout.split()]


def start_ticks(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None when there is no such process.

    Process ids are used again, a pair of id and start is not (proc(5), field 22 of stat).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The command name, in parentheses, may itself hold blanks and parentheses.
    return int(stat.rpartition(")")[2].split()[19])


def _inside(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace)


def _note_owner(run_root: Path, name: str) -> None:
    """Make the run's folder; it appears together with its owner's note or not at all."""
    run_root.mkdir(parents=True, exist_ok=True)
    fresh = run_root / f".{name}"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    owner = {"pid": os.getpid(), "start_ticks": start_ticks(os.getpid())}
    (fresh / OWNER_FILE).write_text(json.dumps(owner))
    fresh.rename(run_root / name)


def _owner_lives(note: Path) -> bool:
    try:
        owner = json.loads(note.read_text())
        return start_ticks(int(owner["pid"])) == int(owner["start_ticks"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remove_namespace(namespace: str) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while pids := processes_in(namespace):
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            raise ProofMissingError(f"Processes {pids} inside {namespace} do not end.")
        time.sleep(0.05)
    run(["ip", "netns", "del", namespace], timeout_s=IP_TIMEOUT_S, check=False)
    if namespace in namespaces():
        raise ProofMissingError(f"The network namespace {namespace} is still there.")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
