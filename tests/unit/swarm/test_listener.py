"""What a machine makes of the carousel's packets, whatever becomes of them on the way."""

from __future__ import annotations

import os
import random
import time
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from provisioner.swarm import listener as module
from provisioner.swarm.listener import MAX_HANDED, MAX_PARTIAL, WRONG_PIECES, Listener
from provisioner.swarm.packet import PAYLOAD, ROOT_BYTES, Head, count_of, parts_of
from provisioner.swarm.torrent import TorrentFile, make_torrent

PIECE = 16 * 1024
COUNT = 80
NAME = "system.squashfs"


@pytest.fixture(scope="module")
def data() -> bytes:
    return os.urandom((COUNT - 1) * PIECE + 777)


@pytest.fixture(scope="module")
def entry(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> TorrentFile:
    folder = tmp_path_factory.mktemp("release")
    (folder / NAME).write_bytes(data)
    torrent = make_torrent(Path(folder), "lab@2026.1", PIECE)
    assert torrent is not None
    return torrent.files[0]


class Ear:
    """A listener that is fed by hand."""

    def __init__(self, entry: TorrentFile, data: bytes) -> None:
        self.entry, self.data = entry, data
        self.got: dict[int, bytes] = {}
        wire, station = IPv4Interface("127.0.0.2/8"), IPv4Address("127.0.0.1")
        self.listener = Listener(wire, station, entry, self.got.__setitem__)
        self.listener.tell(range(COUNT))

    def packets(self, piece: int) -> list[bytes]:
        start, stop = self.entry.span(piece)
        root, count = self.entry.root[:ROOT_BYTES], count_of(stop - start)
        return [
            Head(root, 5, piece, index, count).pack() + self.data[start + first : start + last]
            for index, first, last in parts_of(stop - start)
        ]

    def hear(self, *packets: bytes) -> None:
        for packet in packets:
            self.listener._take(memoryview(packet))

    def right(self, piece: int) -> bool:
        start, stop = self.entry.span(piece)
        return self.got.get(piece) == self.data[start:stop]


@pytest.fixture
def ear(entry: TorrentFile, data: bytes) -> Ear:
    return Ear(entry, data)


def test_pieces_come_together_in_any_order(ear: Ear) -> None:
    packets = [packet for piece in range(4) for packet in ear.packets(piece)]
    random.Random(1).shuffle(packets)
    ear.hear(*packets, *packets)
    assert sorted(ear.got) == [0, 1, 2, 3]
    assert all(ear.right(piece) for piece in range(4))
    assert ear.listener.brought == 4 * PIECE
    assert ear.listener.hears


def test_the_last_piece_is_shorter(ear: Ear) -> None:
    ear.hear(*ear.packets(COUNT - 1))
    assert ear.right(COUNT - 1)
    assert ear.listener.brought == 777


def test_what_is_here_already_is_not_taken_again(ear: Ear) -> None:
    ear.listener.tell({1})
    ear.hear(*ear.packets(0), *ear.packets(1), *ear.packets(1))
    assert list(ear.got) == [1]


def test_a_piece_whose_packet_was_lost_is_not_handed_in(ear: Ear) -> None:
    first, *rest = ear.packets(0)
    ear.hear(*rest)
    assert not ear.got
    ear.hear(first)
    assert ear.right(0)


def test_a_packet_that_comes_twice_counts_once(ear: Ear) -> None:
    first, *rest = ear.packets(0)
    ear.hear(first, first, *rest[:-1])
    assert not ear.got
    ear.hear(rest[-1])
    assert ear.right(0)


def test_small_holes_are_asked_for_and_large_ones_are_not(ear: Ear) -> None:
    ear.hear(*ear.packets(0)[:-2], *ear.packets(1)[:3])
    later = time.monotonic() + 1
    count = count_of(PIECE)
    assert list(ear.listener._holes(later)) == [(0, count - 2), (0, count - 1)]
    assert list(ear.listener._holes(time.monotonic())) == []  # they may be under way


def test_wrong_bytes_are_thrown_away_and_not_listened_to_for_ever(ear: Ear) -> None:
    for wrong in range(WRONG_PIECES):
        packets = ear.packets(7)
        packets[wrong] = packets[wrong][:-1] + bytes([packets[wrong][-1] ^ 1])
        ear.hear(*packets)
        assert not ear.got
    assert not ear.listener.hears
    assert ear.listener.brought == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packet, entry: b"",
        lambda packet, entry: packet[:-1],
        lambda packet, entry: packet + b"x",
        lambda packet, entry: Head(b"another!", 1, 0, 0, 12).pack() + packet[24:],
        lambda packet, entry: Head(entry.root[:8], 1, 0, 0, 13).pack() + packet[24:],
        lambda packet, entry: Head(entry.root[:8], 1, COUNT, 0, 12).pack() + packet[24:],
        lambda packet, entry: Head(entry.root[:8], 1, 2**31, 0, 12).pack() + packet[24:],
    ],
)
def test_packets_that_make_no_sense_change_nothing(ear: Ear, spoil: object) -> None:
    first, *rest = ear.packets(0)
    ear.hear(*rest, spoil(first, ear.entry))  # type: ignore[operator]
    assert not ear.got
    ear.hear(first)
    assert ear.right(0)


def test_a_disk_that_is_behind_is_not_sent_more(ear: Ear) -> None:
    for piece in range(COUNT):
        ear.hear(*ear.packets(piece))
    assert len(ear.got) == MAX_HANDED
    heard = ear.listener._received
    ear.hear(*ear.packets(COUNT - 2))
    assert ear.listener._received == heard  # to the station it is lost
    ear.listener.tell(set(range(COUNT)) - {0, 1})  # two of them are on the disk
    ear.hear(*ear.packets(COUNT - 2))
    assert ear.right(COUNT - 2)


def test_pieces_that_stay_unfinished_take_little_memory(ear: Ear) -> None:
    for piece in range(COUNT):
        ear.hear(*ear.packets(piece)[1:])
    assert len(ear.listener._partial) == MAX_PARTIAL
    assert not ear.got


def test_a_machine_that_hears_next_to_nothing_stops_listening(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("provisioner.swarm.listener.time.monotonic", lambda: now)
    root = ear.entry.root[:ROOT_BYTES]
    for number in range(0, 4000, 10):  # nine of ten packets are lost
        ear.hear(Head(root, number, 1, 0, count_of(PIECE)).pack() + bytes(PAYLOAD))
        now += 0.01
        ear.listener._judge(now)
    assert not ear.listener.hears


def test_silence_is_not_hearing(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not ear.listener.hears
    ear.hear(*ear.packets(0))
    assert ear.listener.hears
    later = time.monotonic() + module.SILENCE_S + 0.1
    monkeypatch.setattr("provisioner.swarm.listener.time.monotonic", lambda: later)
    assert not ear.listener.hears
