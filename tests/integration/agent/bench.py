"""The bench that imaging is tested on: a station, a release, and a file in the place of a disk.

Its partitions are loop devices at the partitions' offsets, because not every machine that runs
tests gets nodes for partitions of a loop device.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
from pathlib import Path

import pytest

from provisioner.agent import image, mounting, partition
from provisioner.agent.journey import Journey
from provisioner.agent.layout import Slot
from provisioner.agent.surroundings import Home
from provisioner.errors import CommandError
from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork, Order
from provisioner.model.record import ImageEvidence
from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_IA32,
    LOADER_MOK,
    LOADER_SHIM,
    MANIFEST,
    SYSTEM,
    Manifest,
    Minimum,
    ReleaseKind,
)
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.release.manifest import list_files, write_manifest
from provisioner.run import run
from provisioner.stages.image import BiosLoader, judge_image
from tests.unit.agent.conftest import make_disk
from tests.unit.agent.station import StubStation

DISK_BYTES = 3 * 10**9
TOOLS = ["sfdisk", "mkfs.vfat", "mkfs.ext4", "mount", "umount", "lsblk"]


def boot_img() -> bytes:
    made = bytearray(512)
    struct.pack_into("<Q", made, 0x5C, 1)
    made[0x66:0x68], made[510:] = b"\xeb\x05", b"\x55\xaa"
    return bytes(made)


def core_img() -> bytes:
    made = bytearray(b"\x01" * 60_000)
    struct.pack_into("<QHH", made, 500, 2, -(-60_000 // 512) - 1, 0x820)
    return bytes(made)


CONTENT = {
    SYSTEM: os.urandom(60_000_000),
    KERNEL: os.urandom(1_000_000),
    INITRD: os.urandom(2_000_001),
    LOADER_BOOT_IMG: boot_img(),
    LOADER_CORE_IMG: core_img(),
    LOADER_SHIM: os.urandom(9_000),
    LOADER_GRUB: os.urandom(9_001),
    LOADER_MOK: os.urandom(9_002),
    LOADER_IA32: os.urandom(9_003),
}


class Bench:
    """A station, a release, a disk, and the order that brings them together."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.station = StubStation(folder / "served")
        self.release = folder / "served/releases/lab@2026.1"
        for name, data in CONTENT.items():
            (self.release / name).parent.mkdir(parents=True, exist_ok=True)
            (self.release / name).write_bytes(data)
        self.manifest = Manifest(
            name="lab", version="2026.1", number=1, kind=ReleaseKind.SYSTEM, suite="trixie",
            architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
            minimum=Minimum(memory_mib=1, disk_mb=2000), installed_bytes=1,
            files=list_files(self.release), components=(),
        )  # fmt: skip
        self.sign(self.station.key)
        self.disk = make_disk(size=DISK_BYTES)
        self.path = folder / self.disk.name
        with self.path.open("wb") as file:
            file.truncate(DISK_BYTES)
        self.home = Home(
            Surroundings.LIVE, self.station.url, self.station.key.public, PrivateKey.generate()
        )
        self.nodes: dict[int, Path] = {}
        self.slots: tuple[Slot, ...] = ()

    def sign(self, key: PrivateKey) -> None:
        write_manifest(self.release, self.manifest, key)

    @property
    def work(self) -> ImageWork:
        envelope = (self.release / MANIFEST).read_bytes()
        return ImageWork(
            disk=DiskRef.of(self.disk), release="lab@2026.1",
            manifest_sha256=hashlib.sha256(envelope).hexdigest(),
            release_path="/releases/lab@2026.1/", hostname="t-1", asset_tag="T-1",
            authorized_key="ssh-ed25519 AAAA station", kernel_arguments="quiet",
        )  # fmt: skip

    def image(self, waiting: object = None) -> ImageEvidence:
        self.station.machine_key = self.home.key.public
        order: Order = self.station.order(self.work)
        journey = Journey(image.STEPS)
        wait = waiting or (lambda _error, _pause: None)
        return image.image(order, self.work, self.home, journey, wait)  # type: ignore[arg-type]

    def judge(self, evidence: ImageEvidence) -> list[str]:
        loader = BiosLoader(CONTENT[LOADER_BOOT_IMG], CONTENT[LOADER_CORE_IMG])
        return judge_image(evidence, self.work, self.manifest, loader)

    def untouched(self) -> bool:
        return self.path.stat().st_blocks == 0

    def attach(
        self, disk: Path, slots: tuple[Slot, ...], sector: int, *_: object
    ) -> partition.Seen:
        """What the kernel does by itself on a real disk."""
        if slots != self.slots:
            self.detach()
            for slot in slots:
                self.nodes[slot.number] = _loop_device(disk, slot, sector)
            self.slots = slots
        return {slot.number: (slot.start, slot.length) for slot in slots}

    def detach(self) -> None:
        for node in self.nodes.values():
            run(["losetup", "--detach", node], timeout_s=20, check=False)
        self.nodes.clear()

    def close(self) -> None:
        for point in mounting.mounts_below(mounting.ROOT, mounting.MOUNTINFO.read_text()):
            run(["umount", point], timeout_s=20, check=False)
        self.detach()
        self.station.close()


def _loop_device(disk: Path, slot: Slot, sector: int) -> Path:
    """Another program may take the device that losetup found: then it looks again."""
    where = ["-o", str(slot.start * sector), "--sizelimit", str(slot.length * sector)]
    for _ in range(10):
        done = run(["losetup", "--find", "--show", *where, disk], timeout_s=20, check=False)
        if done.code == 0:
            return Path(done.stdout.strip())
    raise AssertionError(done.stderr)


def kernel_knows(kind: str) -> bool:
    with contextlib.suppress(CommandError):
        run(["modprobe", "--quiet", kind], timeout_s=20, check=False)
    return kind in Path("/proc/filesystems").read_text().split()


def flip(bench: Bench, marks: bytes) -> None:
    """Flip one bit of the disk where it holds `marks`."""
    with bench.path.open("r+b") as file:
        at, back = 0, b""
        while data := file.read(1 << 22):
            found = (back + data).find(marks)
            if found >= 0:
                file.seek(at - len(back) + found)
                file.write(bytes([marks[0] ^ 1]))
                file.flush()
                os.fsync(file.fileno())
                return
            at, back = at + len(data), data[-len(marks) :]
    pytest.fail("not on the disk")
