"""A classroom behind a thin line, for real: namespaces, one routed uplink, libtorrent in all.

What crosses the line is counted at the station's cable; the short form of
tests/bench/thin_line.py is the first test.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import thin_line
from tests.bench.fan_out import Process, line, say
from tests.bench.thin_line import School, school, two_releases
from tests.integration.side_world import Sizes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
SIZES = Sizes(texts=150, kernel=200_000, initrd=1_100_000)
LONG_S = 240.0


def evidence(machine: Process) -> dict[str, Any]:
    return dict(json.loads(line(machine)))


def begun(room: School, count: int, enough: int, **environment: str) -> tuple[list[Process], int]:
    """Machines that start together, once so many bytes have crossed the line, and the count
    at which they began."""
    numbers = range(count)
    machines = [room.machine(number, WAIT_FOR_GO="1", **environment) for number in numbers]
    for machine in machines:
        assert line(machine) == "ready"
    before = room.crossed()
    for machine in machines:
        say(machine, "go")
    until = time.monotonic() + LONG_S
    while room.crossed() - before < enough:
        assert time.monotonic() < until
        time.sleep(0.05)
    return machines, before


def arrived(room: School, number: int) -> bool:
    return room.world.arrived(room.world.folder / f"machine{number}")


@pytest.fixture
def room() -> Iterator[School]:
    with two_releases(SIZES) as world, school(world, 5) as made:
        yield made
        for log in sorted(made.world.folder.glob("*.log")):
            print(log.read_text()[-3000:])


@pytest.mark.parametrize("system", ["ours, patch", "ours, pieces"])
def test_a_classroom_takes_one_delta_over_its_line(system: str) -> None:
    """The goal is 1.1; a busy computer that delays who meets whom gets a little more here."""
    words = ["--clients", "4", "--systems", system, "--texts", "150", "--every", "9",
             "--kernel", "200000", "--initrd", "1100000"]  # fmt: skip
    (row,) = thin_line.thin_line(thin_line.parser().parse_args(words))
    assert row["ratio"] <= 1.2, row
    assert row["line_bytes"] < 0.9 * 4 * row["one_delta_bytes"]
    assert row["peer_bytes"] > 2 * row["payload_bytes"]


def test_the_one_that_asked_is_killed_and_another_goes_on(room: School) -> None:
    machines, before = begun(room, 3, 1_000_000, STAY="1")
    machines[0].send_signal(signal.SIGKILL)  # the lowest address: it was its turn
    machines[0].wait()
    for number in (1, 2):
        evidence(machines[number])
        assert arrived(room, number)
    crossed = room.crossed() - before
    again = evidence(room.again(0))
    assert arrived(room, 0)
    assert again["bytes_from_station"] < 0.3 * crossed, again
    assert room.crossed() - before < 1.4 * crossed


def test_a_late_machine_takes_all_from_the_room(room: School) -> None:
    """Also when there is a patch: what the neighbours have costs nothing over the line."""
    early = room.machine(0, STAY="1")
    evidence(early)
    room.world.publish_patch()
    before = room.crossed()
    late = evidence(room.machine(1))
    assert arrived(room, 1)
    assert late["patch_bytes"] == 0
    assert late["bytes_from_station"] < 20_000, late
    assert late["bytes_from_peers"] > 1_000_000
    assert room.crossed() - before < 60_000


def test_a_school_without_a_line_spreads_what_one_machine_has(room: School) -> None:
    """The station is gone; the manifest is in hand, as it would be from a stick."""
    evidence(room.machine(0, STAY="1"))
    manifest = room.world.folder / "manifest"
    manifest.write_bytes(room.world.envelope())
    room.station.kill()
    late = evidence(room.machine(1, MANIFEST=str(manifest)))
    assert arrived(room, 1)
    assert late["bytes_from_station"] == 0


def test_a_neighbour_that_hangs_is_not_waited_for_for_ever(room: School) -> None:
    machines, _ = begun(room, 2, 600_000, PATIENCE="4")
    machines[0].send_signal(signal.SIGSTOP)
    evidence(machines[1])
    assert arrived(room, 1)
    assert Path(f"/proc/{machines[0].pid}/stat").read_text().split()[2] == "T"
