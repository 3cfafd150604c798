"""A release on a disk file as the station leaves it, made without a network and within a minute.

The same functions as on a machine divide the disk, write the start menu, the boot sectors and the
machine's own files; only the copying is mkfs's and mtools', for want of partition nodes. The
school's two accounts are written as its configuration would make them. test_lab and
test_classroom show that the agent itself leaves such a disk; here it is started.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent import layout
from provisioner.agent.bootloader import ESP_PLACES
from provisioner.agent.gpt import FileSystem
from provisioner.agent.layout import Slot
from provisioner.agent.partition import format_command
from provisioner.agent.personalise import make_identity, upper_folder, write_identity
from provisioner.lab.machine import SECTOR
from provisioner.model.hardware import DiskRef, Transport
from provisioner.model.order import ImageWork
from provisioner.model.release import INITRD, KERNEL, LOADER_BOOT_IMG, LOADER_CORE_IMG, SYSTEM
from provisioner.model.school import PUPIL_UID, TEACHER_UID
from provisioner.model.signed import PrivateKey
from provisioner.release.bios import boot_sector, core_sectors
from provisioner.release.grubcfg import first_boot_files, kernel_folder
from provisioner.run import run

DISK_BYTES = 16_000_000_000
ESP = FileSystem("vfat", "A11C-0001", layout.ESP)
ROOM = FileSystem("ext4", "a11c0000-0000-4000-8000-000000000002", layout.SYSTEM)
STATE = FileSystem("ext4", "a11c0000-0000-4000-8000-000000000003", layout.STATE)
PEOPLE = (("teacher", TEACHER_UID, "老师"), ("pupil", PUPIL_UID, "学生"))
COPY_S = 900
STATION_URL = "http://10.77.0.1:8080"  # where the agent will ask; nobody answers there


@dataclass(frozen=True)
class Release:
    """What is put on the disk: a folder of the catalogue."""

    folder: Path

    @property
    def id(self) -> str:
        return self.folder.name


def install(
    release: Release, disk: Path, work: Path, *, ssh_key: str, arguments: str = "",
    own: dict[str, str] | None = None,
) -> None:  # fmt: skip
    """Make the disk file `disk`; `own` are further files of this machine, by path."""
    slots = _divide(disk, (release.folder / SYSTEM).stat().st_size)
    by_label = {slot.label: slot for slot in slots}
    _fill_esp(release, disk, by_label[layout.ESP], work, arguments)
    room = work / "room" / "releases" / release.id
    room.mkdir(parents=True)
    (room / SYSTEM).hardlink_to(release.folder / SYSTEM)
    _make_ext4(disk, by_label[layout.SYSTEM], ROOM, work / "room")
    state = work / "state"
    trusted = PrivateKey.generate().public
    identity = make_identity(_order(release, ssh_key), STATION_URL, trusted)
    write_identity(state, release.id, identity)
    _make_people(release, state)
    for name, text in (own or {}).items():
        path = state / upper_folder(release.id) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    _make_ext4(disk, by_label[layout.STATE], STATE, state)
    _make_startable(release, disk, by_label[layout.BIOS])
    shutil.rmtree(work)


def _divide(disk: Path, image_bytes: int) -> tuple[Slot, ...]:
    disk.touch()
    os.truncate(disk, DISK_BYTES)
    slots = layout.plan_layout(DISK_BYTES, SECTOR, image_bytes)
    run(["sfdisk", "--quiet", disk], timeout_s=60, stdin=layout.sfdisk_script(slots))
    return slots


def _order(release: Release, ssh_key: str) -> ImageWork:
    return ImageWork(
        disk=DiskRef(serial="S1", wwn="", model="", size_bytes=DISK_BYTES,
                     transport=Transport.SATA), release=release.id,
        manifest_sha256="0" * 64, release_path="-", hostname="school-07", asset_tag="PC-0007",
        authorized_key=ssh_key,
    )  # fmt: skip


def _fill_esp(release: Release, disk: Path, slot: Slot, work: Path, arguments: str) -> None:
    start, kib = slot.start * SECTOR, slot.length * SECTOR // 1024
    command = format_command(disk, ESP)
    # 8 sectors a cluster, as mkfs takes for a partition of this size; here it sees the whole disk
    run([*command[:-1], "-s", "8", f"--offset={slot.start}", disk, str(kib)], timeout_s=60)
    where = f"{disk}@@{start}"
    begin = first_boot_files(
        release.id, system_uuid=ROOM.uuid, state_uuid=STATE.uuid, kernel_arguments=arguments
    )
    written = {name: work / "start" / str(number) for number, name in enumerate(begin)}
    (work / "start").mkdir(parents=True)
    for name, path in written.items():
        path.write_bytes(begin[name])
    kernels = kernel_folder(release.id)
    files = {
        **{f"/{name.lstrip('/')}": path for name, path in written.items()},
        f"{kernels}/{KERNEL}": release.folder / KERNEL,
        f"{kernels}/{INITRD}": release.folder / INITRD,
        **{f"/{place}": release.folder / name for name, place in ESP_PLACES.items()},
    }
    folders = {str(parent) for name in files for parent in Path(name).parents} - {"/"}
    run(["mmd", "-i", where, *(f"::{name}" for name in sorted(folders))], timeout_s=60)
    for name, source in files.items():
        run(["mcopy", "-i", where, source, f"::{name}"], timeout_s=COPY_S)


def _make_ext4(disk: Path, slot: Slot, wanted: FileSystem, content: Path) -> None:
    command = format_command(disk, wanted)
    extended = f"{command[command.index('-E') + 1]},offset={slot.start * SECTOR}"
    words = [extended if word == command[command.index("-E") + 1] else word for word in command]
    run([*words[:-1], "-d", content, disk, f"{slot.length * SECTOR // 1024}k"], timeout_s=COPY_S)


def _make_people(release: Release, state: Path) -> None:
    """The school's accounts: no groups, no password (the pupil's needs none at the screen)."""
    upper = state / upper_folder(release.id)
    lines = {
        "passwd": [f"{name}:x:{uid}:{uid}:{title}:/home/{name}:/bin/bash"
                   for name, uid, title in PEOPLE],
        "shadow": [f"{name}:!:20000:0:99999:7:::" for name, _, _ in PEOPLE],
        "group": [f"{name}:x:{uid}:" for name, uid, _ in PEOPLE],
    }  # fmt: skip
    for table, added in lines.items():
        told = run(["unsquashfs", "-cat", release.folder / SYSTEM, f"etc/{table}"], timeout_s=60)
        path = upper / "etc" / table
        path.write_text(told.stdout.rstrip("\n") + "\n" + "\n".join(added) + "\n")
        path.chmod(0o640 if table == "shadow" else 0o644)
    os.chown(upper / "etc/shadow", 0, _shadow_group(upper))
    for name, uid, _ in PEOPLE:
        home = state / "home" / name
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)


def _shadow_group(upper: Path) -> int:
    rows = (line.split(":") for line in (upper / "etc/group").read_text().splitlines())
    return next(int(row[2]) for row in rows if row[0] == "shadow")


def _make_startable(release: Release, disk: Path, slot: Slot) -> None:
    core = core_sectors((release.folder / LOADER_CORE_IMG).read_bytes(), first_lba=slot.start)
    first = boot_sector((release.folder / LOADER_BOOT_IMG).read_bytes(), core_lba=slot.start,
                        disk_sectors=DISK_BYTES // SECTOR)  # fmt: skip
    with disk.open("r+b") as file:
        file.seek(slot.start * SECTOR)
        file.write(core)
        file.seek(0)
        file.write(first)
