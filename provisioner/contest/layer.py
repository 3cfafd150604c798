"""The contest's own layer: what a machine gets merged over `/usr` while the contest is on.

Rules, guide, starters, the hand-in page with its service and the judging code, in one read-only
image that systemd-sysext merges and takes off again without a restart. It is a release like any
other: numbered, signed, delivered through the swarm and in bundles as a difference.
"""

from __future__ import annotations

import datetime
import hashlib
import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from provisioner.contest.folder import GUIDE, RULES, STARTERS, Contest
from provisioner.education.blocks import ensure_blocks
from provisioner.errors import ConfigError, StationError
from provisioner.model.release import (
    Component,
    Manifest,
    Minimum,
    ReleaseKind,
)
from provisioner.model.signed import PrivateKey
from provisioner.release import squashfs
from provisioner.release.build import list_carried
from provisioner.release.cache import Cache
from provisioner.release.catalog import Catalog
from provisioner.release.chunking import add_chunk_map
from provisioner.release.layer import write_fits

# The image's name on the machine; systemd-sysext wants the same name inside. One contest at a time.
NAME = "contest"
IMAGE = f"{NAME}.raw"
PACKAGE = Path(__file__).parents[1]
CODE = ("entry", "handin")
MODULES = ("asset_tag.py", "clock.py", "model/contest.py", "model/entry.py")
DATA = Path(__file__).parent / "data"
SHARE = Path("usr/share/classroom/contest")
PROGRAMS = Path("usr/lib/classroom")
PYTHON = PROGRAMS / "provisioner"
APPLICATIONS = Path("usr/share/applications")
# With these a machine brings itself into each state (agent/contest.py).
PLAY = Path("usr/share/classroom/contest-play")
PLAYBOOKS = ("ansible.cfg", "contest.yml", "library", "roles/contest")
# The system below, as `images/education` is built: its os-release decides whether it merges.
OVER = "education"
SUITE, OS_RELEASE = "trixie", "ID=debian\nVERSION_ID=13\n"
# What judging needs beyond Debian's packages on a machine: plain Python, BSD-3-Clause.
LIBRARY = "fastjsonschema"
LEVEL, BLOCK_KIB = 15, 128


def lay_out(contest: Contest, tree: Path, playbooks: Path, editor: Path | None = None) -> None:
    """Everything that the layer holds, as a tree of files; `editor` is the built block editor."""
    share = tree / SHARE
    share.mkdir(parents=True)
    (share / "contest.json").write_text(contest.card.model_dump_json(indent=1), encoding="utf-8")
    for name in RULES:
        shutil.copyfile(contest.folder / name, share / name)
    for name in (GUIDE, STARTERS):
        if (contest.folder / name).is_dir():
            _copy(contest.folder / name, share / name)
    for name in CODE:
        _copy(PACKAGE / name, tree / PYTHON / name)
    for name in MODULES:
        _copy(PACKAGE / name, tree / PYTHON / name)
    _copy(_library(), tree / PROGRAMS / LIBRARY)
    _copy(DATA / "applications", tree / APPLICATIONS)
    for path in (DATA / "bin").iterdir():
        _copy(path, tree / PROGRAMS / path.name)
    for name in PLAYBOOKS:
        _copy(playbooks / name, tree / PLAY / name)
    if editor is not None:
        shutil.copytree(editor / "usr", tree / "usr", symlinks=True, dirs_exist_ok=True)
    write_fits(NAME, tree, OS_RELEASE)
    programs = {path.name for path in (DATA / "bin").iterdir()}
    for path in tree.rglob("*"):
        if path.is_symlink():
            continue
        is_program = path.parent == tree / PROGRAMS and path.name in programs
        is_program |= bool(path.stat().st_mode & 0o100)
        path.chmod(0o755 if path.is_dir() or is_program else 0o644)


def publish_layer(contest: Contest, catalog: Catalog, key: PrivateKey, today: datetime.date,
                  playbooks: Path, *, cache: Cache | None = None, epoch: int = 0,
                  ) -> Manifest:  # fmt: skip
    """Build, number, sign and publish the layer; the newest one stays when nothing changed.

    A contest that demands a version of the block editor brings it along, from `cache`. Raises
    ConfigError when there is no cache for it, and as `ensure_blocks` does.
    """
    editor = None
    if contest.settings.editor:
        if cache is None:
            raise ConfigError("The editor that this contest demands has nowhere to be made.")
        with cache.locked():
            editor = ensure_blocks(cache)
    with catalog.building() as folder:
        tree = folder.parent / f"{folder.name}.tree"
        tree.mkdir()
        try:
            lay_out(contest, tree, playbooks, editor)
            installed = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
            squashfs.pack(tree, folder / IMAGE, level=LEVEL, block_kib=BLOCK_KIB, epoch=epoch)
        finally:
            shutil.rmtree(tree)
        with (folder / IMAGE).open("rb") as image:
            digest = hashlib.file_digest(image, "sha256").hexdigest()
        for known in catalog.list():
            if (
                known.name == contest.name
                and known.kind is ReleaseKind.LAYER
                and (known.file(IMAGE).sha256 == digest)
            ):
                return known
        version, number = catalog.next_version(contest.name, today)
        add_chunk_map(folder, IMAGE)
        manifest = Manifest(
            name=contest.name, version=version, number=number, kind=ReleaseKind.LAYER,
            suite=SUITE, architecture="amd64", over=OVER, source_date_epoch=epoch,
            recipe_sha256=digest, minimum=Minimum(memory_mib=1024, disk_mb=1000),
            installed_bytes=installed,
            files=list_carried(folder, f"{contest.name}@{version}", ReleaseKind.LAYER),
            components=(Component(name=LIBRARY, version=importlib.metadata.version(LIBRARY),
                                  licence="BSD-3-Clause", origin="pypi"),
                        Component(name="classroom-provisioner", version="0.1.0",
                                  licence="Apache-2.0", origin="ours"),
                        Component(name="scratch-parser-schema", version="5.1.1",
                                  licence="BSD-3-Clause", origin="npm")),
        )  # fmt: skip
        (folder / "manifest.dsse.json").write_text(key.seal(manifest))
        catalog.publish(folder, manifest)
        return manifest


def _library() -> Path:
    found = importlib.util.find_spec(LIBRARY)
    if found is None or found.origin is None:
        raise StationError(f"{LIBRARY} is not installed.", "Install this program again.")
    return Path(found.origin).parent


def _copy(source: Path, target: Path) -> None:
    """A file or a folder, without what Python left behind."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"),
                        copy_function=shutil.copyfile)  # fmt: skip
    else:
        shutil.copyfile(source, target)
