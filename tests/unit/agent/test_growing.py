"""Proof while a file grows, and where it lies afterwards."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path

import pytest

from provisioner.agent import growing
from provisioner.agent.extents import Extent, extents, join
from provisioner.agent.growing import GrowingProof, Grown, still_there
from provisioner.errors import DiskFaultError
from provisioner.swarm.torrent import TorrentFile, make_torrent

PIECE = 64 * 1024
DATA = os.urandom(30 * PIECE + 99)


@pytest.fixture
def entry(tmp_path: Path) -> TorrentFile:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/file").write_bytes(DATA)
    made = make_torrent(tmp_path / "served", "lab@2026.1", PIECE)
    assert made is not None
    return made.files[0]


@pytest.fixture
def proof(monkeypatch: pytest.MonkeyPatch) -> GrowingProof:
    monkeypatch.setattr(growing, "PATIENCE_S", 0.3)
    monkeypatch.setattr(growing, "PAUSE_S", 0.01)
    return GrowingProof()


def test_a_right_file_is_proved(proof: GrowingProof, entry: TorrentFile, tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(DATA)
    proof.begin(path, entry)
    proof.turn(lambda: {3, 1})
    assert proof.end()
    proof.drop()
    assert set(proof.grown) == {"file"}
    assert proof.grown["file"].entry == entry


@pytest.mark.parametrize("at", [0, 7 * PIECE + 5, len(DATA) - 1])
def test_any_wrong_byte_is_found(
    proof: GrowingProof, entry: TorrentFile, tmp_path: Path, at: int
) -> None:
    bad = bytearray(DATA)
    bad[at] ^= 1
    (tmp_path / "part").write_bytes(bad)
    proof.begin(tmp_path / "part", entry)
    with pytest.raises(DiskFaultError, match=f"at byte {at // PIECE * PIECE}"):
        proof.end()
    assert proof.grown == {}


def test_pieces_are_read_back_many_at_a_time(
    proof: GrowingProof, entry: TorrentFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each by itself would cost a hard disk two seeks for each."""
    monkeypatch.setattr(growing, "BATCH_BYTES", 3 * PIECE)
    (tmp_path / "part").write_bytes(DATA)
    proof.begin(tmp_path / "part", entry)
    work = proof._work
    assert work is not None
    proof.turn(lambda: {4, 7})
    assert work.known == set()
    time.sleep(0.02)
    proof.turn(lambda: {4, 7, 2})
    assert work.known == {2, 4, 7}
    assert proof.end()


def test_a_piece_that_is_written_a_moment_later_is_waited_for(
    proof: GrowingProof, entry: TorrentFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PATIENCE_S", 10.0)
    monkeypatch.setattr(growing, "BATCH_BYTES", 1)
    path = tmp_path / "part"
    path.write_bytes(bytes(len(DATA)))
    proof.begin(path, entry)
    proof.turn(lambda: {0})
    later = threading.Timer(0.1, lambda: path.write_bytes(DATA))
    later.start()
    assert proof.end()
    later.join()


def test_a_fetch_that_failed_lets_go_at_once(
    proof: GrowingProof, entry: TorrentFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PATIENCE_S", 1000.0)
    (tmp_path / "part").write_bytes(bytes(len(DATA)))
    proof.begin(tmp_path / "part", entry)
    proof.turn(lambda: set(range(10)))
    proof.drop()
    assert str(tmp_path / "part") not in {
        str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()
    }
    assert proof.grown == {}


def grown_at(path: Path, entry: TorrentFile) -> Grown:
    places = extents(path, entry.size)
    if places is None:
        pytest.skip("this file system does not say where a file lies")
    return Grown(entry, True, places)


def test_a_file_that_was_replaced_is_noticed(entry: TorrentFile, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    grown = grown_at(path, entry)
    assert still_there(grown, path)
    (tmp_path / "other").write_bytes(DATA)
    (tmp_path / "other").replace(path)
    assert not still_there(grown, path)


def test_samples_are_read_again(entry: TorrentFile, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    grown = grown_at(path, entry)
    with path.open("r+b") as file:
        file.seek(5 * PIECE)
        file.write(b"x")
    if extents(path, entry.size) != grown.places:
        pytest.skip("this file system writes elsewhere")
    assert not still_there(grown, path, choose=random.Random(1))


@pytest.mark.parametrize(
    ("found", "size", "joined"),
    [
        ([(0, 4096, 8192)], 8000, ((0, 4096, 8192),)),
        ([(0, 4096, 4096), (4096, 8192, 4096)], 8192, ((0, 4096, 8192),)),
        ([(0, 4096, 4096), (4096, 40960, 4096)], 8192, ((0, 4096, 4096), (4096, 40960, 4096))),
        ([(0, 4096, 4096), (8192, 40960, 4096)], 8192, None),  # a hole
        ([(0, 4096, 4096)], 8192, None),  # an end that is missing
        ([(4096, 4096, 4096)], 8192, None),
        ([], 1, None),
    ],
)
def test_extents(found: list[Extent], size: int, joined: tuple[Extent, ...] | None) -> None:
    assert join(found, size) == joined
