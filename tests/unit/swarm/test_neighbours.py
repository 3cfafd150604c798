"""Discovery on the wire: BEP 14's form, own files only, and whatever a hostile datagram says."""

from __future__ import annotations

import os
from ipaddress import IPv4Address, IPv4Interface

from hypothesis import given
from hypothesis import strategies as st

from provisioner.swarm.neighbours import (
    EVERY_S,
    MAX_DATAGRAM,
    MAX_HASHES,
    MAX_HEARD_A_SECOND,
    MAX_PEERS,
    Call,
    Room,
    read_call,
    write_call,
)

WIRE = IPv4Interface("10.77.0.11/24")
FILE, OTHER = b"\x11" * 20, b"\x22" * 20
HIM = "10.77.0.12"


class Heard:
    """A room with one file; who was tried for it."""

    def __init__(self) -> None:
        self.tried: list[tuple[IPv4Address, int]] = []
        self.room = Room(WIRE, 6881, b"me")
        self.room.add(FILE, lambda address, port: self.tried.append((address, port)), 0.0)

    def hear(self, data: bytes, sender: str = HIM, now: float = 0.5) -> None:
        self.room.hear(data, sender, now)


def call(port: int = 5000, hashes: tuple[bytes, ...] = (FILE,), cookie: bytes = b"him") -> bytes:
    return write_call(Call(port, hashes, cookie))


def test_the_form_is_bep_14s() -> None:
    assert call() == (
        b"BT-SEARCH * HTTP/1.1\r\nHost: 239.192.152.143:6771\r\nPort: 5000\r\n"
        b"Infohash: " + b"11" * 20 + b"\r\ncookie: him\r\n\r\n\r\n"
    )
    assert read_call(call()) == Call(5000, (FILE,), b"him")
    full = tuple(os.urandom(20) for _ in range(MAX_HASHES))
    assert len(call(hashes=full)) <= MAX_DATAGRAM


def test_who_has_the_same_file_is_tried_and_answered_soon() -> None:
    heard = Heard()
    assert len(heard.room.to_say(0.0)) == 1
    heard.hear(call(), now=4.0)
    assert heard.tried == [(IPv4Address(HIM), 5000)]
    assert heard.room.to_say(5.1)  # he is new: he is told of us
    heard.hear(call(), now=6.0)
    assert len(heard.tried) == 1  # not again so soon
    heard.hear(call(), now=15.0)
    assert len(heard.tried) == 2


def test_a_file_that_comes_later_is_tried_with_all_who_are_known() -> None:
    heard = Heard()
    heard.hear(call(hashes=(FILE, OTHER)))
    later: list[int] = []
    heard.room.add(OTHER, lambda _address, port: later.append(port), 1.0)
    assert later == [5000]
    heard.room.drop(OTHER)
    heard.room.add(OTHER, lambda _address, port: later.append(port), 2.0)
    assert later == [5000, 5000]  # shared anew: tried anew at once


def test_nothing_is_said_without_a_file_and_not_too_often() -> None:
    room = Room(WIRE, 6881, b"me")
    assert room.to_say(0.0) == []
    room.add(FILE, lambda *_: None, 0.0)
    said = [at for at in range(0, 600) if room.to_say(at / 4)]
    assert len(said) <= 3 + 150 / EVERY_S
    assert len(said) >= 3
    room.drop(FILE)
    assert room.to_say(1000.0) == []


def test_strangers_ourselves_and_other_files_are_passed_over() -> None:
    heard = Heard()
    for sender in ("192.0.2.1", "10.77.1.12", "10.77.0.11", "10.77.0.0", "10.77.0.255"):
        heard.hear(call(), sender)
    heard.hear(call(cookie=b"me"))
    heard.hear(call(hashes=(OTHER,)))
    assert heard.tried == []


def test_what_is_no_call_is_passed_over() -> None:
    heard = Heard()
    good = call()
    for data in (
        b"", good[:30], good.replace(b"5000", b"0"), good.replace(b"5000", b"65536"),
        good.replace(b"5000", b"-5"), good.replace(b"11" * 20, b"zz" * 20),
        good.replace(b"BT-SEARCH", b"M-SEARCH"), good + bytes(MAX_DATAGRAM),
        call(hashes=(FILE,) * (MAX_HASHES + 1)),
    ):  # fmt: skip
        heard.hear(data)
    assert heard.tried == []


def test_a_shouter_costs_little() -> None:
    heard = Heard()
    for number in range(10 * MAX_HEARD_A_SECOND):
        heard.hear(call(port=1 + number % 60_000))
    assert len(heard.tried) <= MAX_HEARD_A_SECOND
    for number in range(10 * MAX_PEERS):
        heard.hear(call(port=1 + number), now=10.0 + number)
    assert len(heard.room._known) <= MAX_PEERS
    assert len(heard.room._tried) <= 4 * MAX_PEERS + 1


@given(st.binary(max_size=300))
def test_whatever_comes_nothing_breaks(data: bytes) -> None:
    Heard().hear(data)
    Heard().hear(b"BT-SEARCH * HTTP/1.1\r\n" + data)
