"""One installed system in the forms that each system restores it from, and proof of each.

The tree is Debian packages unpacked (`pairs`); kernel and initrd are random bytes of a usual
size, as they are packed already. Everything is made once, before any clock runs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Interface
from pathlib import Path

from provisioner.lab.network import LabNetwork
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
)
from provisioner.run import run
from tests.bench import pairs
from tests.bench.fan_out import end, limit, line, say
from tests.bench.loops import attached, kernel_knows, mounted
from tests.integration.agent.bench import boot_img, core_img

ROOT = Path(__file__).parents[2]
LONG_S = 1800
ADDRESS, MACHINE, PORT = IPv4Interface("10.77.0.2/24"), IPv4Interface("10.77.0.10/24"), 8080
KERNEL_BYTES, INITRD_BYTES = 8_000_000, 20_000_000
DISK_BYTES, LARGE_DISK_BYTES = 3 * 10**9, 16 * 10**9
LOADERS = (LOADER_SHIM, LOADER_GRUB, LOADER_MOK, LOADER_IA32, LOADER_BOOT_IMG, LOADER_CORE_IMG)
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class Station:
    """The real door and seeds, and where a machine stands on their wire, which has no limits
    unless `cable` is in force."""

    url: str
    release: str
    key: str
    machine: tuple[str, ...]
    folder: Path
    network: str

    @contextlib.contextmanager
    def cable(self, mbit: int) -> Iterator[None]:
        """For a while the station's own cable carries so many megabits per second."""
        station = f"{self.network}-s"
        limit(station, "eth0", mbit, "20ms")
        try:
            yield
        finally:
            run(["tc", "-n", station, "qdisc", "del", "dev", "eth0", "root"], timeout_s=20)


Part = tuple[int, int, Path]  # start, bytes, packed file system


@dataclass
class Installed:
    """The same system as files of a release and as a classical installation."""

    work: Path
    tree: Path  # with /boot
    content: Path  # the release's files
    classical: Path  # a file system's image
    disk_bytes: int = DISK_BYTES
    _digests: dict[str, str] = field(default_factory=dict)

    @property
    def image_bytes(self) -> int:
        return sum(path.stat().st_size for path in _files(self.content))

    @property
    def tree_bytes(self) -> int:
        return sum(path.lstat().st_size for path in _files(self.tree))

    def digests(self) -> dict[str, str]:
        """Of the classical tree's files, counted once."""
        self._digests = self._digests or digests(self.tree)
        return self._digests

    def bmap(self) -> Path:
        return make_bmap(self.classical)

    def partclone(self) -> Path:
        return _partclone(self.classical, "ext4", self.work / "classical.pcl.zst")

    def casync(self) -> tuple[Path, Path]:
        """Its store, and its index."""
        store, index = self.work / "disk.castr", self.work / "disk.caidx"
        if not index.exists():
            shutil.rmtree(store, ignore_errors=True)
            words = ["casync", "make", "--with=unix", f"--store={store}"]
            run([*words, index, self.tree], timeout_s=LONG_S)
        return store, index

    def our_disk(self, station: Station) -> Path:
        """A disk as this system leaves it, written without limits."""
        made = self.work / "our-disk.img"
        if not made.exists():
            with made.open("wb") as file:
                file.truncate(self.disk_bytes)
            image(station, made, proof=True)
        return made

    def our_parts(self, station: Station) -> list[Part]:
        """Its file systems, each packed by partclone."""
        found = []
        for number, (start, length, kind) in enumerate(_file_systems(self.our_disk(station))):
            packed = self.work / f"our-part{number}.pcl.zst"
            with attached(self.our_disk(station), start, length, read_only=True) as node:
                found.append((start, length, _partclone(node, kind, packed)))
        return found


def make(work: Path, tree: Path) -> Installed:
    """The release's files and the classical image of one tree, below `work`."""
    content, full = _cleared(work)
    pairs.pack(tree, content / SYSTEM)
    (content / KERNEL).write_bytes(os.urandom(KERNEL_BYTES))
    (content / INITRD).write_bytes(os.urandom(INITRD_BYTES))
    for name in LOADERS[:4]:
        (content / name).parent.mkdir(exist_ok=True)
        (content / name).write_bytes(os.urandom(1_000_000))
    (content / LOADER_BOOT_IMG).write_bytes(boot_img())
    (content / LOADER_CORE_IMG).write_bytes(core_img())
    run(["cp", "-al", tree, full], timeout_s=LONG_S)
    return _both(work, content, full)


def make_of_release(work: Path, release: Path) -> Installed:
    """The same of a release that was built: what a school's machine gets."""
    content, full = _cleared(work)
    (content / LOADER_SHIM).parent.mkdir()
    for name in (SYSTEM, KERNEL, INITRD, *LOADERS):
        shutil.copy(release / name, content / name)
    run(["unsquashfs", "-q", "-n", "-d", full, content / SYSTEM], timeout_s=LONG_S)
    return dataclasses.replace(_both(work, content, full), disk_bytes=LARGE_DISK_BYTES)


def _cleared(work: Path) -> tuple[Path, Path]:
    """An empty folder for the release's files, and none yet for the classical tree."""
    content, full = work / "content", work / "classical-tree"
    for folder in (content, full):
        shutil.rmtree(folder, ignore_errors=True)
    for old in (*work.glob("*.pcl.zst"), work / "disk.caidx", work / "our-disk.img"):
        old.unlink(missing_ok=True)
    content.mkdir(parents=True)
    return content, full


