"""Imaging of releases with a torrent: proved while they grow."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from provisioner.agent import growing, image, mounting, partition, readback, target
from provisioner.agent.direct import digest_of_file
from provisioner.errors import DiskFaultError, UntrustedError
from provisioner.model.release import INITRD, KERNEL, SYSTEM
from provisioner.swarm.torrent import TORRENT
from tests.integration.agent.bench import CONTENT, Bench, flip

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts"),
]


def test_a_release_with_a_torrent_is_proved_while_it_grows(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    honest = digest_of_file

    def digest(path: Path, *words: object) -> object:
        read.append(path.name)
        return honest(path, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(readback, "digest_of_file", digest)
    evidence = carried.image()
    assert carried.judge(evidence) == []
    large = {item.path for item in evidence.read_back if item.merkle}
    assert large == {SYSTEM, INITRD}
    assert SYSTEM not in read  # it was not read twice
    assert KERNEL in read
    assert evidence.direct_io


def test_a_torrent_that_was_changed_is_refused_before_a_byte(carried: Bench) -> None:
    path = carried.release / TORRENT
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UntrustedError):
        carried.image()
    assert carried.untouched()


def test_a_disk_that_keeps_other_bytes_is_found_while_the_file_grows(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "PATIENCE_S", 0.5)
    honest = growing.GrowingProof.end

    def flip_then_end(proof: growing.GrowingProof) -> bool:
        if proof._work and proof._work.entry.path == SYSTEM:
            proof._work.known.clear()  # look at every piece again, now
            proof._work.proved.clear()
            flip(carried, CONTENT[SYSTEM][40_000_000:40_000_064])
        return honest(proof)

    monkeypatch.setattr(growing.GrowingProof, "end", flip_then_end)
    with pytest.raises(DiskFaultError, match="came back"):
        carried.image()


def test_a_file_that_lies_elsewhere_afterwards_is_read_anew(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = image.install

    def install_then_move(
        job: target.Job, parts: dict[str, partition.Part], *more: object
    ) -> object:
        totals = honest(job, parts, *more)  # type: ignore[arg-type]
        with mounting.mounted(parts["system"].device, "ext4", "system") as root:
            path = root / "releases/lab@2026.1" / SYSTEM
            shutil.copyfile(path, path.with_name("copy"))
            path.with_name("copy").replace(path)
        return totals

    monkeypatch.setattr(image, "install", install_then_move)
    evidence = carried.image()
    assert carried.judge(evidence) == []
    back = {item.path: item for item in evidence.read_back}
    assert back[SYSTEM].merkle is None
    assert back[SYSTEM].sha256 == carried.manifest.file(SYSTEM).sha256
