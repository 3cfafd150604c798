"""One machine's swarm on a bad day: shaky web servers, a full disk, two programs at once.

Nobody else has the file, so libtorrent's web seed and our own help must bring it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from provisioner.errors import ImageMismatchError, NotFoundError, UnreachableError, WrongStateError
from provisioner.run import run
from provisioner.swarm import ranges
from provisioner.swarm.carrier import SwarmCarrier
from provisioner.swarm.fetch import HttpCarrier, Wanted
from provisioner.swarm.session import Session, times_open
from provisioner.swarm.torrent import make_torrent
from tests.unit.swarm.shaky import ShakyStation

pytestmark = pytest.mark.integration

NAME, ID = "system.squashfs", "lab@2026.1"
SIZE = 12_000_001
WIRE = IPv4Interface("127.0.0.2/8")


class Bench:
    """A shaky station with one release, and machines that want it."""

    def __init__(self, folder: Path) -> None:
        served = folder / "served" / ID
        served.mkdir(parents=True)
        (served / NAME).write_bytes(os.urandom(SIZE))
        made = make_torrent(served, ID)
        assert made is not None
        self.torrent, self.file = made, served / NAME
        self.station = ShakyStation(folder / "served").start()
        self.wanted = Wanted(NAME, SIZE, sha256sum(self.file))
        self.waits: list[str] = []

    def carrier(self) -> SwarmCarrier:
        url = f"{self.station.url}/{ID}/"
        return SwarmCarrier(
            HttpCarrier(url, self._wait), self.torrent, Session(WIRE),
            station_url=self.station.url, release_url=url,
            is_station=lambda address: address == "127.0.0.1",
        )  # fmt: skip

    def _wait(self, error: UnreachableError, _pause: float) -> None:
        self.waits.append(error.message)
        assert len(self.waits) < 200, self.waits[-3:]


def sha256sum(path: Path) -> str:
    return run(["sha256sum", path], timeout_s=60).stdout.split()[0]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(ranges, "LEAST_RATE_AFTER_S", 2.0)
    made = Bench(tmp_path)
    yield made
    made.station.stop()


def nothing(_have: int) -> None:
    pass


@pytest.mark.parametrize(
    "habit", ["", "whole", "short", "reset", "drip", "wrong", "other range", "gone"]
)
def test_a_shaky_web_server_costs_only_time(bench: Bench, tmp_path: Path, habit: str) -> None:
    bench.station.habit, bench.station.bad_times = habit, 1 if habit == "gone" else 2
    with bench.carrier() as carrier:
        got = carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
        assert got.resumed == 0
        assert got.from_peers == 0
    assert sha256sum(tmp_path / NAME) == bench.wanted.sha256
    assert times_open(tmp_path / NAME) == 0


def test_a_web_server_that_never_knows_ranges(bench: Bench, tmp_path: Path) -> None:
    bench.station.habit = "whole"
    with bench.carrier() as carrier:
        carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
    assert sha256sum(tmp_path / NAME) == bench.wanted.sha256


@pytest.mark.parametrize(
    ("habit", "error"),
    [("wrong", ImageMismatchError), ("gone", NotFoundError)],
)
def test_a_damaged_station_is_named(
    bench: Bench, tmp_path: Path, habit: str, error: type[Exception]
) -> None:
    bench.station.habit = habit
    with bench.carrier() as carrier, pytest.raises(error):
        carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
    assert not (tmp_path / NAME).exists()


def test_a_file_with_holes_is_filled(bench: Bench, tmp_path: Path) -> None:
    data = bytearray(bench.file.read_bytes())
    data[3_000_000:4_000_000] = bytes(1_000_000)
    data[-1] ^= 1
    (tmp_path / f"{NAME}.part").write_bytes(data)
    with bench.carrier() as carrier:
        got = carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
    assert sha256sum(tmp_path / NAME) == bench.wanted.sha256
    assert 1_000_000 < got.fetched < 1_000_000 + 4 * 262_144
    assert got.fetched + got.resumed == SIZE


def test_a_complete_file_is_checked_and_not_fetched(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(bench.file.read_bytes())
    with bench.carrier() as carrier:
        got = carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
    assert (got.fetched, got.resumed) == (0, SIZE)
    assert bench.station.asked == []


def test_two_at_once_on_one_disk(bench: Bench, tmp_path: Path) -> None:
    ends: list[Exception | None] = []

    def bring() -> None:
        try:
            with bench.carrier() as carrier:
                carrier.fetch(bench.wanted, tmp_path / NAME, nothing)
            ends.append(None)
        except WrongStateError as error:
            ends.append(error)

    threads = [threading.Thread(target=bring) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert ends.count(None) == 1
    assert len(ends) == 2
    assert sha256sum(tmp_path / NAME) == bench.wanted.sha256


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
@pytest.mark.parametrize("megabytes", [8, 14])
def test_a_full_disk_is_told_and_the_next_run_goes_on(
    bench: Bench, tmp_path: Path, megabytes: int
) -> None:
    """8 MB: it never fits. 14 MB: it would, but something else fills the disk meanwhile."""
    disk = tmp_path / "disk"
    disk.mkdir()
    with tmpfs(disk, megabytes):
        filler = disk / "filler"

        def fill(have: int) -> None:
            if have > SIZE // 3 and not filler.exists():
                with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                    while file.write(bytes(65536)):
                        pass

        with bench.carrier() as carrier:
            try:
                carrier.fetch(bench.wanted, disk / NAME, fill)
                assert megabytes > 8  # its space was reserved before the disk filled up
            except OSError as error:
                assert error.errno == errno.ENOSPC
                assert not (disk / NAME).exists()
        filler.unlink(missing_ok=True)
        if megabytes > 8:
            with bench.carrier() as carrier:
                carrier.fetch(bench.wanted, disk / NAME, nothing)
            assert sha256sum(disk / NAME) == bench.wanted.sha256


@contextlib.contextmanager
def tmpfs(at: Path, megabytes: int) -> Iterator[None]:
    run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", at], timeout_s=20)
    try:
        yield
    finally:
        run(["umount", at], timeout_s=20)
