"""Whose turn it is to ask the station: one for the room, and everybody in the end."""

from __future__ import annotations

from ipaddress import IPv4Address

from provisioner.swarm.turns import (
    MOST_PATIENCE_S,
    PATIENCE_S,
    Outlook,
    choose_pieces,
    first_place,
    lonely,
    lost_patience,
    may_ask,
)

ROOM = [IPv4Address(f"10.77.0.{10 + n}") for n in range(25)]


def outlook(me: int, silent_s: float, settled: bool = True, room: int = 25) -> Outlook:
    return Outlook(ROOM[me], frozenset(ROOM[:room]) - {ROOM[me]}, silent_s, settled)


def test_exactly_one_of_a_room_asks() -> None:
    assert [n for n in range(25) if may_ask(outlook(n, 0.0))] == [0]
    assert [n for n in range(25) if may_ask(outlook(n, PATIENCE_S / 2))] == [0]


def test_the_next_one_takes_over_when_nothing_comes_and_everybody_in_the_end() -> None:
    assert [n for n in range(25) if may_ask(outlook(n, PATIENCE_S + 1))] == [0, 1]
    assert all(may_ask(outlook(n, MOST_PATIENCE_S)) for n in range(25))


def test_nobody_asks_before_he_has_met_the_others() -> None:
    assert not may_ask(outlook(0, 1000.0, settled=False))
    assert not lost_patience(outlook(0, 1000.0, settled=False))


def test_alone_there_is_nobody_to_wait_for() -> None:
    assert may_ask(Outlook(ROOM[7], frozenset(), 0.0, True))


def test_neighbours_that_have_it_and_do_not_give_are_waited_for_a_while_only() -> None:
    assert not lost_patience(outlook(0, PATIENCE_S - 1))
    assert lost_patience(outlook(0, PATIENCE_S))
    assert not lost_patience(outlook(1, PATIENCE_S + 1))
    assert lost_patience(outlook(24, MOST_PATIENCE_S + PATIENCE_S))


def test_pieces_are_taken_from_ones_own_place_on_and_round_the_end() -> None:
    assert choose_pieces([1, 2, 8, 9], 5, lambda _: 1, 100, 16) == [8, 9]
    assert choose_pieces([1, 2], 5, lambda _: 1, 100, 16) == [1, 2]
    assert choose_pieces([1, 2, 3], 1, lambda _: 60, 100, 16) == [1]
    assert choose_pieces([1, 2, 3], 1, lambda _: 500, 100, 16) == [1]
    assert choose_pieces([1, 2, 3], 1, lambda _: 0, 100, 2) == [1, 2]
    assert choose_pieces([], 1, lambda _: 0, 100, 2) == []


def test_no_two_of_a_room_begin_at_the_same_place() -> None:
    places = [first_place(who, 1000) for who in ROOM]
    assert len(set(places)) == 25


def test_only_what_no_neighbour_has_is_lonely() -> None:
    assert lonely([0, 1, 5], [0, 2, 0]) == [0, 5]
    assert lonely([0, 1], []) == [0, 1]
