"""Packing is believed only after a look at what came out."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from provisioner.errors import ProofMissingError
from provisioner.release import squashfs
from provisioner.run import Finished


def superblock(epoch: int = 99, block: int = 131072, used: int = 4096, packer: int = 6) -> bytes:
    return struct.pack(
        "<IIIIIHHHHHHQQ", 0x73717368, 1, epoch, block, 0, packer, 17, 0, 1, 4, 0, 0, used
    ).ljust(4096, b"\0")


def test_good(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(superblock())
    squashfs.check(path, block_kib=128, epoch=99)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(4096),
        superblock(epoch=98),
        superblock(block=65536),
        superblock(packer=1),
        superblock(used=4097),
        superblock(used=0),
    ],
)
def test_bad(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "s"
    path.write_bytes(data)
    with pytest.raises(ProofMissingError):
        squashfs.check(path, block_kib=128, epoch=99)


def test_a_packer_that_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(squashfs, "run", lambda *_, **__: Finished(("mksquashfs",), 0, "", ""))
    with pytest.raises(ProofMissingError):
        squashfs.pack(tmp_path, tmp_path / "out", level=1, block_kib=128, epoch=1)


def test_a_tree_without_libzstd_is_packed_with_the_stations(tmp_path: Path) -> None:
    assert squashfs.own_library(tmp_path) is None
    library = tmp_path / squashfs.LIBRARY_FOLDER / "libzstd.so.1"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"no library")
    assert squashfs.own_library(tmp_path) is None


def test_the_packer_gets_the_trees_own_libzstd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []

    def run(*_: object, env: dict[str, str], **__: object) -> None:
        seen.append(env)
        (tmp_path / "out").write_bytes(superblock(epoch=1))

    monkeypatch.setattr(squashfs, "run", run)
    for library in (Path("/tree/libzstd.so.1"), None):
        squashfs.pack(tmp_path, tmp_path / "out", level=1, block_kib=128, epoch=1, library=library)
    assert seen[0]["LD_PRELOAD"] == "/tree/libzstd.so.1"
    assert "LD_PRELOAD" not in seen[1]