def _both(work: Path, content: Path, full: Path) -> Installed:
    (full / "boot").mkdir(exist_ok=True)
    for name in (KERNEL, INITRD):
        shutil.copy(content / name, full / "boot")
    return Installed(work, full, content, _classical(work / "classical.img", full))


def _classical(image: Path, tree: Path) -> Path:
    """A root file system a quarter larger than what is in it: an empty large one has inode
    tables that partclone would carry too."""
    used = int(run(["du", "-s", "-B1", tree], timeout_s=LONG_S).stdout.split()[0])
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate((used * 5 // 4 + (96 << 20)) >> 20 << 20)
    lazy = "lazy_itable_init=1,lazy_journal_init=1"
    run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazy, "-d", tree, image], timeout_s=LONG_S)
    run(["fallocate", "--dig-holes", image], timeout_s=LONG_S)
    return image


def make_bmap(image: Path) -> Path:
    bmap = image.with_suffix(".bmap")
    bmap.unlink(missing_ok=True)
    run(["bmaptool", "--quiet", "create", "-o", bmap, image], timeout_s=LONG_S)
    return bmap


def _partclone(source: Path, kind: str, packed: Path) -> Path:
    if packed.exists():
        return packed
    words = [f"partclone.{kind}", "-c", "-L", "/dev/null", "-s", str(source), "-o", "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as taken:
        zstd = ["zstd", "-q", "-3", "-f", "-o", str(packed)]
        subprocess.run(zstd, stdin=taken.stdout, check=True, timeout=LONG_S)
    assert taken.returncode == 0, words
    return packed


@contextlib.contextmanager
def station(work: Path, system: Installed) -> Iterator[Station]:
    """The release on a station, one machine beside it, cables without limits."""
    state = work / "station"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    with LabNetwork(run_root=work / "run") as network, contextlib.ExitStack() as stack:
        here = stack.enter_context(network.neighbour("s", ADDRESS))
        machine = stack.enter_context(network.neighbour("m0", MACHINE))
        server = _start(here, "tests.integration.swarm_station", state, ADDRESS, PORT,
                        system.content)  # fmt: skip
        stack.callback(end, server)
        release, key = line(server).split()
        url = f"http://{ADDRESS.ip}:{PORT}"
        yield Station(url, release, key, machine, work, network.name)


def image(there: Station, disk: Path, *, proof: bool) -> dict[str, float]:
    """The agent's imaging of a disk, in a process of its own; what it measured."""
    more = [] if proof else ["--no-proof"]
    agent = _start(there.machine, "tests.bench.imaging", disk, there.url, there.release, there.key,
                   there.folder / "agent", *more)  # fmt: skip
    try:
        assert line(agent) == "ready"
        say(agent, "go")
        found: dict[str, float] = json.loads(line(agent))
        agent.wait(timeout=LONG_S)
        return found
    finally:
        end(agent)


def _start(prefix: Sequence[str], module: str, *words: object) -> Process:
    return subprocess.Popen(
        [*prefix, sys.executable, "-W", "ignore", "-m", module, *map(str, words)], text=True,
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None,
        env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "*", "NO_PROXY": "*"},
    )  # fmt: skip


def cpu() -> float:
    """Processor seconds of the programs that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_ours(folder: Path, disk: Path, system: Installed) -> None:
    """Every file of the release is on this disk, by sha256sum and the kernel's file systems."""
    found: dict[str, str] = {}
    for start, length, _ in _file_systems(disk):
        with (
            attached(disk, start, length, read_only=True) as node,
            mounted(node, folder / "checked", read_only=True) as root,
        ):
            found |= digests(root)
    on_disk = set(found.values())
    for name, digest in _content(system.content).items():
        assert digest in on_disk, f"{name} is not on the disk as it should be"


@cache
def _content(folder: Path) -> dict[str, str]:
    return digests(folder)


def check_parts(folder: Path, disk: Path, system: Installed, parts: list[Part]) -> None:
    """The same of a disk without a partition table."""
    found: set[str] = set()
    for start, length, _ in parts:
        with (
            attached(disk, start, length, read_only=True) as node,
            mounted(node, folder / "checked", read_only=True) as root,
        ):
            found |= set(digests(root).values())
    assert set(_content(system.content).values()) <= found


def check_tree(root: Path, tree: Path) -> None:
    """Two trees are the same, but for what mkfs itself puts there."""
    words = ["diff", "-r", "--no-dereference", "--exclude=lost+found"]
    run([*words, tree, root], timeout_s=LONG_S)


def digests(root: Path) -> dict[str, str]:
    """sha256sum of every file below `root`, by its path there."""
    names = "\0".join(sorted(str(path.relative_to(root)) for path in _files(root)))
    words = ["xargs", "-0", "--no-run-if-empty", "sha256sum", "--zero", "--"]
    said = run(words, timeout_s=LONG_S, stdin=names, cwd=root).stdout
    return {name: digest for digest, name in
            (entry.split("  ", 1) for entry in said.split("\0") if entry)}  # fmt: skip


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def _file_systems(disk: Path) -> list[tuple[int, int, str]]:
    """Start, bytes and kind of each file system on a disk, by its partition table."""
    shown = json.loads(run(["sfdisk", "--json", disk], timeout_s=60).stdout)["partitiontable"]
    kinds = {"ESP": "vfat" if kernel_knows("vfat") else "ext4", "system": "ext4", "state": "ext4"}
    return [
        (part["start"] * 512, part["size"] * 512, kinds[part["name"]])
        for part in shown["partitions"]
        if part["name"] in kinds
    ]
