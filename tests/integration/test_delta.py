"""Updates on a machine that has an older release: real images, real kills, a really full disk.

The images are real squashfs files; whatever comes out is compared by coreutils' `sha256sum`.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import DiskChoiceError
from provisioner.model.release import Manifest, Minimum, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release import chunking, delta, squashfs
from provisioner.release.catalog import Catalog
from provisioner.release.manifest import list_files, write_manifest
from provisioner.swarm.prefill import old_releases, prefill
from tests.unit.agent.station import StubStation
from tests.unit.swarm.edits import made_up
from tests.unit.swarm.images import small_edits, texts

pytestmark = pytest.mark.integration
CLIENT = Path(__file__).with_name("delta_client.py")
OLD, NEW = "lab@2026.1", "lab@2026.2"


class World:
    """A station with two releases, and a machine that has the older one."""

    def __init__(self, folder: Path) -> None:
        self.key, self.root = PrivateKey.generate(), folder
        self.catalog = Catalog(folder / "station/releases")
        self.disk = folder / "machine"
        files = texts(300, 1, 60_000)
        new = [*small_edits(files, range(0, 300, 9), 2), made_up(1_500_000, 3)]
        for number, content in ((1, files), (2, new)):
            self._release(number, content)
        shutil.copytree(self.catalog.folder(OLD), self.disk / OLD)
        self.station = StubStation(folder / "station")

    def _release(self, number: int, files: list[bytes]) -> None:
        tree = self.root / f"tree{number}"
        tree.mkdir()
        for at, data in enumerate(files):
            (tree / f"file{at:04}").write_bytes(data)
        with self.catalog.building() as folder:
            squashfs.pack(
                tree, folder / "system.squashfs", level=3, block_kib=128, epoch=1_700_000_000
            )
            chunking.add_chunk_map(folder)
            manifest = Manifest(
                name="lab", version=f"2026.{number}", number=number, kind=ReleaseKind.SYSTEM,
                suite="trixie", architecture="amd64", source_date_epoch=1,
                recipe_sha256="0" * 64, minimum=Minimum(memory_mib=1, disk_mb=1),
                installed_bytes=1, files=list_files(folder), components=(),
            )  # fmt: skip
            write_manifest(folder, manifest, self.key)
            self.catalog.publish(folder, manifest)

    @property
    def size(self) -> int:
        return (self.catalog.folder(NEW) / "system.squashfs").stat().st_size

    def client(self, rest_s: float = 0.0) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, CLIENT, self.station.url, self.disk, NEW, self.key.public,
             str(rest_s)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    def arrived(self) -> bool:
        return sha256sum(self.disk / NEW / "system.squashfs") == sha256sum(
            self.catalog.folder(NEW) / "system.squashfs"
        )


def sha256sum(path: Path) -> str:
    return subprocess.run(
        ["sha256sum", path], capture_output=True, text=True, check=True
    ).stdout.split()[0]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    world = World(tmp_path)
    yield world
    world.station.close()


def test_pieces_then_a_patch(world: World) -> None:
    out, _ = world.client().communicate(timeout=120)
    pieces = int(out.split()[-2])
    assert world.arrived()
    shutil.rmtree(world.disk / NEW)
    patch = delta.publish_patch(world.catalog, world.key, OLD, NEW)
    out, _ = world.client().communicate(timeout=120)
    assert world.arrived()
    assert out.split()[-3:] == ["done", str(patch.size), str(patch.size)]
    assert patch.size < pieces


@pytest.mark.parametrize("patched", [False, True])
def test_killed_at_any_moment_it_goes_on_where_it_was(world: World, patched: bool) -> None:
    """No more than a hundredth of the image is fetched or copied again after a kill."""
    if patched:
        delta.publish_patch(world.catalog, world.key, OLD, NEW)
    chance, kills = random.Random(5), 0
    moments = [share + chance.random() / 50 for share in (0.05, 0.2, 0.5, 0.7, 0.9, 0.93, 0.96)]
    for moment in moments:
        client = world.client(rest_s=0.001)
        assert client.stdout
        have, done = 0, False
        for line in client.stdout:
            done = line.startswith("done")
            have = have if done else int(line)
            if done or have >= moment * world.size:
                break
        if done:
            break
        client.kill()
        client.wait(timeout=60)
        kills += 1
        assert _right(world) >= have - world.size // 100
    kills += _killed_while_patching(world, chance) if patched else 0
    world.client().communicate(timeout=120)
    assert kills >= 5
    assert world.arrived()


def _killed_while_patching(world: World, chance: random.Random) -> int:
    """Kill the client while the patch lies on the disk; returns how often that came off."""
    shutil.rmtree(world.disk / NEW)
    patch, kills = world.disk / NEW / "system.squashfs.patch", 0
    for _ in range(4):
        client = world.client()
        while client.poll() is None and not patch.exists():
            time.sleep(0.001)
        time.sleep(chance.random() / 20)
        kills += client.poll() is None
        client.kill()
        client.communicate(timeout=60)
    return kills


def _right(world: World) -> int:
    """Bytes of the begun file that are right, counted without our own survey."""
    part = (world.disk / NEW / "system.squashfs.part").read_bytes()
    whole = (world.catalog.folder(NEW) / "system.squashfs").read_bytes()
    step = 512
    blocks = range(0, len(whole), step)
    return sum(step for at in blocks if part[at : at + step] == whole[at : at + step])


def test_a_disk_that_fills_up_is_said_and_gone_on_from(world: World, tmp_path: Path) -> None:
    """On a tmpfs: too small from the start, then filled by somebody else in the middle."""
    place = tmp_path / "small"
    place.mkdir()
    new = chunking.cut(world.catalog.folder(NEW) / "system.squashfs")
    olds = old_releases(world.disk)
    part = place / "system.squashfs.part"
    room = new.size // 4096 + 200

    def mount(size: int) -> None:
        options = f"size={size * 4096}"
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
        subprocess.run(words, check=True)

    mount(room // 2)
    try:
        with pytest.raises(DiskChoiceError, match="MB more"):
            prefill(new, olds, part)
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", place], check=True)
    mount(room)
    try:

        def fill(have: int) -> None:
            other = place / "other"
            if have > new.size // 4 and not other.exists():
                subprocess.run(
                    ["dd", "if=/dev/zero", f"of={other}", "bs=1M"], check=False,
                    capture_output=True,
                )  # fmt: skip

        with pytest.raises(DiskChoiceError, match="disk is full"):
            prefill(new, olds, part, fill)
        (place / "other").unlink()
        done = prefill(new, olds, part)
        assert done.kept > new.size // 8
        assert done.kept + done.copied + done.missing_bytes == new.size
    finally:
        subprocess.run(["umount", place], check=True)
