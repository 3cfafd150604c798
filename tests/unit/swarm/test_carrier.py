"""Piece by piece over HTTP: what is right is kept, a shaky station costs time, never a byte."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import ImageMismatchError, NotFoundError, UnreachableError, WrongStateError
from provisioner.swarm import part, ranges
from provisioner.swarm.carrier import RangeCarrier
from provisioner.swarm.fetch import Fetched, HttpCarrier, Wanted
from provisioner.swarm.torrent import Torrent, make_torrent
from tests.unit.swarm.shaky import ShakyStation

PIECE = 64 * 1024
DATA = os.urandom(40 * PIECE + 777)
NAME = "system.squashfs"
WANTED = Wanted(NAME, len(DATA), hashlib.sha256(DATA).hexdigest())


@pytest.fixture
def station(tmp_path: Path) -> Iterator[ShakyStation]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / NAME).write_bytes(DATA)
    made = ShakyStation(folder).start()
    yield made
    made.stop()


@pytest.fixture
def torrent(station: ShakyStation) -> Torrent:
    made = make_torrent(station.folder, "lab@2026.1", PIECE)
    assert made is not None
    return made


@pytest.fixture
def waits() -> list[str]:
    return []


@pytest.fixture
def ranged(station: ShakyStation, torrent: Torrent, waits: list[str]) -> RangeCarrier:
    def wait(error: UnreachableError, _pause: float) -> None:
        waits.append(error.message)
        assert len(waits) < 30, waits

    return RangeCarrier(HttpCarrier(station.url, wait), torrent)


def nothing(_have: int) -> None:
    pass


def test_a_whole_file_arrives(ranged: RangeCarrier, tmp_path: Path) -> None:
    seen: list[int] = []
    assert ranged.fetch(WANTED, tmp_path / NAME, seen.append) == Fetched(len(DATA), 0)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert seen == sorted(seen)
    assert seen[-1] == len(DATA)
    assert not (tmp_path / f"{NAME}.part").exists()
    assert ranged.origin.station == len(DATA)


def test_only_holes_are_fetched(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path
) -> None:
    """As the chunks of an older release leave it: full size, some pieces right, some not."""
    begun = bytearray(DATA)
    begun[3 * PIECE : 5 * PIECE] = bytes(2 * PIECE)
    begun[9 * PIECE + 5] ^= 1
    begun[-1] ^= 1
    (tmp_path / f"{NAME}.part").write_bytes(begun)
    got = ranged.fetch(WANTED, tmp_path / NAME, nothing)
    assert got == Fetched(3 * PIECE + 777, len(DATA) - 3 * PIECE - 777)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert [asked for _, asked in station.asked] == [
        f"bytes={3 * PIECE}-{5 * PIECE - 1}",
        f"bytes={9 * PIECE}-{10 * PIECE - 1}",
        f"bytes={40 * PIECE}-{40 * PIECE + 776}",
    ]


def test_a_half_file_is_continued(ranged: RangeCarrier, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(DATA[: 7 * PIECE + 1])
    assert ranged.fetch(WANTED, tmp_path / NAME, nothing).resumed == 7 * PIECE


def test_a_complete_file_is_not_fetched_again(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path
) -> None:
    (tmp_path / NAME).write_bytes(DATA)
    assert ranged.fetch(WANTED, tmp_path / NAME, nothing) == Fetched(0, len(DATA))
    assert station.asked == []


def test_a_part_that_is_too_long_is_cut(ranged: RangeCarrier, tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.part").write_bytes(DATA + b"more")
    assert ranged.fetch(WANTED, tmp_path / NAME, nothing).fetched == 0
    assert (tmp_path / NAME).read_bytes() == DATA


@pytest.mark.parametrize("habit", ["whole", "short", "reset", "other range", "drip", "wrong"])
def test_a_shaky_station_costs_only_time(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path, habit: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(ranges, "LEAST_RATE_AFTER_S", 1.0)
    station.habit, station.bad_times = habit, 2
    ranged.fetch(WANTED, tmp_path / NAME, nothing)
    assert (tmp_path / NAME).read_bytes() == DATA


def test_a_station_that_always_ignores_ranges_still_serves(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path
) -> None:
    station.habit = "whole"
    (tmp_path / f"{NAME}.part").write_bytes(DATA[: 7 * PIECE])
    assert ranged.fetch(WANTED, tmp_path / NAME, nothing).resumed == 7 * PIECE
    assert (tmp_path / NAME).read_bytes() == DATA


@pytest.mark.parametrize(
    ("habit", "error"),
    [("wrong", ImageMismatchError), ("other size", ImageMismatchError), ("gone", NotFoundError)],
)
def test_a_damaged_station_is_named_and_nothing_gets_its_name(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path, habit: str, error: type[Exception]
) -> None:
    station.habit = habit
    with pytest.raises(error):
        ranged.fetch(WANTED, tmp_path / NAME, nothing)
    assert not (tmp_path / NAME).exists()


def test_two_at_once_on_one_disk(ranged: RangeCarrier, tmp_path: Path) -> None:
    with (tmp_path / f"{NAME}.part").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WrongStateError):
            ranged.fetch(WANTED, tmp_path / NAME, nothing)


def test_a_disk_without_room_is_found_at_once(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 1, 4096

    monkeypatch.setattr("provisioner.swarm.part.os.fstatvfs", lambda _: Full)
    with pytest.raises(OSError, match="No space") as caught:
        ranged.fetch(WANTED, tmp_path / NAME, nothing)
    assert caught.value.errno == errno.ENOSPC
    assert station.asked == []


def test_a_digest_that_its_pieces_do_not_give_is_refused(
    ranged: RangeCarrier, tmp_path: Path
) -> None:
    """The manifest's SHA-256 has the last word, whatever the torrent says."""
    with pytest.raises(ImageMismatchError):
        ranged.fetch(Wanted(NAME, len(DATA), "0" * 64), tmp_path / NAME, nothing)
    assert not (tmp_path / NAME).exists()


def test_runs() -> None:
    assert list(part.runs([])) == []
    assert list(part.runs([0])) == [(0, 1)]
    assert list(part.runs([1, 2, 3, 7, 9, 10])) == [(1, 4), (7, 8), (9, 11)]


@pytest.mark.parametrize(("size", "step"), [(1, 1), (40_000_000, 400_000), (10**12, 32 * 2**20)])
def test_a_power_cut_costs_at_most_one_percent(size: int, step: int) -> None:
    assert part.flush_step(size) == step


def test_files_outside_the_torrent_go_whole(
    ranged: RangeCarrier, station: ShakyStation, tmp_path: Path
) -> None:
    (station.folder / "small").write_bytes(b"small")
    small = Wanted("small", 5, hashlib.sha256(b"small").hexdigest())
    assert ranged.fetch(small, tmp_path / "small", nothing) == Fetched(5, 0)
