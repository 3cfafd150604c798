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
