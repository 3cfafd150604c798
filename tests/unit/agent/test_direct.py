"""Direct input and output on real files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from provisioner.agent import direct
from provisioner.agent.disk import OpenDisk
from provisioner.errors import DiskFaultError


@pytest.mark.parametrize("size", [0, 1, 511, 512, 4096, 4097, direct.BLOCK, direct.BLOCK + 7])
def test_a_file_of_any_length_is_read_back(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(data)
    found = direct.digest_of_file(path)
    assert (found.size, found.sha256) == (size, hashlib.sha256(data).hexdigest())


def test_what_is_read_back_is_on_the_disk_not_in_memory(target: OpenDisk) -> None:
    room = direct.buffer(4096)
    room[:] = b"A" * 4096
    direct.write_exactly(target.handle, 8192, room)
    assert direct.read_exactly(target.handle, 8192, 10) == b"A" * 10
    assert direct.digest_of_range(target.path, 8192, 100).direct


def test_a_file_shorter_than_promised_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(1000))
    with pytest.raises(DiskFaultError):
        direct.sha256_direct(path, 5000)


def test_a_file_system_without_direct_reading_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        if flags & os.O_DIRECT:
            raise OSError(22, "Invalid argument")
        return honest(path, flags, *more)  # type: ignore[arg-type]

    path = tmp_path / "file"
    path.write_bytes(b"hello")
    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr(direct, "drop_caches", lambda: None)
    found = direct.digest_of_file(path)
    assert (found.direct, found.sha256) == (False, hashlib.sha256(b"hello").hexdigest())


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(direct.BLOCK * 2 + 5))
    seen: list[tuple[int, int]] = []
    direct.digest_of_file(path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (direct.BLOCK * 2 + 5,) * 2
