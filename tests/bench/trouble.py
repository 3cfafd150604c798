"""A classroom with bad luck: some machines die, some have a bad cable, some come late.

    python -m tests.bench.trouble [--clients 25] [--megabytes 60] [--rate 20] [--repeat 1]

Of 25 machines, 3 are killed in mid-transfer, 2 have a tenth of the rate, 3 join at half-time.
`seconds_without` is the same classroom without trouble (of `fan_out`, the median, where both are
measured in one run), `loss` what the healthy ones lose to it.
udpcast is measured as it is: its sender begins with the machines that are there, and a machine
that comes later finds nobody to register with. A system that has not finished after
`PATIENCE` times its own undisturbed time is stopped: then `seconds_healthy` is that long, and
`healthy_finished` says how many were.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import select
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.bench import fan_out
from tests.bench.fan_out import FILE, Classroom, Limits, Process, classroom, say, sha256sum
from tests.bench.loops import end_cleanly

PATIENCE = 2.5


@dataclass(frozen=True)
class Parts:
    """Who has what trouble."""

    killed: list[int]
    late: list[int]
    slow: list[int]
    healthy: list[int]


def divide(count: int) -> Parts:
    """Of 25: 3 killed, 3 late, 2 slow; at least one of each, and one that is healthy."""
    few, slow = max(count // 8, 1), max(count // 12, 1)
    killed, late = list(range(few)), list(range(few, 2 * few))
    healthy = list(range(2 * few, count - slow))
    assert healthy, f"{count} machines are too few"
    return Parts(killed, late, list(range(count - slow, count)), healthy)


@dataclass(frozen=True)
class Running:
    """A system under way: `join` lets one machine begin, `finished` says whether it has all."""

    begin: Callable[[list[int]], None]
    join: Callable[[int], None]
    kill: Callable[[int], None]
    finished: Callable[[int], bool]


def ours(room: Classroom, count: int, _late: list[int]) -> Running:
    """Agents that run already; each begins when it is told to."""
    _, wait = fan_out.ours(room, count)
    machines: list[Process] = room.processes  # type: ignore[attr-defined]
    done: set[int] = set()

    def finished(number: int) -> bool:
        if number not in done and _has_said(machines[number]):
            wait(number)
            done.add(number)
        return number in done

    def begin(numbers: list[int]) -> None:
        for number in numbers:
            say(machines[number], "go")

    return Running(begin, lambda n: say(machines[n], "go"),
                   lambda n: machines[n].send_signal(signal.SIGKILL), finished)  # fmt: skip


def _has_said(process: Process) -> bool:
    """Whether a line waits to be read."""
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0)[0])


def udpcast(room: Classroom, count: int, late: list[int]) -> Running:
    """Multicast to those who are there; who comes later waits for another sender."""
    receivers: dict[int, Process] = {}

    def join(number: int) -> None:
        words = ["udp-receiver", "--nokbd", "--interface", "eth0", "--file",
                 room.disk(number) / FILE]  # fmt: skip
        receivers[number] = room.start(room.machines[number], words)

    for number in range(count):
        if number not in late:
            join(number)
    time.sleep(1)

    def begin(numbers: list[int]) -> None:
        rate = room.limits.rate * fan_out.UDPCAST_SHARE // 100
        limit = ["--max-bitrate", f"{rate}m"] if rate else []
        words = ["udp-sender", "--nokbd", "--interface", "eth0", "--file", room.source,
                 "--min-receivers", len(numbers), "--min-wait", 0, *limit]  # fmt: skip
        room.start(room.station, words)

    def finished(number: int) -> bool:
        return receivers[number].poll() == 0

    return Running(begin, join, lambda n: receivers[n].send_signal(signal.SIGKILL), finished)


SYSTEMS: dict[str, Callable[[Classroom, int, list[int]], Running]] = {
    "ours": ours, "udpcast": udpcast,
}  # fmt: skip


def trouble(
    *, clients: int = 25, megabytes: int = 60, rate: int = 20, repeat: int = 1,
    systems: tuple[str, ...] = tuple(SYSTEMS), quiet: Mapping[str, float] = MappingProxyType({}),
) -> list[dict[str, Any]]:  # fmt: skip
    """The section's rows, one for each system; `quiet` has the seconds without trouble that are
    known of the same number of machines, image and rate."""
    limits = Limits(rate, megabytes * 1_000_000)
    rows = []
    for system in systems:
        runs = [_measure(system, limits, clients, quiet.get(system)) for _ in range(repeat)]
        middle = statistics.median_low([run["loss"] for run in runs])
        row = next(run for run in runs if run["loss"] == middle)
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    return rows


def _measure(system: str, limits: Limits, count: int, known: float | None = None) -> dict[str, Any]:
    quiet = fan_out.measure(system, limits, count)["seconds"] if known is None else known
    parts = divide(count)
    with classroom(limits, count, frozenset(parts.slow)) as room:
        running = SYSTEMS[system](room, count, parts.late)
        began = time.monotonic()
        until = began + quiet * PATIENCE
        running.begin([n for n in range(count) if n not in parts.late])
        time.sleep(quiet / 2)
        for number in parts.killed:
            running.kill(number)
        for number in parts.late:
            running.join(number)
        _wait(running, parts.healthy, until)
        seconds = time.monotonic() - began
        _wait(running, parts.late, until)
        ended = {
            name: [n for n in getattr(parts, name) if running.finished(n) and _is_right(room, n)]
            for name in ("healthy", "late", "slow")
        }
    return {
        "system": system, "clients": count, "rate_mbit": limits.rate, "image_bytes": limits.size,
        "healthy": len(parts.healthy), "killed": len(parts.killed), "slow": len(parts.slow),
        "late": len(parts.late), "seconds_without": round(quiet, 2),
        "seconds_healthy": round(seconds, 2), "loss": round(seconds / quiet - 1, 3),
        **{f"{name}_finished": len(numbers) for name, numbers in ended.items()},
    }  # fmt: skip


def _wait(running: Running, numbers: list[int], until: float) -> None:
    while time.monotonic() < until and not all(running.finished(n) for n in numbers):
        time.sleep(0.02)


def _is_right(room: Classroom, number: int) -> bool:
    with contextlib.suppress(OSError):
        return sha256sum(room.disk(number) / FILE) == room.digest
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=25)
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--rate", type=int, default=20, help="Mbit/s of each cable")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    end_cleanly()
    rows = trouble(
        clients=options.clients, megabytes=options.megabytes, rate=options.rate,
        repeat=options.repeat, systems=tuple(options.systems),
    )  # fmt: skip
    if options.results:
        options.results.write_text(json.dumps({"trouble": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
