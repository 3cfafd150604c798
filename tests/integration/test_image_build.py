"""Real builds: a small recipe from Debian's archive, and what must come out of it.

Everything is built twice from separate caches that share only the downloaded packages, so that
“byte-identical” is not the cache's doing.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, StationError
from provisioner.model.release import INITRD, KERNEL, SYSTEM, Manifest, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release.build import build_release, ensure_release
from provisioner.release.catalog import Catalog
from provisioner.release.corresponding import fetch_sources, open_archive, sources_of
from provisioner.release.lock import LOCK, read_lock
from provisioner.release.materials import NEWEST, Wishes
from provisioner.release.recipe import LICENCES
from provisioner.release.sbom import SBOM
from provisioner.run import run
from provisioner.settings import Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="building a tree needs root"),
]

IMAGES = Settings().images_dir
# As small as a system can be that still boots: kernel, initramfs-tools, systemd, Python.
TINY = """\
name: tiny
kind: system
suite: trixie
minimum: {memory_mib: 512, disk_mb: 2000}
packages: [systemd-sysv, udev, linux-image-amd64, initramfs-tools, busybox, zstd, python3]
exclude: [boot/**, usr/share/man/**, usr/share/locale/**, usr/share/doc/**]
keep: [usr/share/doc/*, usr/share/doc/*/copyright]
modules: {keep: [drivers/ata, drivers/nvme, drivers/block, drivers/scsi, fs]}
units: {enable: [hello.service], mask: [apt-daily.timer, apt-daily-upgrade.timer]}
compression: {level: 3}
licences: {mawk: GPL-2-only}
"""
CANARY = "a-bird-of-this-station"
HELLO = """\
[Service]
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
"""


LAYER = """\
name: topping
kind: layer
extends: tiny
packages: [mawk, hello]
licences: {hello: GPL-3.0-or-later}
exclude: [usr/share/info/**]
"""


@dataclass(frozen=True)
class Built:
    catalog: Catalog
    manifest: Manifest
    steps: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return self.catalog.folder(self.manifest.id)


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder on a real disk, beside the cache that `make test` keeps."""
    base = Settings().cache_dir / "test-builds"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="module")
def recipe(room: Path) -> Path:
    folder = room / "images/tiny"
    unit = folder / "files/etc/systemd/system/hello.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(HELLO)
    (folder / "recipe.yaml").write_text(TINY)
    shutil.copytree(IMAGES / "base/initramfs", folder / "initramfs")
    shutil.copyfile(IMAGES / LICENCES, room / "images" / LICENCES)
    return folder


def build(recipe: Path, cache: Path, key: PrivateKey, wishes: Wishes = NEWEST) -> Built:
    catalog = Catalog(cache.with_name(f"{cache.name}-releases"))
    steps: list[str] = []
    manifest = build_release(
        recipe, catalog=catalog, key=key, cache=cache, wishes=wishes,
        report=lambda step, _fraction: steps.append(step),
    )  # fmt: skip
    return Built(catalog, manifest, tuple(steps))


@pytest.fixture(scope="module")
def first(room: Path, recipe: Path, key: PrivateKey) -> Built:
    share_downloads(Settings().cache_dir, room / "one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSROOM_CANARY", CANARY)
        patch.setenv("LANG", "xx_CANARY")
        return build(recipe, room / "one", key)


@pytest.fixture(scope="module")
def second(room: Path, recipe: Path, key: PrivateKey, first: Built) -> Built:
    """By the first one's lock, from its downloads alone."""
    share_downloads(room / "one", room / "two")
    lock = read_lock(first.folder / LOCK)
    return build(recipe, room / "two", key, Wishes(lock=lock, offline=True))


def share_downloads(old: Path, new: Path) -> None:
    """Packages come from the network once; trees and images are made anew."""
    new.mkdir()
    if (old / "build/debs").is_dir():
        shutil.copytree(old / "build/debs", new / "build/debs", copy_function=os.link)


def test_built_twice_it_is_byte_identical(first: Built, second: Built) -> None:
    for path in (SYSTEM, KERNEL, INITRD):
        assert first.manifest.file(path) == second.manifest.file(path), path
    assert first.manifest.files == second.manifest.files  # lock and bill of materials as well
    assert first.manifest.recipe_sha256 == second.manifest.recipe_sha256
    assert first.manifest.source_date_epoch == second.manifest.source_date_epoch


def test_the_manifest_is_signed_and_true(first: Built, key: PrivateKey) -> None:
    assert first.catalog.verify(first.manifest.id, trusted=key.public) == first.manifest
    assert first.manifest.file(SYSTEM).size == (first.folder / SYSTEM).stat().st_size
    assert 50_000_000 < first.manifest.installed_bytes < 1_000_000_000


def test_packages_come_with_versions_and_licences(first: Built) -> None:
    found = {part.name: part for part in first.manifest.components}
    assert found["systemd"].version
    assert "LGPL-2.1" in found["systemd"].licence
    assert found["mawk"].licence == "GPL-2-only"  # what the recipe says counts
    assert "shim-signed" in found  # the loaders are part of the release
    assert not [part.name for part in found.values() if part.licence == "see copyright file"]


def test_nothing_that_two_machines_would_share(first: Built, room: Path) -> None:
    tree = room / "unpacked"
    run(["unsquashfs", "-no-progress", "-d", tree, first.folder / SYSTEM], timeout_s=300)
    assert (tree / "etc/machine-id").read_text() == ""
    assert list(tree.glob("etc/ssh/ssh_host_*")) == []
    assert not (tree / "etc/resolv.conf").exists()
    assert list((tree / "var/log").iterdir()) == []
    assert list((tree / "var/lib/apt/lists").iterdir()) == []
    assert (tree / "usr/share/doc/systemd/copyright").is_file()
    assert not (tree / "usr/share/man/man1").exists()
    link = tree / "etc/systemd/system/multi-user.target.wants/hello.service"
    assert str(link.readlink()) == "/etc/systemd/system/hello.service"
    newest = max(path.lstat().st_mtime for path in tree.rglob("*"))
    assert newest <= first.manifest.source_date_epoch


def test_nothing_of_the_station_is_in_it(first: Built, room: Path) -> None:
    """A clean room: neither its variables, nor its name, nor where it was built."""
    tree = room / "unpacked"
    if not tree.exists():
        run(["unsquashfs", "-no-progress", "-d", tree, first.folder / SYSTEM], timeout_s=300)
    for word in (CANARY, "xx_CANARY", str(room)):
        done = run(["grep", "--recursive", "--files-with-matches", "--text", "--fixed-strings",
                    "--devices=skip", word, tree], timeout_s=300, check=False)  # fmt: skip
        assert done.stdout == "", word
    assert not (tree / "etc/hostname").exists()


def test_it_says_what_is_in_it(first: Built, room: Path) -> None:
    bill = json.loads((first.folder / SBOM).read_text())
    names = {part["name"] for part in bill["components"]}
    assert {"systemd", "shim-signed", "classroom-provisioner"} <= names
    assert all(part["licenses"] for part in bill["components"])
    assert sources_of(first.folder / SBOM, ["libsystemd0"]) == [
        source for source in sources_of(first.folder / SBOM) if source.startswith("systemd=")
    ]


def test_a_source_can_be_fetched(first: Built, room: Path) -> None:
    """A small one, as `provisioner image sources` does it."""
    into = room / "sources"
    wanted = sources_of(first.folder / SBOM, ["mawk"])
    archive = open_archive(room / "one", "", first.manifest.suite)
    try:
        assert fetch_sources(archive, wanted, into) == []
    except StationError as error:  # many mirrors carry lists of sources, and not the sources
        assert list(into.glob("*.dsc")) == []
        pytest.skip(error.message)
    assert [path.suffix for path in into.iterdir() if path.suffix == ".dsc"] == [".dsc"]
    assert any(".orig.tar" in path.name for path in into.iterdir())


def test_python_needs_no_compiling_on_the_machine(first: Built, room: Path) -> None:
    """A stale .pyc costs seconds at each start; Python itself says whether it believes them."""
    tree = room / "unpacked"
    if not tree.exists():
        run(["unsquashfs", "-no-progress", "-d", tree, first.folder / SYSTEM], timeout_s=300)
    told = run(
        ["chroot", tree, "python3", "-v", "-c", "import json, provisioner.errors"],
        timeout_s=60, env={"PYTHONPATH": "/usr/lib/classroom"},
    ).stderr  # fmt: skip
    assert "# /usr/lib/python3.13/json/__pycache__/__init__.cpython-313.pyc matches" in told
    assert "# /usr/lib/classroom/provisioner/__pycache__/errors.cpython-313.pyc matches" in told
    assert "# wrote" not in told


def test_a_change_of_ours_takes_seconds_not_minutes(
    first: Built, room: Path, recipe: Path, key: PrivateKey
) -> None:
    (recipe / "files/etc/motd").write_text("changed\n")
    again = build(recipe, room / "one", key)
    assert "Installing packages into a tree" in first.steps
    assert "Installing packages into a tree" not in again.steps
    assert again.manifest.number == first.manifest.number + 1
    assert again.manifest.file(SYSTEM) != first.manifest.file(SYSTEM)
    assert again.manifest.file(KERNEL) == first.manifest.file(KERNEL)
    assert ensure_release(
        recipe, catalog=again.catalog, key=key, cache=room / "nowhere"
    ) == again.manifest  # fmt: skip
    (recipe / "files/etc/motd").unlink()


def test_dates_from_the_future_are_refused(room: Path, recipe: Path, key: PrivateKey) -> None:
    """With the clock behind, what is made now would be older than what it is made from."""
    with pytest.raises(StationError, match="clock"):
        build(recipe, room / "one", key, Wishes(epoch=int(time.time()) + 86_400))


def test_unknown_package(room: Path, recipe: Path, key: PrivateKey, first: Built) -> None:
    folder = recipe.parent / "typo"
    folder.mkdir()
    text = TINY.replace("name: tiny", "name: typo").replace("zstd,", "zstdd,")
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError, match="zstdd") as caught:
        build(folder, room / "one", key)
    assert caught.value.line == 5
    assert "zstd" in caught.value.hint


def test_full_disk_leaves_no_half_release(
    room: Path, recipe: Path, key: PrivateKey, first: Built
) -> None:
    small = room / "small"
    small.mkdir()
    run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", small], timeout_s=10)
    try:
        with pytest.raises(StationError, match="disk is full"):
            build_release(recipe, catalog=Catalog(small), key=key, cache=room / "one")
        assert list(small.iterdir()) == []
    finally:
        run(["umount", small], timeout_s=10)


def test_a_layer_holds_what_the_system_has_not(
    room: Path, recipe: Path, key: PrivateKey, first: Built
) -> None:
    folder = recipe.parent / "topping"
    own = folder / "files/usr/share/topping/note"
    own.parent.mkdir(parents=True)
    own.write_text("on top\n")
    (folder / "recipe.yaml").write_text(LAYER)
    made = build(folder, room / "one", key)
    assert (made.manifest.kind, made.manifest.over) == (ReleaseKind.LAYER, "tiny")
    assert [part.name for part in made.manifest.components] == ["classroom-provisioner", "hello"]
    tree = room / "layer"
    run(["unsquashfs", "-no-progress", "-d", tree, made.folder / "topping.raw"], timeout_s=60)
    assert sorted(path.name for path in tree.iterdir()) == ["usr"]
    assert (tree / "usr/bin/hello").is_file()
    assert not (tree / "usr/bin/mawk").exists()  # the system below has it
    fits = (tree / "usr/lib/extension-release.d/extension-release.topping").read_text()
    assert fits == "ID=debian\nVERSION_ID=13\n"


def test_no_network_is_said_plainly(room: Path, recipe: Path, key: PrivateKey) -> None:
    with pytest.raises(StationError, match="package lists cannot be fetched"):
        build_release(
            recipe, catalog=Catalog(room / "none"), key=key, cache=room / "offline",
            wishes=Wishes(mirror="http://127.0.0.1:9/debian"),
        )  # fmt: skip
    assert not (room / "none").exists() or list((room / "none").iterdir()) == []
