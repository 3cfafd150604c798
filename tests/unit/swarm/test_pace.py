"""The carousel's rate, on made-up wires: it finds what they carry, and stays there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import pytest

from provisioner.swarm.pace import DEAF_S, FORGET_S, LEAST_RATE, MOST_RATE, Pace
from provisioner.swarm.packet import PAYLOAD

STEP_S = 0.01
REPORT_S = 0.25


class Room:
    """Listeners with cables of so many bytes per second, and a station that sends."""

    def __init__(self, cables: Mapping[str, float]) -> None:
        self.cables = dict(cables)
        self.now = 100.0
        self.pace = Pace(self.now)
        self.sent = 0.0
        self.got = dict.fromkeys(cables, 0.0)
        self.silent: set[str] = set()
        self.fastest_sender = math.inf

    def run(self, seconds: float, watch: Callable[[float], None] = lambda _rate: None) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.now += STEP_S
            rate = min(self.pace.rate, self.fastest_sender)
            self.sent += rate * STEP_S
            for place, (name, cable) in enumerate(self.cables.items()):
                self.got[name] += min(rate, cable) * STEP_S
                due = (self.now + place * 0.013) % REPORT_S < STEP_S
                if due and name not in self.silent:
                    self.report(name)
            self.pace.turn(self.now)
            watch(rate)

    def report(self, name: str) -> None:
        got, sent = int(self.got[name] / PAYLOAD), int(self.sent / PAYLOAD)
        self.pace.hear(name, got, sent if got else 0, self.now - 50, self.now)


@pytest.mark.parametrize("cable", [1e6, 2.5e6, 12e6, 60e6])
@pytest.mark.parametrize("count", [2, 6, 25])
def test_the_wire_is_used_almost_fully_and_hardly_ever_overrun(cable: float, count: int) -> None:
    room = Room({f"m{n}": cable for n in range(count)})
    room.run(8)
    sent, got, began = room.sent, room.got["m0"], room.now
    room.run(60)
    used = (room.got["m0"] - got) / (room.now - began) / cable
    lost = 1 - (room.got["m0"] - got) / (room.sent - sent)
    assert used > 0.95
    assert lost < 0.01


def test_the_first_seconds_are_not_wasted() -> None:
    room = Room({f"m{n}": 12e6 for n in range(25)})
    room.run(10)
    assert room.got["m0"] > 0.75 * 10 * 12e6


def test_a_bad_cable_does_not_slow_down_the_others() -> None:
    room = Room({"bad": 0.25e6, "worse": 0.1e6} | {f"m{n}": 2.5e6 for n in range(10)})
    room.run(20)
    assert room.pace.rate > 0.95 * 2.5e6
    assert not room.pace.hears("bad", room.now)
    assert room.pace.hears("m0", room.now)


def test_not_even_if_a_third_of_the_room_has_such_cables() -> None:
    room = Room({f"bad{n}": 0.2e6 for n in range(4)} | {f"m{n}": 2.5e6 for n in range(8)})
    room.run(20)
    assert room.pace.rate > 0.95 * 2.5e6


def test_machines_that_are_a_little_slower_are_waited_for() -> None:
    """A third of the room has slower disks; that is not worth a second round for each."""
    slow = {f"slow{n}": 1.8e6 for n in range(4)}
    room = Room(slow | {f"m{n}": 2.5e6 for n in range(8)})
    room.run(20)
    assert room.pace.rate < 1.05 * 1.8e6
    assert room.pace.hears("slow0", room.now)


def test_other_traffic_is_given_way_and_its_place_taken_again() -> None:
    room = Room({f"m{n}": 2.5e6 for n in range(6)})
    room.run(10)
    room.cables = dict.fromkeys(room.cables, 1.2e6)
    room.run(10)
    assert room.pace.rate < 1.3 * 1.2e6
    room.cables = dict.fromkeys(room.cables, 2.5e6)
    room.run(60)
    assert room.pace.rate > 0.9 * 2.5e6


def test_one_machine_that_was_busy_for_a_moment_changes_nothing() -> None:
    room = Room({f"m{n}": 2.5e6 for n in range(8)})
    room.run(10)
    room.cables["m3"] = 1.5e6
    room.run(0.5)
    room.cables["m3"] = 2.5e6
    room.run(0.5)
    assert room.pace.rate > 0.95 * 2.5e6


@pytest.mark.parametrize("after_s", [0.0, 12.0])
def test_a_full_cable_for_a_moment_is_not_taken_for_a_thin_one(after_s: float) -> None:
    """25 machines fetch the torrent together: first thing, or when others are long at it."""
    room = Room({f"m{n}": 1.2e6 for n in range(12)})
    room.run(after_s)
    room.cables = dict.fromkeys(room.cables, 0.2e6)
    room.run(0.25)
    room.cables = dict.fromkeys(room.cables, 1.2e6)
    room.run(3)
    assert room.pace.rate > 0.9 * 1.2e6


def test_a_station_that_cannot_send_faster_does_not_believe_that_it_does() -> None:
    room = Room({f"m{n}": 60e6 for n in range(3)})
    room.fastest_sender = 3e6
    room.run(30)
    assert room.pace.rate <= 2.5 * 3e6


def test_the_rate_has_limits() -> None:
    room = Room({"a": 1e12, "b": 1e12})
    room.run(30)
    assert room.pace.rate == MOST_RATE
    room = Room({"a": 20e3, "b": 20e3})
    room.run(30)
    assert room.pace.rate == LEAST_RATE


def test_who_hears_nothing_is_not_sent_to() -> None:
    room = Room({"deaf": 0.0, "m1": 2.5e6, "m2": 2.5e6})
    room.run(DEAF_S - 1)
    assert room.pace.hears("deaf", room.now)  # it may be about to
    room.run(2)
    assert not room.pace.hears("deaf", room.now)


def test_who_is_silent_is_forgotten() -> None:
    room = Room({"gone": 1.0e6, "m1": 2.5e6, "m2": 2.5e6})
    room.run(5)
    room.silent.add("gone")
    room.run(FORGET_S + 0.5)
    assert not room.pace.hears("gone", room.now)
    room.run(20)
    assert room.pace.rate > 0.95 * 2.5e6


def test_who_begins_anew_begins_at_nothing() -> None:
    room = Room({"a": 2.5e6, "b": 2.5e6})
    room.run(5)
    room.got["a"] = 0.0
    room.run(3)
    assert room.pace.rate > 0.9 * 2.5e6
    assert not room.pace.hears("nobody", room.now)
