"""Imaging for real, natively: sfdisk, mkfs and mount on a file in the place of a disk.

The station's own judge says whether it is proved.
"""

from __future__ import annotations

import functools
import os

import pytest

from provisioner.agent import image, mounting, partition
from provisioner.errors import CommandError, DiskChoiceError, ImageMismatchError, ProofMissingError
from provisioner.model.release import KERNEL, LOADER_SHIM, SYSTEM
from tests.integration.agent.bench import CONTENT, TOOLS, Bench, flip

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts"),
]


def test_a_disk_is_imaged_and_proved(bench: Bench) -> None:
    evidence = bench.image()
    assert bench.judge(evidence) == []
    assert evidence.bytes_fetched == sum(len(data) for data in CONTENT.values())
    paths = {item.path for item in evidence.read_back}
    assert {"state:/etc/hostname", "state:/root/.ssh/authorized_keys"} <= paths
    assert not any("agent.json" in path or path.endswith("ed25519_key") for path in paths)


def test_two_machines_share_no_identity(bench: Bench) -> None:
    first, second = bench.image(), bench.image()
    assert bench.judge(second) == []
    for field in ("ssh_host_keys", "installed_key"):
        assert getattr(first, field) != getattr(second, field)
    own = [
        {i.path: i.sha256 for i in evidence.read_back}["state:/etc/machine-id"]
        for evidence in (first, second)
    ]
    assert own[0] != own[1]
    uuids = [{p.label: p.filesystem_uuid for p in e.partitions} for e in (first, second)]
    assert uuids[0]["state"] != uuids[1]["state"]
    assert uuids[0]["ESP"] != uuids[1]["ESP"]


class CutShortError(Exception):
    """Stands for a power cut."""


def power_cut(*_: object) -> None:
    raise CutShortError


def test_an_interrupted_download_is_continued(bench: Bench) -> None:
    bench.station.cut_after = 40_000_000
    with pytest.raises(CutShortError):
        bench.image(power_cut)
    bench.station.cut_after = None
    evidence = bench.image()
    assert bench.judge(evidence) == []
    assert evidence.bytes_resumed == 40_000_000


def test_nothing_is_startable_before_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.image()  # an older system that could be started
    monkeypatch.setattr(image, "read_back", power_cut)
    with pytest.raises(CutShortError):
        bench.image()
    core = next(slot for slot in bench.slots if slot.label == "bios")
    with bench.path.open("rb") as file:
        file.seek(core.start * 512)
        assert not any(file.read(60_000))
    esp = bench.nodes[2]
    with mounting.mounted(esp, partition.KINDS["ESP"], "ESP", read_only=True) as root:
        assert not (root / "EFI/BOOT").exists()


def test_a_half_file_that_was_damaged_is_fetched_again(bench: Bench) -> None:
    bench.station.cut_after = 40_000_000
    with pytest.raises(CutShortError):
        bench.image(power_cut)
    bench.station.cut_after = None
    flip(bench, CONTENT[SYSTEM][5_000_000:5_000_064])
    evidence = bench.image()
    assert bench.judge(evidence) == []
    assert evidence.bytes_resumed == 0


@pytest.mark.parametrize("path", [SYSTEM, KERNEL, LOADER_SHIM])
def test_a_flipped_bit_on_the_disk_is_found(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    honest = image.install

    def install_then_flip(*args: object) -> object:
        totals = honest(*args)  # type: ignore[arg-type]
        flip(bench, CONTENT[path][4096:4160])
        return totals

    monkeypatch.setattr(image, "install", install_then_flip)
    with pytest.raises(ImageMismatchError, match="came back"):
        bench.image()


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("again", [False, True])
def test_a_tool_that_does_nothing_never_gives_evidence(
    bench: Bench, tool: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if again:
        bench.image()
    if again and tool == "sfdisk":
        pytest.skip("the table of the interrupted run is used, and proved, without sfdisk")
    if tool == "mkfs.vfat" and partition.KINDS["ESP"] != "vfat":
        pytest.skip("this kernel knows no FAT; tests/unit/agent/test_partition.py has the case")
    stubs = bench.folder / "stubs"
    stubs.mkdir()
    (stubs / tool).write_text("#!/bin/sh\nexit 0\n")
    (stubs / tool).chmod(0o755)
    monkeypatch.setattr(mounting, "unmount", functools.partial(mounting.unmount, tries=2))
    os.environ["PATH"] = f"{stubs}:{os.environ['PATH']}"
    with pytest.raises((ProofMissingError, CommandError, DiskChoiceError)):
        bench.image()
    os.environ["PATH"] = os.environ["PATH"].removeprefix(f"{stubs}:")
