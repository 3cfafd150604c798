"""Imaging for real, natively: sfdisk, mkfs and mount on a file in the place of a disk.

Its partitions are loop devices at the partitions' offsets, because not every machine that runs
tests gets nodes for partitions of a loop device. The station's own judge says whether it is
proved.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import growing, image, mounting, partition
from provisioner.agent.direct import digest_of_file
from provisioner.agent.disk import opened_exclusively
from provisioner.agent.journey import Journey
from provisioner.agent.layout import Slot
from provisioner.agent.surroundings import Home
from provisioner.errors import (
    CommandError,
    DiskChoiceError,
    DiskFaultError,
    ImageMismatchError,
    NotFoundError,
    ProofMissingError,
    ProvisionerError,
    UntrustedError,
)
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
from provisioner.release.build import list_carried
from provisioner.release.manifest import list_files, write_manifest
from provisioner.run import run
from provisioner.stages.image import BiosLoader, judge_image
from provisioner.swarm.torrent import TORRENT
from tests import mounts
from tests.unit.agent.conftest import make_disk
from tests.unit.agent.station import StubStation

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts"),
]
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


@pytest.fixture(scope="module", autouse=True)
def own_mounts() -> Iterator[None]:
    """A mount namespace of our own: a copy that another program takes of the common one would
    keep our file systems busy after we unmounted them."""
    try:
        with mounts.own_mounts():
            yield
    except mounts.NoNamespaceError as error:
        pytest.skip(f"no mount namespace here: {error}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "served").mkdir()
    made = Bench(tmp_path)
    opened = functools.partial(opened_exclusively, find=lambda _ref: made.disk, dev=tmp_path)
    monkeypatch.setattr(image, "opened_exclusively", opened)
    monkeypatch.setattr(mounting, "ROOT", tmp_path / "mnt")
    if not _kernel_knows("vfat"):  # a small kernel; the virtual PCs test FAT
        monkeypatch.setitem(partition.KINDS, "ESP", "ext4")
    monkeypatch.setattr(partition, "wait_for_kernel", made.attach)
    monkeypatch.setattr(partition, "partition_device", lambda _disk, n: made.nodes[n])
    path = os.environ["PATH"]
    yield made
    os.environ["PATH"] = path
    made.close()


def test_a_disk_is_imaged_and_proved(bench: Bench) -> None:
    evidence = bench.image()
    assert bench.judge(evidence) == []
    assert evidence.bytes_fetched == sum(len(data) for data in CONTENT.values())
    paths = {item.path for item in evidence.read_back}
    assert {"state:/etc/hostname", "state:/root/.ssh/authorized_keys"} <= paths
    assert not any("agent.json" in path or path.endswith("ed25519_key") for path in paths)


@pytest.fixture
def carried(bench: Bench) -> Bench:
    """The same release with a torrent, as the builder publishes it."""
    files = list_carried(bench.release, bench.manifest.id, ReleaseKind.SYSTEM)
    bench.manifest = bench.manifest.model_copy(update={"files": files})
    bench.sign(bench.station.key)
    return bench


def test_a_release_with_a_torrent_is_proved_while_it_grows(
    carried: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    honest = digest_of_file

    def digest(path: Path, *words: object) -> object:
        read.append(path.name)
        return honest(path, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(image, "digest_of_file", digest)
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
        job: image.Job, parts: dict[str, partition.Part], *more: object
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


def _loop_device(disk: Path, slot: Slot, sector: int) -> Path:
    """Another program may take the device that losetup found: then it looks again."""
    where = ["-o", str(slot.start * sector), "--sizelimit", str(slot.length * sector)]
    for _ in range(10):
        done = run(["losetup", "--find", "--show", *where, disk], timeout_s=20, check=False)
        if done.code == 0:
            return Path(done.stdout.strip())
    raise AssertionError(done.stderr)


def _kernel_knows(kind: str) -> bool:
    with contextlib.suppress(CommandError):
        run(["modprobe", "--quiet", kind], timeout_s=20, check=False)
    return kind in Path("/proc/filesystems").read_text().split()


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


def test_an_unsigned_manifest_is_refused_before_a_byte(bench: Bench) -> None:
    bench.sign(PrivateKey.generate())
    with pytest.raises(UntrustedError):
        bench.image()
    assert bench.untouched()


def test_another_manifest_than_ordered_is_refused_before_a_byte(bench: Bench) -> None:
    order = bench.station.order(bench.work, machine_key=bench.home.key.public)
    assert isinstance(order.work, ImageWork)
    bench.manifest = bench.manifest.model_copy(update={"number": 2})
    bench.sign(bench.station.key)
    with pytest.raises(UntrustedError):
        image.image(order, order.work, bench.home, Journey(image.STEPS), lambda *_: None)
    assert bench.untouched()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": ReleaseKind.LIVE}, UntrustedError),
        ({"name": "other"}, UntrustedError),
        ({"minimum": Minimum(memory_mib=2**23, disk_mb=1)}, DiskChoiceError),
        ({"minimum": Minimum(memory_mib=1, disk_mb=10**6)}, DiskChoiceError),
        ({"files": ()}, ImageMismatchError),
    ],
)
def test_a_release_that_does_not_fit_is_refused_before_a_byte(
    bench: Bench, change: dict[str, object], error: type[ProvisionerError]
) -> None:
    bench.manifest = bench.manifest.model_copy(update=change)
    bench.sign(bench.station.key)
    with pytest.raises(error):
        bench.image()
    assert bench.untouched()


def test_a_release_that_was_withdrawn_is_told(bench: Bench) -> None:
    shutil.move(bench.release / KERNEL, bench.folder)
    with pytest.raises(NotFoundError):
        bench.image()


def test_mounts_that_a_killed_agent_left_are_removed(bench: Bench) -> None:
    bench.image()
    point = mounting.ROOT / "system"
    run(["mount", bench.nodes[3], point], timeout_s=20)
    with contextlib.suppress(ProvisionerError):
        mounting.release_leftovers()
    assert mounting.mounts_below(point, mounting.MOUNTINFO.read_text()) == []
