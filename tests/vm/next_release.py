"""Releases for a renewal to go over to: the lab's own with a file more, and spoilt ones.

All of them lie in the lab's own catalogue, signed by its key, and are made once. The good one is
built as any other; a spoilt one has the good one's system and another initramfs, which does its
mischief when the system has just been put together.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from provisioner.model.release import INITRD, MANIFEST, Manifest, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.release import cpio
from provisioner.release.build import ensure_release, list_carried
from provisioner.release.catalog import Catalog
from provisioner.release.live import append
from provisioner.release.manifest import write_manifest
from provisioner.release.materials import Wishes
from provisioner.secret_file import secret_file
from provisioner.settings import Settings
from provisioner.swarm.torrent import TORRENT
from provisioner.workshop.station import STATION_KEY

NEXT = "lab-next"
NEWS = "etc/classroom-news"
RECIPE = f"""\
name: {NEXT}
extends: lab
summary:
  en: The lab's system, three years later
  zh: 实验系统，三年以后
"""
SCRIPT = "scripts/classroom"
# What each spoilt release does, in the words of its initramfs: `$rootmnt` is its system.
FAULTS = {
    "panics": "echo c >/proc/sysrq-trigger",
    "hears-nothing": (
        'ln -sf /dev/null "${rootmnt}/etc/systemd/system/systemd-networkd.service"; '
        'ln -sf /dev/null "${rootmnt}/etc/systemd/system/systemd-networkd.socket"'
    ),
    "fills-the-disk": (
        'fallocate -l "$(df -k "${CLASSROOM}/state" | tail -n 1 | awk \'{ print $4 }\')K" '
        '"${CLASSROOM}/state/overlays/${release}/upper/junk"'
    ),
    "has-no-agent": 'rm -rf "${rootmnt}/usr/lib/classroom/provisioner/agent"',
    "cannot-be-configured": 'ln -sf /bin/false "${rootmnt}/usr/bin/ansible-playbook"',
}


def lab_catalog(settings: Settings) -> tuple[Catalog, PrivateKey]:
    """The lab's catalogue and the key that signs what is in it."""
    base = settings.cache_dir / "lab"
    base.mkdir(parents=True, exist_ok=True)
    key = secret_file(base / STATION_KEY, lambda: PrivateKey.generate().to_hex())
    return Catalog(base / "releases"), PrivateKey.from_hex(key)


def next_release(settings: Settings) -> Manifest:
    """The lab's system with a file more."""
    catalog, key = lab_catalog(settings)
    with tempfile.TemporaryDirectory(prefix="images-") as place:
        images = Path(place) / "images"
        shutil.copytree(settings.images_dir, images, symlinks=True)
        news = images / NEXT / "files" / NEWS
        news.parent.mkdir(parents=True)
        news.write_text("Three years later.\n" * 100)
        (images / NEXT / "recipe.yaml").write_text(RECIPE)
        return ensure_release(
            images / NEXT, catalog=catalog, key=key, cache=settings.cache_dir,
            wishes=Wishes(mirror=settings.mirror),
        )  # fmt: skip


def spoilt_release(settings: Settings, fault: str) -> Manifest:
    """A release that looks right in every signed byte, and does not work."""
    catalog, key = lab_catalog(settings)
    good = next_release(settings)
    name, mark = f"lab-{fault}", hashlib.sha256(f"{good.id} {FAULTS[fault]}".encode()).hexdigest()
    made = [found for found in catalog.list() if found.name == name]
    if made and made[-1].recipe_sha256 == mark:
        return made[-1]
    version, number = catalog.next_version(name, datetime.datetime.now(datetime.UTC).date())
    release = f"{name}@{version}"
    source = catalog.folder(good.id)
    script = (settings.images_dir / "base/initramfs" / SCRIPT).read_text()
    spoilt = script.replace("\nmountroot() {", "\nmountroot_well() {", 1)
    spoilt += f"\nmountroot() {{\n    mountroot_well\n    {FAULTS[fault]}\n}}\n"
    with catalog.building() as folder:
        for entry in good.files:
            if entry.path not in (INITRD, MANIFEST, TORRENT):
                (folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
                os.link(source / entry.path, folder / entry.path)
        append(source / INITRD, [cpio.file(SCRIPT, spoilt.encode())], folder / INITRD)
        manifest = good.model_copy(
            update={
                "name": name, "version": version, "number": number, "recipe_sha256": mark,
                "files": list_carried(folder, release, ReleaseKind.SYSTEM),
            }
        )  # fmt: skip
        write_manifest(folder, manifest, key)
        catalog.publish(folder, manifest)
    return manifest
