"""What the carousel sends next, and to whom it listens; the sockets are tests/integration's."""

from __future__ import annotations

import time
from collections import Counter
from ipaddress import IPv4Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.swarm.carousel import (
    AGAIN_S,
    RECENT_S,
    TURNING_S,
    Audience,
    Carousel,
    _Round,
    first_of,
    lacked_by_two,
)
from provisioner.swarm.pace import FORGET_S, Pace
from provisioner.swarm.packet import Report, pack_missing

PIECES = 10
NOW = 50.0


@pytest.fixture
def audience() -> Audience:
    return Audience(PIECES, Pace(NOW))


def tell(
    audience: Audience, name: str, lacks: set[int], now: float = NOW, **changes: object
) -> None:
    values: dict[str, object] = {
        "root": "00" * 8, "listener": name, "turn": int(now * 1000), "at": now, "received": 1,
        "number": 1, "pieces": PIECES, "missing": pack_missing(lacks, PIECES),
    }  # fmt: skip
    audience.hear(Report.model_validate({**values, **changes}), now)


def chosen(audience: Audience, now: float = NOW) -> list[int]:
    found = []
    while (piece := audience.choose(now)) is not None:
        found.append(piece)
    return found


@given(st.lists(st.sets(st.integers(0, 40)), max_size=8))
def test_lacked_by_two_is_what_it_says(sets: list[set[int]]) -> None:
    counted = Counter(piece for pieces in sets for piece in pieces)
    expected = sum(1 << piece for piece, count in counted.items() if count >= 2)
    assert lacked_by_two(sum(1 << p for p in pieces) for pieces in sets) == expected


@given(st.integers(0, 500))
def test_the_first_bit(bit: int) -> None:
    assert first_of((1 << bit) | (1 << (bit + 7))) == bit


def test_what_two_lack_is_sent_in_the_order_of_the_disk(audience: Audience) -> None:
    tell(audience, "a", {1, 3, 5, 7})
    tell(audience, "b", {0, 3, 5, 7, 9})
    assert chosen(audience) == [3, 5, 7]


def test_one_alone_is_left_to_its_neighbours(audience: Audience) -> None:
    tell(audience, "a", set(range(PIECES)))
    assert chosen(audience) == []


def test_who_joins_late_gets_the_rest_first_and_then_the_beginning(audience: Audience) -> None:
    tell(audience, "a", set(range(PIECES)))
    tell(audience, "b", set(range(PIECES)))
    assert [audience.choose(NOW) for _ in range(5)] == [0, 1, 2, 3, 4]
    later = NOW + RECENT_S + 0.1
    tell(audience, "a", set(range(5, PIECES)), later)
    tell(audience, "b", set(range(5, PIECES)), later)
    tell(audience, "c", set(range(PIECES)), later)
    tell(audience, "d", set(range(PIECES)), later)
    assert chosen(audience, later) == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]


def test_what_was_just_sent_is_not_sent_again_before_reports_can_know(audience: Audience) -> None:
    for name in ("a", "b"):
        tell(audience, name, {4})
    assert chosen(audience) == [4]
    for name in ("a", "b"):
        tell(audience, name, {4}, NOW + RECENT_S - 0.1)
    assert chosen(audience, NOW + RECENT_S - 0.1) == []
    for name in ("a", "b"):
        tell(audience, name, {4}, NOW + RECENT_S + 0.1)
    assert chosen(audience, NOW + RECENT_S + 0.1) == [4]


def test_the_dead_need_nothing(audience: Audience) -> None:
    tell(audience, "a", {4})
    tell(audience, "b", {4})
    tell(audience, "a", {4}, NOW + FORGET_S + 1)
    assert chosen(audience, NOW + FORGET_S + 1) == []


def test_reports_out_of_order_or_of_another_file_change_nothing(audience: Audience) -> None:
    tell(audience, "a", {4})
    tell(audience, "b", {4})
    tell(audience, "b", set(), turn=1)
    tell(audience, "c", {5}, pieces=20, missing=pack_missing({5}, 20))
    tell(audience, "d", {5}, missing="nonsense")
    tell(audience, "e", {5})
    assert chosen(audience) == [4]


def test_a_packet_that_many_ask_for_is_sent_once(audience: Audience) -> None:
    for name in ("a", "b", "c"):
        tell(audience, name, {2, 4}, holes=((4, 17), (2, 5)))
    assert audience.holes(NOW) == {2: {5}, 4: {17}}
    tell(audience, "d", {4}, holes=((4, 17),))
    assert audience.holes(NOW + 0.1) == {}
    audience.choose(NOW + AGAIN_S + 0.1)
    tell(audience, "d", {4}, NOW + AGAIN_S + 0.1, holes=((4, 17),))
    assert audience.holes(NOW + AGAIN_S + 0.1) == {4: {17}}


def test_holes_in_pieces_that_are_there_or_do_not_exist_are_no_holes(audience: Audience) -> None:
    tell(audience, "a", {4}, holes=((3, 1), (PIECES, 1), (10**9, 1)))
    assert audience.holes(NOW) == {}


def test_a_bad_cable_does_not_get_its_holes_filled(audience: Audience) -> None:
    """It lacks most packets, and would ask for all of them again and again."""
    for step in range(40):
        now = NOW + step * 0.1
        for name, share in (("a", 10), ("b", 10), ("bad", 1)):
            heard = {"received": step * share, "number": step * 10}
            tell(audience, name, {4}, now, holes=((4, 17),) if name == "bad" else (), **heard)
        audience.pace.turn(now)
        audience.choose(now)
        if step > 10:
            assert audience.holes(now) == {}
        audience.holes(now)


def test_there_is_an_end_to_how_many_are_listened_to(audience: Audience) -> None:
    for number in range(1000):
        tell(audience, f"{number:x}", {1, 2})
    assert len(audience._lacking) <= 256
    assert chosen(audience) == [1, 2]


def test_what_only_bad_cables_lack_is_not_sent(audience: Audience) -> None:
    for step in range(30):
        now = NOW + step * 0.1
        for name, share, lacks in (("a", 10, {1}), ("b", 10, {1}), ("c", 1, {1, 4}), ("d", 1, {4})):
            tell(audience, name, lacks, now, received=step * share, number=step * 10)
        audience.pace.turn(now)
    assert chosen(audience, now) == [1]


@pytest.mark.parametrize(
    ("heard", "quiet_s", "rate"), [(True, 0.0, 5e5), (False, 0.0, 0.0), (True, 2 * TURNING_S, 0.0)]
)
def test_it_has_a_rate_while_it_sends_and_somebody_hears(
    heard: bool, quiet_s: float, rate: float
) -> None:
    now = time.monotonic()
    turning = object.__new__(_Round)
    turning._audience, turning._busy = Audience(4, Pace(now)), now - quiet_s
    turning._audience.was_heard = heard
    assert (turning.rate > 0, turning.rate) == (rate > 0, rate)
    carousel = Carousel(IPv4Interface("127.0.0.1/8"))
    carousel._rounds = {b"root": turning}
    assert carousel.rates() == ({b"root": rate} if rate else {})
