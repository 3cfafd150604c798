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
from provisioner.errors import StationError
from provisioner.model.release import (
    Component,
    Manifest,
    Minimum,
    ReleaseFile,
    ReleaseKind,
)
from provisioner.model.signed import PrivateKey
from provisioner.release import squashfs
from provisioner.release.catalog import Catalog
from provisioner.release.layer import write_fits

# The image's name on the machine; systemd-sysext wants the same name inside. One contest at a time.
NAME = "contest"
IMAGE = f"{NAME}.raw"
PACKAGE = Path(__file__).parents[1]
CODE = ("entry", "handin")
DATA = Path(__file__).parent / "data"
SHARE = Path("usr/share/classroom/contest")
PYTHON = Path("usr/lib/classroom/provisioner")
UNITS = Path("usr/lib/systemd/system")
# The system below, as `images/education` is built: its os-release decides whether it merges.
OVER = "education"
SUITE, OS_RELEASE = "trixie", "ID=debian\nVERSION_ID=13\n"
# What judging needs beyond Debian's packages on a machine: plain Python, BSD-3-Clause.
LIBRARY = "fastjsonschema"
LEVEL, BLOCK_KIB = 15, 128


def lay_out(contest: Contest, tree: Path) -> None:
    """Everything that the layer holds, as a tree of files."""
    share = tree / SHARE
    share.mkdir(parents=True)
    (share / "contest.json").write_text(contest.card.model_dump_json(indent=1), encoding="utf-8")
    for name in RULES:
        shutil.copyfile(contest.folder / name, share / name)
    for name in (GUIDE, STARTERS):
        if (contest.folder / name).is_dir():
            shutil.copytree(contest.folder / name, share / name)
    for name in CODE:
        shutil.copytree(PACKAGE / name, tree / PYTHON / name,
                        ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for name in ("contest.py", "entry.py"):
        shutil.copyfile(PACKAGE / "model" / name, _made(tree / PYTHON / "model") / name)
    shutil.copyfile(PACKAGE / "asset_tag.py", tree / PYTHON / "asset_tag.py")
    shutil.copytree(_library(), tree / PYTHON.parent / LIBRARY,
                    ignore=shutil.ignore_patterns("__pycache__"))  # fmt: skip
    for path in sorted(DATA.glob("*.service")):
        shutil.copyfile(path, _made(tree / UNITS) / path.name)
    write_fits(NAME, tree, OS_RELEASE)
    for path in tree.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def publish_layer(contest: Contest, catalog: Catalog, key: PrivateKey,
                  today: datetime.date, epoch: int = 0) -> Manifest:  # fmt: skip
    """Build, number, sign and publish the layer; the newest one stays when nothing changed."""
    with catalog.building() as folder:
        tree = folder.parent / f"{folder.name}.tree"
        tree.mkdir()
        try:
            lay_out(contest, tree)
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
        manifest = Manifest(
            name=contest.name, version=version, number=number, kind=ReleaseKind.LAYER,
            suite=SUITE, architecture="amd64", over=OVER, source_date_epoch=epoch,
            recipe_sha256=digest, minimum=Minimum(memory_mib=1024, disk_mb=1000),
            installed_bytes=installed,
            files=(ReleaseFile(path=IMAGE, size=(folder / IMAGE).stat().st_size,
                               sha256=digest),),
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


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
