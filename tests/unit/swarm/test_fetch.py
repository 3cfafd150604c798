"""Fetching over HTTP: resume, broken connections, a dishonest or damaged station."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import ImageMismatchError, NotFoundError, UnreachableError
from provisioner.swarm.fetch import Fetched, HttpCarrier, Wanted, check_answer
from tests.unit.agent.station import StubStation

DATA = os.urandom(3_000_001)
WANTED = Wanted("r/file", len(DATA), hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def station(tmp_path: Path) -> Iterator[StubStation]:
    (tmp_path / "served/r").mkdir(parents=True)
    (tmp_path / "served/r/file").write_bytes(DATA)
    stub = StubStation(tmp_path / "served")
    yield stub
    stub.close()


@pytest.fixture
def carrier(station: StubStation) -> HttpCarrier:
    return HttpCarrier(station.url, lambda _error, _pause: None)


def nothing(_have: int) -> None:
    pass


def test_a_whole_file_arrives(carrier: HttpCarrier, tmp_path: Path) -> None:
    seen: list[int] = []
    into = tmp_path / "file"
    assert carrier.fetch(WANTED, into, seen.append) == Fetched(len(DATA), 0)
    assert into.read_bytes() == DATA
    assert seen[-1] == len(DATA)
    assert not into.with_name("file.part").exists()


def test_a_half_file_is_continued(
    carrier: HttpCarrier, station: StubStation, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(DATA[:1_234_567])
    got = carrier.fetch(WANTED, tmp_path / "file", nothing)
    assert got == Fetched(len(DATA) - 1_234_567, 1_234_567)
    assert (tmp_path / "file").read_bytes() == DATA
    assert station.gets == [("/r/file", "bytes=1234567-")]


def test_a_complete_file_is_not_fetched_again(
    carrier: HttpCarrier, station: StubStation, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(DATA)
    assert carrier.fetch(WANTED, tmp_path / "file", nothing) == Fetched(0, len(DATA))
    assert station.gets == []


def test_a_damaged_half_file_is_fetched_from_its_start(
    carrier: HttpCarrier, tmp_path: Path
) -> None:
    (tmp_path / "file.part").write_bytes(bytes(1_000_000))
    assert carrier.fetch(WANTED, tmp_path / "file", nothing) == Fetched(len(DATA), 0)
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_part_that_is_too_long_is_thrown_away(carrier: HttpCarrier, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(DATA + b"more")
    assert carrier.fetch(WANTED, tmp_path / "file", nothing).fetched == len(DATA)


def test_broken_connections_are_continued_where_they_broke(
    station: StubStation, tmp_path: Path
) -> None:
    station.cut_after = 1_100_000
    waits: list[float] = []
    carrier = HttpCarrier(station.url, lambda _error, pause: waits.append(pause))
    carrier.fetch(WANTED, tmp_path / "file", nothing)
    assert (tmp_path / "file").read_bytes() == DATA
    assert len(waits) == 2
    assert next(asked for _, asked in station.gets) == ""
    assert all(asked.startswith("bytes=") for _, asked in station.gets[1:])


def test_a_station_that_is_away_is_waited_for(station: StubStation, tmp_path: Path) -> None:
    waits: list[float] = []

    def wait(error: UnreachableError, pause: float) -> None:
        waits.append(pause)
        if len(waits) == 7:
            away._base = station.url + "/"

    away = HttpCarrier("http://127.0.0.1:9", wait)
    away.fetch(WANTED, tmp_path / "file", nothing)
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_a_flipped_bit_on_the_station_is_found(
    carrier: HttpCarrier, station: StubStation, tmp_path: Path
) -> None:
    bad = bytearray(DATA)
    bad[1_500_000] ^= 1
    (tmp_path / "served/r/file").write_bytes(bad)
    with pytest.raises(ImageMismatchError):
        carrier.fetch(WANTED, tmp_path / "file", nothing)
    assert not (tmp_path / "file").exists()


def test_a_file_of_another_size_is_refused(carrier: HttpCarrier, tmp_path: Path) -> None:
    (tmp_path / "served/r/file").write_bytes(DATA + b"!")
    with pytest.raises(ImageMismatchError):
        carrier.fetch(WANTED, tmp_path / "file", nothing)


def test_a_release_that_is_gone_is_not_waited_for(carrier: HttpCarrier, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        carrier.fetch(Wanted("r/other", 3, "0" * 64), tmp_path / "file", nothing)


def test_a_small_document_has_a_limit(carrier: HttpCarrier) -> None:
    assert carrier.read("r/file", len(DATA)) == DATA
    with pytest.raises(ImageMismatchError):
        carrier.read("r/file", 1000)


@pytest.mark.parametrize("told", ["", "bytes 5-9/10", "bytes 0-9/10", "bytes 7-9/x"])
def test_another_range_than_asked_for_is_not_taken(told: str) -> None:
    from urllib3 import HTTPHeaderDict

    with pytest.raises(UnreachableError):
        check_answer("f", 206, HTTPHeaderDict({"Content-Range": told}), 7, 10)


def test_no_room_on_the_disk_is_no_trouble_of_the_wire(
    carrier: HttpCarrier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_out: int, _data: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provisioner.swarm.fetch.os.write", full)
    with pytest.raises(OSError, match="No space"):
        carrier.fetch(WANTED, tmp_path / "file", nothing)
