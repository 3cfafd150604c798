"""The tracker: peers find each other, strangers and nonsense get a reason and nothing else."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any, cast
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.swarm import bencode
from provisioner.swarm.tracker import (
    FORGET_AFTER_S,
    INTERVAL_S,
    MAX_PEERS,
    MAX_PEERS_TOLD,
    MAX_TORRENTS,
    Tracker,
)

WIRE = IPv4Network("10.77.0.0/24")
FILE = bytes(range(236, 256))  # no text in any encoding


def query(info_hash: bytes = FILE, **changes: object) -> bytes:
    values = {"port": 6881, "left": 10, **changes}
    words = [f"{name}={value}" for name, value in values.items() if value is not None]
    return f"info_hash={quote_from_bytes(info_hash)}&{'&'.join(words)}".encode()


def ask(
    tracker: Tracker, who: str = "10.77.0.2", now: float = 0.0, *, asked: bytes | None = None,
    **changes: Any,
) -> dict[bytes, Any]:  # fmt: skip
    answer = tracker.answer(query(**changes) if asked is None else asked, who, now)
    return cast(dict[bytes, Any], bencode.decode(answer))


def peers(answer: dict[bytes, Any]) -> set[tuple[str, int]]:
    raw = answer[b"peers"]
    return {
        (str(IPv4Address(raw[at : at + 4])), int.from_bytes(raw[at + 4 : at + 6], "big"))
        for at in range(0, len(raw), 6)
    }


@pytest.fixture
def tracker() -> Tracker:
    return Tracker(WIRE)


def test_the_second_hears_of_the_first(tracker: Tracker) -> None:
    assert peers(ask(tracker)) == set()
    answer = ask(tracker, "10.77.0.3", left=0)
    assert peers(answer) == {("10.77.0.2", 6881)}
    assert (answer[b"complete"], answer[b"incomplete"]) == (1, 1)
    assert answer[b"interval"] == INTERVAL_S
    assert peers(ask(tracker)) == {("10.77.0.3", 6881)}


def test_another_file_has_other_peers(tracker: Tracker) -> None:
    ask(tracker)
    assert peers(ask(tracker, "10.77.0.3", info_hash=bytes(20))) == set()


def test_who_leaves_is_forgotten(tracker: Tracker) -> None:
    ask(tracker)
    assert peers(ask(tracker, event="stopped")) == set()
    assert peers(ask(tracker, "10.77.0.3")) == set()


def test_who_is_silent_is_forgotten(tracker: Tracker) -> None:
    ask(tracker)
    assert peers(ask(tracker, "10.77.0.3", FORGET_AFTER_S)) == {("10.77.0.2", 6881)}
    assert peers(ask(tracker, "10.77.0.4", FORGET_AFTER_S + 1)) == {("10.77.0.3", 6881)}


def test_an_address_that_it_names_is_not_believed(tracker: Tracker) -> None:
    ask(tracker, ip="10.77.0.99", ipv4="10.77.0.98")
    assert peers(ask(tracker, "10.77.0.3")) == {("10.77.0.2", 6881)}


@pytest.mark.parametrize(
    "who", ["192.0.2.1", "127.0.0.1", "10.77.1.2", "::1", "", "x", "10.77.0.0", "10.77.0.255"]
)
def test_strangers_are_not_heard(tracker: Tracker, who: str) -> None:
    assert set(ask(tracker, who)) == {b"failure reason"}
    assert peers(ask(tracker, "10.77.0.3")) == set()


@pytest.mark.parametrize(
    "asked",
    [
        b"", b"port=1", query(b""), query(FILE[:19]), query(FILE + b"x"), query(port=0),
        query(port=65536), query(port=-1), query(port="x"), query(port=""), query(port=None),
        query(port="1" * 5000), query(left="x"), query(numwant="x"), query(port="１２"),
        b"info_hash=" + b"%" * 50, b"a" * 100_000, b"\xff\xfe&=&=&;",
    ],
)  # fmt: skip
def test_nonsense_gets_a_reason(tracker: Tracker, asked: bytes) -> None:
    assert set(ask(tracker, asked=asked)) == {b"failure reason"}
    assert peers(ask(tracker, "10.77.0.3")) == set()


@pytest.mark.parametrize(
    ("wanted", "told"), [(0, 0), (3, 3), (-1, MAX_PEERS_TOLD), (10**9, MAX_PEERS_TOLD)]
)
def test_so_many_as_wanted_are_told(tracker: Tracker, wanted: int, told: int) -> None:
    for number in range(2, 202):
        ask(tracker, f"10.77.0.{number}")
    assert len(peers(ask(tracker, "10.77.0.250", numwant=wanted))) == told


def test_there_is_a_limit_on_what_one_can_make_us_keep(tracker: Tracker) -> None:
    for port in range(1, MAX_PEERS + 100):
        answer = ask(tracker, port=port)
    assert answer[b"incomplete"] == MAX_PEERS
    for number in range(MAX_TORRENTS + 5):
        ask(tracker, info_hash=number.to_bytes(20, "big"))
    assert len(tracker._torrents) == MAX_TORRENTS


@given(st.binary(max_size=300), st.text(max_size=20), st.floats(0, 1e9))
def test_every_answer_is_bencoded(asked: bytes, who: str, now: float) -> None:
    assert isinstance(ask(Tracker(WIRE), who, now, asked=asked), dict)


@given(
    st.binary(max_size=40),
    st.dictionaries(
        st.sampled_from(["port", "left", "numwant", "event", "compact", "peer_id", "key"]),
        st.one_of(st.integers(), st.text(max_size=10).map(lambda t: t.replace("&", ""))),
    ),
)
def test_whatever_is_asked_the_answer_is_a_reason_or_peers(
    info_hash: bytes, values: dict[str, Any]
) -> None:
    answer = ask(Tracker(WIRE), asked=query(info_hash, **values))
    assert set(answer) == {b"failure reason"} or len(answer[b"peers"]) % 6 == 0
    if len(info_hash) != 20:
        assert b"failure reason" in answer
