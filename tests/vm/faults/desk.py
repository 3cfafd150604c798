"""One real station and one machine at a time, whose only disk is a shaky one.

Real: the station's store, its dialogue, its orders and judges; the agent's code for each verb,
down to the kernel's block layer. Not real: the kernel shows no partitions of a loop device
everywhere, so they are loop devices of their own; and the disk is found without lsblk listing
it, which lists no loop devices for us (lsblk is asked all the same: it may be a stub).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import shutil
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner import run as running
from provisioner.agent import diagnose, direct, image, mounting, partition, target, wipe, worker
from provisioner.agent.disk import choose_disk, opened_exclusively
from provisioner.agent.layout import Slot
from provisioner.agent.lsblk import read_disks
from provisioner.agent.memory import UsedOrders
from provisioner.agent.orders import accept
from provisioner.agent.surroundings import Home
from provisioner.errors import CommandError
from provisioner.lifecycle import Milestone, RunState, Verb, stage
from provisioner.model.batch import BatchPlan, Policy
from provisioner.model.hardware import Disk, DiskRef, Hardware, Transport
from provisioner.model.order import Order, Profile
from provisioner.model.record import Record
from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_IA32,
    LOADER_MOK,
    LOADER_SHIM,
    SYSTEM,
    Manifest,
    Minimum,
    ReleaseKind,
)
from provisioner.model.wire import Surroundings
from provisioner.release.build import list_carried
from provisioner.release.manifest import list_files, write_manifest
from provisioner.settings import Settings
from provisioner.store.tables import MachineRow, RunRow
from provisioner.workshop import desk, runs
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import open_station
from tests.factories import SCHOOL, add_machine, make_hardware
from tests.unit.agent.station import StubStation
from tests.unit.workshop.robot import Robot
from tests.vm.faults.ledger import Said
from tests.vm.faults.shaky_disk import ShakyDisk, loop_device
from tests.vm.faults.truth import core_lies_there, is_blank, why_not_installed

RELEASE, CARRIED = "lab@2026.1", "lab@2026.2"
DISK_BYTES = 732_416 * 4096  # not far from 3 GB
MIB = 1024 * 1024
CLOCKS = {"1970": 60.0, "2001": 978_307_200.0, "2038": 2_147_483_640.0, "2099": 4_070_908_800.0}
# Found before a test puts stubs in front of them.
UMOUNT, LOSETUP = (shutil.which(name) or name for name in ("umount", "losetup"))


def _boot_img() -> bytes:
    made = bytearray(os.urandom(512))
    struct.pack_into("<Q", made, 0x5C, 1)
    made[0x66:0x68], made[510:] = b"\xeb\x05", b"\x55\xaa"
    return bytes(made)


def _core_img(length: int = 30_000) -> bytes:
    made = bytearray(os.urandom(length))
    struct.pack_into("<QHH", made, 500, 2, -(-length // 512) - 1, 0x820)
    return bytes(made)


class Desk:
    """The station; `run_stage` lets a new machine carry out one stage and tells what was said."""

    def __init__(
        self, folder: Path, disk: ShakyDisk, state: Path | None = None, **policy: Any
    ) -> None:
        self.folder, self.disk = folder, disk
        self.files = StubStation(folder / "served")
        settings = Settings(state_dir=(state or folder) / "state")
        self.station = open_station(settings, url=self.files.url)
        self.dialogue = Dialogue(self.station)
        self.numbers = itertools.count(1)
        self._release(RELEASE, list_files)
        self._release(CARRIED, lambda f: list_carried(f, CARRIED, ReleaseKind.SYSTEM))
        self.batches: dict[str, str] = {}
        self.slots: tuple[Slot, ...] = ()
        self.nodes: dict[int, Path] = {}
        self.policy = policy
        self.release = RELEASE
        self.patience_s = 60.0  # with an external command
        self.clock: float | None = None  # what the machine's clock says, if not the time

    def _release(self, name: str, files: Callable[[Path], Any]) -> None:
        folder = self.station.settings.releases_dir / name
        for path, data in {
            SYSTEM: os.urandom(3_000_000), KERNEL: os.urandom(300_000),
            INITRD: os.urandom(2_000_001), LOADER_BOOT_IMG: _boot_img(),
            LOADER_CORE_IMG: _core_img(), LOADER_SHIM: os.urandom(9_000),
            LOADER_GRUB: os.urandom(9_001), LOADER_MOK: os.urandom(9_002),
            LOADER_IA32: os.urandom(9_003),
        }.items():  # fmt: skip
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        manifest = Manifest(
            name="lab", version=name.partition("@")[2], number=1, kind=ReleaseKind.SYSTEM,
            suite="trixie", architecture="amd64", source_date_epoch=0, recipe_sha256="0" * 64,
            minimum=Minimum(memory_mib=512, disk_mb=2), installed_bytes=1, components=(),
            files=files(folder),
        )  # fmt: skip
        write_manifest(folder, manifest, self.station.key)
        served = self.folder / "served/releases"
        served.mkdir(parents=True, exist_ok=True)
        (served / name).symlink_to(folder)

    @property
    def facts(self) -> Disk:
        """The disk as lsblk would list it."""
        return Disk(
            name=self.disk.device.name, serial="SHAKY-1", model="Shaky", wwn="",
            size_bytes=self.disk.size, logical_sector_bytes=self.disk.sector,
            physical_sector_bytes=self.disk.sector, transport=Transport.SATA, removable=False,
        )  # fmt: skip

    def run_stage(self, verb: Verb, **policy: Any) -> Said:
        """A new machine at the door of a stage carries it out once."""
        robot = self.machine(verb, **policy)
        return self.carry_out(robot, verb)

    def machine(self, verb: Verb, **policy: Any) -> Robot:
        """A machine that has proved all that `verb` needs; its disk is the shaky one."""
        number = next(self.numbers)
        parts = make_hardware(number, disks=(self.facts,), memory_mib=2048)
        # Two machines with the same disk are a question to a person; here it is not asked.
        with self.station.database.transaction() as session:
            for row in session.query(MachineRow):
                row.hardware = make_hardware(9000 + row.id, disks=()).model_dump(mode="json")
                row.milestone = Milestone.RETIRED
            batch = self._batch(session, {**self.policy, **policy})
            add_machine(session, number, stage(verb).needs, parts, batch)
        robot = Robot(self.dialogue, parts)
        robot.register()
        return robot

    def carry_out(self, robot: Robot, verb: Verb) -> Said:
        """Poll for the order, do it with the agent's code, send the record, ask the store."""
        home = Home(Surroundings.LIVE, self.files.url, self.station.key.public, robot.key)
        sealed = robot.poll().order
        if sealed is None:
            return self.said(robot, verb)
        order = accept(sealed, home, UsedOrders())
        record = self.work(order, home)
        robot.send(order, record.evidence, record.problem)
        return self.said(robot, verb)

    def work(self, order: Order, home: Home) -> Record:
        """What the agent's worker does with an order, in this thread."""

        def cut(error: Exception, _pause: float) -> None:
            raise error

        with pytest.MonkeyPatch.context() as patch, at(self, patch):
            return worker.make_record(
                order, lambda: worker.carry_out(order, lambda _: None, home, cut)
            )

    def said(self, robot: Robot, verb: Verb) -> Said:
        """What the store holds about the machine's latest run of a stage."""
        with self.station.database.reading() as session:
            row = session.query(MachineRow).order_by(MachineRow.id.desc()).first()
            assert row is not None
            run = runs.latest(session, row, verb)
            proved = Milestone(row.milestone).rank >= stage(verb).gives.rank
            return _said(run, row, proved)

    def evidence(self, verb: Verb) -> dict[str, Any]:
        """What the latest machine's latest run of a stage left."""
        with self.station.database.reading() as session:
            row = session.query(MachineRow).order_by(MachineRow.id.desc()).first()
            assert row is not None
            run = runs.latest(session, row, verb)
            return dict(run.evidence or {}) if run else {}

    def _batch(self, session: Any, policy: dict[str, Any]) -> str:
        key = f"{self.release} {sorted(policy.items())}"
        if key not in self.batches:
            name = f"b{len(self.batches) + 1}"
            plan = BatchPlan(name=name, school=SCHOOL, release=self.release, size=1000,
                             policy=Policy(**policy))  # fmt: skip
            desk.create_batch(self.station, session, plan, "test")
            desk.close_batch(self.station, session, name, "test")
            self.batches[key] = name
        return self.batches[key]

    # What is true

    def blank(self) -> bool:
        return is_blank(self.disk.medium, self.disk.size)

    def why_not_installed(self) -> list[str]:
        source = self.station.settings.releases_dir / self.release
        esp = f"releases/{self.release}"
        wanted = {
            ("system", f"releases/{self.release}/{SYSTEM}"): SYSTEM,
            ("system", f"releases/{self.release}/{LOADER_CORE_IMG}"): LOADER_CORE_IMG,
            ("ESP", f"{esp}/{KERNEL}"): KERNEL, ("ESP", f"{esp}/{INITRD}"): INITRD,
            ("ESP", "EFI/BOOT/BOOTX64.EFI"): LOADER_SHIM,
            ("ESP", "EFI/BOOT/grubx64.efi"): LOADER_GRUB,
            ("ESP", "EFI/BOOT/mmx64.efi"): LOADER_MOK,
            ("ESP", "EFI/BOOT/BOOTIA32.EFI"): LOADER_IA32,
        }  # fmt: skip
        files = {place: source / name for place, name in wanted.items()}
        medium, sector = self.disk.medium, self.disk.sector
        wrong = why_not_installed(medium, self.folder, files, sector)
        if not wrong and not core_lies_there(medium, source / LOADER_CORE_IMG, sector):
            wrong.append("core.img differs")
        return wrong

    # What a kernel does by itself

    def attach(
        self, disk: Path, slots: tuple[Slot, ...], sector: int, *_: object
    ) -> partition.Seen:
        if slots != self.slots or not self.nodes:
            self.detach()
            backing = self.disk.folder / "fuse/disk"
            for slot in slots:
                self.nodes[slot.number] = loop_device(
                    backing, start=slot.start * sector, size=slot.length * sector, sector=sector
                )
            self.slots = slots
        unit = sector // 512
        return {slot.number: (slot.start * unit, slot.length * unit) for slot in slots}

    def detach(self) -> None:
        """What a restart does: nothing is mounted, no partition is held."""
        for point in mounting.mounts_below(mounting.ROOT, mounting.MOUNTINFO.read_text()):
            running.run([UMOUNT, "--lazy", point], timeout_s=20, check=False)
        for node in self.nodes.values():
            running.run([LOSETUP, "--detach", node], timeout_s=20, check=False)
        self.nodes.clear()

    def close(self) -> None:
        self.detach()
        self.files.close()
        self.station.database.close()


