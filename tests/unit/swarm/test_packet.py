"""The carousel's words on the wire: what is sent is read again, anything else is nothing."""

from __future__ import annotations

import itertools
import zlib
from base64 import b64encode
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.swarm.packet import (
    HEAD,
    MAX_HOLES,
    PAYLOAD,
    Head,
    Report,
    count_of,
    group_of,
    pack_missing,
    parts_of,
    read_head,
    read_report,
)

ROOT = bytes(range(8))


def report(**changes: object) -> Report:
    values: dict[str, object] = {
        "root": ROOT.hex(), "listener": "ab12", "turn": 3, "at": 1.5, "received": 10,
        "number": 12, "pieces": 100, "missing": pack_missing({1, 99}, 100),
    }  # fmt: skip
    return Report.model_validate({**values, **changes})


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 186))
def test_a_head_is_read_as_it_was_written(number: int, piece: int, index: int) -> None:
    head = Head(ROOT, number, piece, index, 187)
    assert read_head(head.pack() + b"x") == head


def test_a_packet_fits_into_a_frame_of_1500_bytes() -> None:
    assert 20 + 8 + HEAD.size + PAYLOAD <= 1492


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"crl1",
        bytes(2000),
        Head(ROOT, 1, 1, 3, 4).pack(),
        Head(ROOT, 1, 1, 4, 4).pack() + b"x",
        b"CRL1" + Head(ROOT, 1, 1, 3, 4).pack()[4:] + b"x",
    ],
)
def test_anything_else_is_no_packet(packet: bytes) -> None:
    assert read_head(packet) is None


@given(st.binary(min_size=8, max_size=32))
def test_groups_stay_within_the_site(root: bytes) -> None:
    assert group_of(root) in IPv4Network("239.255.0.0/16")


def test_the_group_is_of_the_file() -> None:
    assert group_of(bytes([7, 9, 1])) == IPv4Address("239.255.7.9")


@given(st.sets(st.integers(0, 999)))
def test_what_is_missing_survives_the_way(missing: set[int]) -> None:
    read = read_report(report(pieces=1000, missing=pack_missing(missing, 1000)).pack())
    assert read is not None
    assert read.lacking() == sum(1 << piece for piece in missing)


def test_a_report_about_a_large_image_fits_into_a_datagram() -> None:
    every_third = range(0, 20_000, 3)  # 5 GB
    holes = tuple((20_000, 180) for _ in range(MAX_HOLES))
    packed = report(pieces=20_000, missing=pack_missing(every_third, 20_000), holes=holes).pack()
    assert len(packed) < 10_000


def test_bits_behind_the_last_piece_count_for_nothing() -> None:
    assert report(pieces=4, missing=pack_missing(range(8), 8)).lacking() == 0b1111


def test_a_report_that_swells_when_unpacked_does_not() -> None:
    bomb = b64encode(zlib.compress(bytes([255]) * 30_000_000, 9)).decode()
    assert len(bomb) < 60_000
    assert report(pieces=16, missing=bomb).lacking() == 0xFFFF


@pytest.mark.parametrize(
    "missing", ["", "%%%", "AAAA", pack_missing({1}, 8), pack_missing({1}, 50)]
)
def test_nonsense_is_told_as_such(missing: str) -> None:
    told = report(missing=missing)
    with pytest.raises(ValueError):
        told.lacking()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"\xff", b"[1]", report().pack()[:-5],
        report().pack().replace(b'"turn":3', b'"turn":-3'),
        report().pack().replace(b'"turn":3', b'"turn":3,"more":1'),
        report().pack().replace(b'"listener":"ab12"', b'"listener":"<script>"'),
        report().pack().replace(b'"pieces":100', b'"pieces":10000000'),
        report().pack().replace(b'"at":1.5', b'"at":1e999'),
        report().pack().replace(b'"holes":[]', b'"holes":[[-1,2]]'),
        report().pack().replace(b'"holes":[]', b'"holes":' + str([[0, 0]] * 129).encode()),
    ],
)  # fmt: skip
def test_anything_else_is_no_report(data: bytes) -> None:
    assert read_report(data) is None


@given(st.integers(1, 5 * PAYLOAD))
def test_the_parts_of_a_piece_are_the_piece(size: int) -> None:
    parts = list(parts_of(size))
    assert [index for index, _, _ in parts] == list(range(count_of(size)))
    assert parts[0][1] == 0
    assert parts[-1][2] == size
    assert all(after[1] == before[2] for before, after in itertools.pairwise(parts))
