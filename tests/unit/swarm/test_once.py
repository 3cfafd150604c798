"""Files of one piece, and what of a piece is asked for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from provisioner.swarm import merkle
from provisioner.swarm.once import all_carried, document
from provisioner.swarm.torrent import TORRENT, Torrent, hash_file, read_torrent
from tests.unit.swarm.test_torrent import manifest_of


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 70_000, 262_144, 262_145, 1_000_003])
def test_a_root_is_all_there_is_to_know_of_a_file_in_one_piece(tmp_path: Path, size: int) -> None:
    """The root does not depend on how a torrent cuts the file."""
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    root = hash_file("f", tmp_path / "f", 64 * 1024).root
    one = document("f", size, root)
    assert len(one.pieces) == 1
    assert one.holds(0, data)
    assert not one.holds(0, data[:-1] + bytes([data[-1] ^ 1]))
    assert read_torrent(Torrent("r", (one,)).alone("f")).files[0].root == root


def test_a_single_block_has_its_own_digest() -> None:
    data = os.urandom(9_000)
    assert merkle.root_of(merkle.leaves_of(data), 1) == hashlib.sha256(data).digest()


def test_everything_in_a_manifest_is_carried(tmp_path: Path) -> None:
    (tmp_path / "loader").mkdir()
    (tmp_path / "system.squashfs").write_bytes(os.urandom(1_500_000))
    (tmp_path / "loader/grub").write_bytes(os.urandom(70_000))
    (tmp_path / "empty").write_bytes(b"")
    manifest = manifest_of(tmp_path)
    torrent = read_torrent((tmp_path / TORRENT).read_bytes())
    found = all_carried(manifest, torrent)
    assert {entry.path for entry in found.files} == {"system.squashfs", "loader/grub", TORRENT}
    grub, data = found.file("loader/grub"), (tmp_path / "loader/grub").read_bytes()
    assert grub is not None
    assert grub.holds(0, data)
