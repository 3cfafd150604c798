"""The inactive side for real: kills, a full disk, a damaged old release, a cut line, two at once.

A machine is alone here (tests/integration/test_side_room.py has neighbours). Files at the end are
compared by coreutils' sha256sum with the signed manifest.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import side
from provisioner.agent.journey import Journey, Standing
from provisioner.errors import (
    DiskChoiceError,
    ImageMismatchError,
    StationError,
    UnreachableError,
    UntrustedError,
    WrongStateError,
)
from provisioner.model.release import KERNEL, SYSTEM
from provisioner.model.side import SideEvidence
from provisioner.model.signed import PrivateKey
from provisioner.run import run
from provisioner.swarm import classroom
from tests.integration.side_world import NEW, OLD, SideWorld, Sizes, roots_of
from tests.unit.agent.station import StubStation

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SIZES = Sizes(texts=90, new_bytes=1_500_000, kernel=100_000, initrd=1_060_000)


class Bench:
    """A station's files on a small server, and one machine with the old release."""

    def __init__(self, folder: Path) -> None:
        self.world = SideWorld(folder, SIZES)
        self.server = StubStation(self.world.served)
        self.disk = self.world.machine("machine")
        self.waits: list[str] = []

    def _wait(self, error: UnreachableError, _pause: float) -> None:
        self.waits.append(error.message)

    def fill(self, journey: Journey | None = None, envelope: bytes = b"") -> SideEvidence:
        station = side.Station(self.server.url, self.world.key, self._wait)
        return side.fill_side(
            envelope or self.world.envelope(), NEW, roots_of(self.disk), station,
            journey or Journey(side.STEPS),
        )  # fmt: skip

    def client(self, **env: str) -> subprocess.Popen[str]:
        words = [self.server.url, NEW, self.world.key, str(self.disk)]
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.integration.side_client", *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        )  # fmt: skip

    @property
    def image(self) -> Path:
        return self.disk / "system/releases" / NEW / SYSTEM

    def bytes_asked(self) -> int:
        """What the ranges of the system image that were asked for have together."""
        total = 0
        for path, asked in self.server.gets:
            if path.endswith(f"{NEW}/{SYSTEM}") and asked:
                first, _, last = asked.removeprefix("bytes=").partition("-")
                total += int(last) + 1 - int(first)
        return total


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(classroom, "ENTER_S", 0.1)  # nobody is there to be met
    monkeypatch.setattr(classroom, "MEET_S", 0.1)
    monkeypatch.setenv("ALONE", "1")
    made = Bench(tmp_path)
    yield made
    made.server.close()


