"""A station's folder with an old and a new release, and machines' disks that have the old one.

The images are real squashfs files; kernel and initramfs change, the loaders stay.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.release_files import place_of
from provisioner.model.patch import PATCHES
from provisioner.model.release import (
    INITRD,
    KERNEL,
    LOADER_BOOT_IMG,
    LOADER_CORE_IMG,
    LOADER_GRUB,
    LOADER_SHIM,
    MANIFEST,
    SYSTEM,
    Manifest,
    Minimum,
    ReleaseKind,
)
from provisioner.release import chunking, delta, squashfs
from provisioner.release.build import list_carried
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import write_manifest
from provisioner.run import run
from provisioner.settings import Settings
from provisioner.workshop.station import Station, open_station
from tests.unit.swarm.edits import made_up
from tests.unit.swarm.images import small_edits, texts
from tests.unit.workshop.robot import fake_boot_img, fake_core_img

OLD, NEW = "lab@2026.1", "lab@2026.2"
LOADERS = {LOADER_BOOT_IMG: 512, LOADER_CORE_IMG: 60_000, LOADER_SHIM: 950_000,
           LOADER_GRUB: 1_100_000}  # fmt: skip
EPOCH = 1_700_000_000


@dataclass(frozen=True)
class Sizes:
    """How large the releases are: texts of 60 kB, every so many of them changed; bytes that are
    new in the new one; kernel and initramfs."""

    texts: int = 300
    every: int = 9
    new_bytes: int = 600_000
    kernel: int = 300_000
    initrd: int = 1_300_000


class SideWorld:
    """A station, not served yet; `state` is its folder."""

    def __init__(self, folder: Path, sizes: Sizes = Sizes()) -> None:
        self.folder, self.state = folder, folder / "state"
        self.station: Station = open_station(Settings(state_dir=self.state), url="http://x")
        self.catalog: Catalog = self.station.catalog
        self.key = self.station.key.public
        before = texts(sizes.texts, 1, 60_000)
        after = [*small_edits(before, range(0, sizes.texts, sizes.every), 2),
                 made_up(sizes.new_bytes, 3)]  # fmt: skip
        for number, files in ((1, before), (2, after)):
            self._release(number, files, sizes)

    def _release(self, number: int, files: list[bytes], sizes: Sizes) -> None:
        tree = self.folder / f"tree{number}"
        tree.mkdir()
        for at, data in enumerate(files):
            (tree / f"file{at:05}").write_bytes(data)
        with self.catalog.building() as folder:
            squashfs.pack(tree, folder / SYSTEM, level=3, block_kib=128, epoch=EPOCH)
            chunking.add_chunk_map(folder)
            (folder / KERNEL).write_bytes(made_up(sizes.kernel, 10 + number))
            (folder / INITRD).write_bytes(made_up(sizes.initrd, 20 + number))
            (folder / "loader").mkdir()
            for name, size in LOADERS.items():
                (folder / name).write_bytes(_loader(name, size))
            manifest = Manifest(
                name="lab", version=f"2026.{number}", number=2026000 + number,
                kind=ReleaseKind.SYSTEM, suite="trixie", architecture="amd64",
                source_date_epoch=1, recipe_sha256="0" * 64,
                minimum=Minimum(memory_mib=1, disk_mb=1), installed_bytes=1, components=(),
                files=list_carried(folder, f"lab@2026.{number}", ReleaseKind.SYSTEM),
            )  # fmt: skip
            write_manifest(folder, manifest, self.station.key)
            self.catalog.publish(folder, manifest)
        shutil.rmtree(tree)

    def publish_patch(self) -> int:
        """Its bytes."""
        return delta.publish_patch(self.catalog, self.station.key, OLD, NEW).size

    def offer_patch(self, on: bool) -> None:
        """Put the patch on offer, made the first time it is wanted; or take it away."""
        shown, hidden = self.served / PATCHES, self.served / ".patches"
        if on and not hidden.exists() and not shown.exists():
            self.publish_patch()
        elif on and hidden.exists():
            hidden.rename(shown)
        elif not on and shown.exists():
            shown.rename(hidden)

    @property
    def served(self) -> Path:
        """What a plain web server would hand out: releases/ and patches/."""
        return self.catalog.root.parent

    def machine(self, name: str) -> Path:
        """A machine's file systems, with the old release as it was imaged."""
        made = self.folder / name
        shutil.rmtree(made, ignore_errors=True)
        roots = roots_of(made)
        for entry in self.catalog.get(OLD).files:
            place = place_of(entry.path, OLD)
            into = roots[place.label] / place.first
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.catalog.folder(OLD) / entry.path, into)
        kept = roots["system"] / "releases" / OLD / MANIFEST
        shutil.copyfile(self.catalog.folder(OLD) / MANIFEST, kept)
        return made

    def envelope(self) -> bytes:
        return (self.catalog.folder(NEW) / MANIFEST).read_bytes()

    def arrived(self, machine: Path) -> bool:
        """Whether all files of the new release are there, as sha256sum sees them."""
        roots = roots_of(machine)
        for entry in self.catalog.get(NEW).files:
            place = place_of(entry.path, NEW)
            found = roots[place.label] / place.first
            if not found.is_file() or sha256sum(found) != entry.sha256:
                return False
        return (roots["system"] / "releases" / NEW / MANIFEST).read_bytes() == self.envelope()

    @property
    def image_bytes(self) -> int:
        return (self.catalog.folder(NEW) / SYSTEM).stat().st_size


def roots_of(machine: Path) -> Mapping[str, Path]:
    """A machine's mounted file systems, below one folder."""
    return {"system": machine / "system", "ESP": machine / "esp"}


def _loader(name: str, size: int) -> bytes:
    """Something of that length; what a BIOS starts has to look like GRUB's."""
    if name == LOADER_BOOT_IMG:
        return fake_boot_img()
    return fake_core_img() if name == LOADER_CORE_IMG else made_up(size, size)


def sha256sum(path: Path) -> str:
    return run(["sha256sum", path], timeout_s=120).stdout.split()[0]
