"""The power-cut harness itself: does it lose what was not flushed, and does it see a brick?"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest

from provisioner.model.release import INITRD, KERNEL, SYSTEM
from provisioner.release.grubcfg import GRUB_ENV, first_boot_files, kernel_folder
from provisioner.run import run
from tests.integration.side_world import OLD, SideWorld, Sizes
from tests.powercuts.judge import Judge, partitions
from tests.powercuts.record import DRAWING as DRAWN
from tests.powercuts.write_log import FLUSH, MAGIC, Replay, read_log

pytestmark = pytest.mark.integration
SIZE = 1 << 20
LAYOUT = """label: gpt
start=2048, size=2048, type=21686148-6449-6e6f-744e-656564454649, name=bios
start=4096, size=131072, type=uefi, name=ESP
start=135168, size=65536, type=linux, name=system
start=200704, size=65536, type=linux, name=state
"""
DISK_SIZE = 140 << 20


def write_log(path: Path, entries: list[tuple[int, bytes, int]]) -> None:
    """As QEMU writes one: sector, data, flags."""
    out = bytearray(struct.pack("<QQQI", MAGIC, 1, len(entries), 512).ljust(512, b"\0"))
    for sector, data, flags in entries:
        out += struct.pack("<QQQQ", sector, len(data) // 512, flags, 0).ljust(512, b"\0") + data
    path.write_bytes(out)


@pytest.fixture
def replay(tmp_path: Path) -> Replay:
    log = tmp_path / "log"
    write_log(log, [(0, b"a" * 1024, 0), (0, b"", FLUSH), (2, b"b" * 512, 0), (4, b"c" * 2048, 0)])
    return Replay(log, tmp_path / "base", SIZE)


def test_what_was_flushed_is_always_there(replay: Replay, tmp_path: Path) -> None:
    for seed in range(40):
        replay.cut(4, tmp_path / "cut", random.Random(seed))
        assert (tmp_path / "cut").read_bytes()[:1024] == b"a" * 1024


def test_what_was_not_flushed_is_there_or_lost_or_torn(replay: Replay, tmp_path: Path) -> None:
    seen = set()
    for seed in range(60):
        replay.cut(4, tmp_path / "cut", random.Random(seed))
        found = (tmp_path / "cut").read_bytes()[1024 : 8 * 512]
        seen.add(bytes(found[at] for at in (0, 1024, 1536, 2048, 2560 - 1)))
    assert {b"bcccc", bytes(5), b"b\0\0\0\0", b"\0cccc"} <= seen
    assert any(0 < found.count(b"c") < 4 for found in seen)


def test_before_the_flush_anything_may_be_lost(replay: Replay, tmp_path: Path) -> None:
    found = set()
    for seed in range(20):
        replay.cut(1, tmp_path / "cut", random.Random(seed))
        found.add((tmp_path / "cut").read_bytes()[:1024])
    assert bytes(1024) in found
    assert b"a" * 1024 in found


def test_a_file_that_is_no_log(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(bytes(512))
    with pytest.raises(ValueError, match="no log"):
        read_log(tmp_path / "log")


class Installed:
    """A disk as an imaging leaves it, made with other tools."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.world = SideWorld(folder / "world", Sizes(4, 2, 20_000, 30_000, 40_000))
        self.disk = folder / "disk.img"
        with self.disk.open("wb") as file:
            file.truncate(DISK_SIZE)
        run(["sfdisk", "--quiet", self.disk], timeout_s=60, stdin=LAYOUT)
        source = self.world.catalog.folder(OLD)
        system, state = folder / "system", folder / "state"
        (system / "releases" / OLD).mkdir(parents=True)
        (system / "releases" / OLD / SYSTEM).write_bytes((source / SYSTEM).read_bytes())
        (state / "home/pupil").mkdir(parents=True)
        (state / "home/pupil/drawing.txt").write_text(DRAWN)
        parts = partitions(self.disk)
        for part, tree in ((parts[2], system), (parts[3], state)):
            where = ["-E", f"offset={part.start}", str(self.disk), f"{part.size >> 10}k"]
            run(["mkfs.ext4", "-q", "-F", "-d", tree, *where], timeout_s=60)
        self.esp = f"{self.disk}@@{parts[1].start}"
        self._esp(source)

    def _esp(self, source: Path) -> None:
        blocks = str(131072 // 2)
        run(["mkfs.vfat", "-F", "32", "-s", "1", "--offset=4096", self.disk, blocks], timeout_s=60)
        for path in ("EFI", "EFI/BOOT", "EFI/debian", "releases", f"releases/{OLD}"):
            run(["mmd", "-i", self.esp, f"::{path}"], timeout_s=60)
        for name in (KERNEL, INITRD):
            self.put(f"{kernel_folder(OLD)}/{name}", (source / name).read_bytes())
        for name, place in (("shimx64.efi", "BOOTX64.EFI"), ("grubx64.efi", "grubx64.efi")):
            self.put(f"/EFI/BOOT/{place}", (source / "loader" / name).read_bytes())
        for place, data in first_boot_files(OLD, system_uuid="s", state_uuid="t").items():
            self.put(place, data)

    def put(self, place: str, data: bytes) -> None:
        (self.folder / "put").write_bytes(data)
        run(["mcopy", "-o", "-i", self.esp, self.folder / "put", f"::{place}"], timeout_s=60)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"))


def test_the_judge_finds_a_good_disk_good_and_each_damage(installed: Installed) -> None:
    judge = Judge(installed.world, installed.folder / "judge")
    found = judge.look(installed.disk, imaging=False)
    assert (found.started, found.problems) == (OLD, ())
    kernel = (installed.world.catalog.folder(OLD) / KERNEL).read_bytes()
    installed.put(f"{kernel_folder(OLD)}/{KERNEL}", kernel[:-1] + b"?")
    assert "vmlinuz is not right" in str(judge.look(installed.disk, imaging=False).problems)
    installed.put(f"{kernel_folder(OLD)}/{KERNEL}", kernel)
    installed.put(GRUB_ENV, bytes(1024))
    assert judge.look(installed.disk, imaging=False).problems == ()  # the second copy counts
    installed.put(f"{kernel_folder(OLD)}/entry.cfg", b"linux /nothing\n")
    assert "GRUB starts nothing" in str(judge.look(installed.disk, imaging=False).problems)
    with installed.disk.open("r+b") as file:
        file.write(bytes(4096))
    assert judge.look(installed.disk, imaging=False).problems
    assert not judge.look(installed.disk, imaging=True).problems  # the network starts it