@pytest.fixture(params=["swarm", "http"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With libtorrent, and on a machine that has none."""
    if request.param == "http":
        monkeypatch.setattr(side, "is_available", lambda: False)
        monkeypatch.setenv("NO_LIBTORRENT", "1")
    return str(request.param)


def alone_bytes(world: SideWorld) -> int:
    """What the manifest promises that no older file has alike, the image left out."""
    old = {entry.sha256 for entry in world.catalog.get(OLD).files}
    return sum(
        entry.size for entry in world.catalog.get(NEW).files
        if entry.sha256 not in old and entry.path != SYSTEM
    )  # fmt: skip


@pytest.mark.parametrize("patched", [False, True])
def test_a_side_is_filled_and_proved(bench: Bench, way: str, patched: bool) -> None:
    patch = bench.world.publish_patch() if patched else 0
    evidence = bench.fill()
    assert bench.world.arrived(bench.disk)
    names = {entry.path for entry in bench.world.catalog.get(NEW).files}
    assert {item.path for item in evidence.read_back} == names
    assert evidence.direct_io
    assert evidence.patch_bytes == patch
    assert evidence.bytes_from_peers == evidence.damaged_pieces == 0
    others = alone_bytes(bench.world)
    if patched:
        assert evidence.bytes_from_station == others + patch
        assert bench.bytes_asked() == 0
    else:
        assert others < evidence.bytes_from_station < others + bench.world.image_bytes * 0.7
    left = {path.name for path in bench.image.parent.iterdir()}
    assert not any(name.endswith((".part", ".patch", ".asking")) for name in left)
    again = bench.fill()
    assert again.bytes_from_station == 0
    assert bench.world.arrived(bench.disk)


def test_loaders_that_stayed_alike_are_not_fetched(bench: Bench) -> None:
    bench.fill()
    assert not any("/loader/" in path for path, _ in bench.server.gets)


def test_killed_again_and_again_nothing_is_fetched_twice(bench: Bench, way: str) -> None:
    """All runs together ask for no more than one undisturbed run and what was under way at each
    kill: a batch, a piece, and 1 % that was not flushed."""
    chance, kills = random.Random(3), 0
    undisturbed = bench.world.machine("undisturbed")
    disturbed, bench.disk = bench.disk, undisturbed
    bench.fill()
    once = bench.bytes_asked()
    bench.server.gets.clear()
    bench.disk = disturbed
    for _ in range(5):
        client = bench.client(PROGRESS="0.02")
        until = chance.uniform(0.05, 0.7)
        assert client.stdout
        for told in client.stdout:
            if told.startswith("{") or float(told) >= until:
                break
        kills += client.poll() is None
        client.send_signal(signal.SIGKILL)
        client.communicate(timeout=60)
    assert not (bench.image.parent / "manifest.dsse.json").exists()
    evidence = bench.fill()
    assert bench.world.arrived(bench.disk)
    assert kills >= 4
    assert bench.bytes_asked() <= once + kills * (bench.world.image_bytes // 100 + 2 * 262_144)
    assert evidence.bytes_kept > 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_line_that_is_lost_is_waited_for(bench: Bench, share: float, way: str) -> None:
    """The server is gone in the middle, for a while, and comes back elsewhere in time."""
    port, stopped = bench.server.port, threading.Event()

    def cut(standing: Standing) -> None:
        if standing.step == "fetch" and standing.fraction > share * 0.7 and not stopped.is_set():
            stopped.set()
            bench.server.close()
            threading.Timer(1.5, back).start()

    def back() -> None:
        bench.server = StubStation(bench.world.served, port=port)

    every_report = functools.partial(next, itertools.count(step=1.0))  # however quick they come
    bench.fill(Journey(side.STEPS, cut, clock=every_report))
    assert stopped.is_set()
    assert bench.world.arrived(bench.disk)


def test_a_damaged_old_release_costs_bytes_only(bench: Bench, way: str) -> None:
    old = bench.disk / "system/releases" / OLD / SYSTEM
    data = bytearray(old.read_bytes())
    chance = random.Random(8)
    for _ in range(12):
        data[chance.randrange(len(data))] ^= 1
    old.write_bytes(data)
    bench.world.publish_patch()
    evidence = bench.fill()
    assert bench.world.arrived(bench.disk)
    assert evidence.damaged_pieces > 0


def test_a_disk_that_fills_up_is_said_and_gone_on_from(
    bench: Bench, tmp_path: Path, way: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to mount")
    place = bench.disk / "system"
    kept = tmp_path / "kept"
    place.rename(kept)
    place.mkdir()
    size = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file())
    room = size + bench.world.image_bytes + 3_000_000
    run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", place], timeout_s=20)
    try:
        shutil.copytree(kept, place, dirs_exist_ok=True)
        filler = place / "filler"
        filler.write_bytes(bytes(bench.world.image_bytes))
        with pytest.raises(DiskChoiceError, match="disk is full"):
            bench.fill()
        filler.unlink()

        def fill(standing: Standing) -> None:
            if standing.fraction > 0.1 and not filler.exists():
                run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], timeout_s=60, check=False)

        with pytest.raises((DiskChoiceError, ImageMismatchError)) as caught:
            bench.fill(Journey(side.STEPS, fill))
        assert "disk is full" in str(caught.value)
        assert not (bench.image.parent / "manifest.dsse.json").exists()
        filler.unlink()
        bench.fill()
        assert bench.world.arrived(bench.disk)
    finally:
        run(["umount", "-l", place], timeout_s=20)


def test_two_agents_at_once_do_not_mix(bench: Bench) -> None:
    refused: list[str] = []

    def second(standing: Standing) -> None:
        if standing.step == "fetch" and not refused:
            with pytest.raises(WrongStateError) as caught:
                bench.fill()
            refused.append(caught.value.message)

    bench.fill(Journey(side.STEPS, second))
    assert refused == [f"Another program is bringing {NEW} to this disk."]
    assert bench.world.arrived(bench.disk)


def test_a_server_that_cuts_every_answer_short_is_given_up(bench: Bench, way: str) -> None:
    bench.server.cut_after = 0
    with pytest.raises(StationError, match="cut short"):
        bench.fill()
    bench.server.cut_after = 30_000
    bench.fill()
    assert bench.world.arrived(bench.disk)


def test_a_station_without_ranges_costs_bytes_only(bench: Bench, way: str) -> None:
    bench.server.ranges = False
    bench.fill()
    assert bench.world.arrived(bench.disk)


def test_a_file_of_the_station_that_is_damaged_is_named(bench: Bench, way: str) -> None:
    path = bench.world.catalog.folder(NEW) / KERNEL
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageMismatchError, match=KERNEL):
        bench.fill()
    assert not (bench.image.parent / "manifest.dsse.json").exists()


def test_a_manifest_that_is_not_our_stations_is_refused_before_a_byte(bench: Bench) -> None:
    manifest = bench.world.catalog.get(NEW)
    with pytest.raises(UntrustedError):
        bench.fill(envelope=PrivateKey.generate().seal(manifest).encode())
    other = bench.world.catalog.get(OLD)
    with pytest.raises(UntrustedError):
        bench.fill(envelope=bench.world.station.key.seal(other).encode())
    assert not bench.image.parent.exists()
    assert bench.server.gets == []


def test_a_release_is_forgotten_whole(bench: Bench) -> None:
    bench.fill()
    side.forget(roots_of(bench.disk), NEW)
    assert not list(bench.disk.rglob(f"*/{NEW}"))
    assert (bench.disk / "system/releases" / OLD / SYSTEM).exists()