def _said(run: RunRow | None, machine: MachineRow, proved: bool) -> Said:
    if run is None:
        asked = machine.needs_hand or {}
        return Said(False, f"asks: {asked.get('message', 'nothing was ordered')}")
    success = run.state == RunState.SUCCEEDED
    assert proved or not success, "a stage succeeded and its milestone was not raised"
    assert success or not proved, "a milestone without a stage that succeeded"
    problem = run.problem or {}
    kind = f" {problem.get('kind')}: {problem.get('message', '')}" if problem else ""
    return Said(success, f"{run.state}{kind}")


@contextlib.contextmanager
def at(desk: Desk, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the agent's code find itself on the machine whose disk this is."""

    def find(ref: DiskRef) -> Disk:
        read_disks()
        return choose_disk(ref, (desk.facts,))

    def look(*_: object) -> Hardware:
        read_disks()
        return make_hardware(1, disks=(desk.facts,), memory_mib=2048)

    opened = functools.partial(opened_exclusively, find=find)
    for module in (wipe, image, target):
        patch.setattr(module, "opened_exclusively", opened)
    for holder in (diagnose, image):
        patch.setattr(holder, "read_hardware", look)
    patch.setattr(mounting, "ROOT", desk.folder / "mnt")
    if not _kernel_knows("vfat"):  # a small kernel; whole machines test FAT
        patch.setitem(partition.KINDS, "ESP", "ext4")
    patch.setattr(partition, "wait_for_kernel", desk.attach)
    patch.setattr(partition, "partition_device", lambda _disk, number: desk.nodes[number])
    # They are for all disks of this computer. Ours is unmounted before it is read, and read past
    # the page cache.
    patch.setattr(os, "sync", lambda: None)
    patch.setattr(direct, "DROP_CACHES", desk.folder / "drop")
    shallow = diagnose.Depth(memory_seconds=1, memory_mib=8, load_seconds=1, surface_places=24)
    patch.setitem(diagnose.DEPTHS, Profile.QUICK, shallow)
    impatient(patch, desk.patience_s)
    if desk.clock is not None:
        set_clock(patch, desk.clock)
    try:
        yield
    finally:
        desk.detach()


def set_clock(patch: pytest.MonkeyPatch, begin: float) -> None:
    """The clock says so now, and goes on from there."""
    started = time.monotonic()
    patch.setattr(time, "time", lambda: begin + time.monotonic() - started)
    patch.setattr(time, "time_ns", lambda: int((begin + time.monotonic() - started) * 1e9))


def impatient(patch: pytest.MonkeyPatch, patience_s: float) -> None:
    """No external command is waited for longer than this: hanging tools would cost hours."""
    honest = running.run

    def quick(*args: Any, timeout_s: float, **words: Any) -> running.Finished:
        return honest(*args, timeout_s=min(timeout_s, patience_s), **words)

    for name, module in list(sys.modules.items()):
        if name.startswith("provisioner.") and getattr(module, "run", None) is honest:
            patch.setattr(module, "run", quick)
    patch.setattr(running, "GRACE_S", 0.2)


@functools.cache
def _kernel_knows(kind: str) -> bool:
    with contextlib.suppress(CommandError):
        running.run(["modprobe", "--quiet", kind], timeout_s=20, check=False)
    return kind in Path("/proc/filesystems").read_text().split()
