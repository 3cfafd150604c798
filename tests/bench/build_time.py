"""How long a whole image takes beside mmdebstrap and mksquashfs by hand, and with which bytes.

    python -m tests.bench.build_time FOLDER-OF-A-RELEASE --work FOLDER [--only ours|hand]

From the release's own lock and the packages in the builder's cache, with no tree, initramfs or
image kept from before: so both begin with the same files, and what is made must have the release's
bytes. By hand is what a person types who has a mirror on the disk: mmdebstrap into a folder,
mksquashfs of it. That has no agent, no settings, no bill of materials, no start, no chunks and no
signature. What was measured goes to FOLDER/build-time.json; the work folder may be deleted.
Root; three times the size of the tree. Not in `make bench`: it takes as long as two builds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from provisioner.model.signed import PrivateKey
from provisioner.release import squashfs
from provisioner.release.bootstrap import name_and_version
from provisioner.release.boxed import boxed
from provisioner.release.build import CACHE, build_release
from provisioner.release.catalog import Catalog
from provisioner.release.lock import LOCK, Lock, read_lock
from provisioner.release.manifest import list_files
from provisioner.release.materials import Wishes
from provisioner.release.packages import Packages
from provisioner.release.recipe import Recipe, load_recipe
from provisioner.release.repository import make_repository
from provisioner.run import run
from provisioner.settings import Settings

TIMEOUT_S = 4 * 3600


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    words.add_argument("release", type=Path)
    words.add_argument("--work", type=Path, required=True)
    words.add_argument("--only", choices=("ours", "hand"))
    options = words.parse_args()
    settings = Settings()
    lock = read_lock(options.release / LOCK)
    recipe = load_recipe(settings.images_dir / lock.recipe)
    options.work.mkdir(parents=True, exist_ok=True)
    noted = options.work / "build-time.json"
    found: dict[str, Any] = json.loads(noted.read_text()) if noted.exists() else {}
    if options.only != "hand":
        found |= ours(recipe, lock, settings, options.release, options.work)
    if options.only != "ours":
        found |= by_hand(recipe, lock, settings, options.work)
    if {"ours_s", "by_hand_s"} <= set(found):
        found["times"] = round(found["ours_s"] / found["by_hand_s"], 2)
    noted.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1))


def ours(
    recipe: Recipe, lock: Lock, settings: Settings, release: Path, work: Path
) -> dict[str, Any]:
    """Build it anew in `work`; seconds by step, and the files that are not the release's."""
    debs, own = settings.cache_dir / CACHE / "debs", work / "cache"
    shutil.copytree(debs, own / CACHE / "debs", copy_function=os.link)
    steps: list[tuple[str, float]] = []
    began = time.monotonic()

    def note(step: str, _share: float) -> None:
        if not steps or steps[-1][0] != step:
            steps.append((step, time.monotonic() - began))

    catalog = Catalog(work / "releases")
    wishes = Wishes(settings.mirror, lock=lock, offline=True, parts=settings.parts_folder)
    manifest = build_release(recipe.folders[-1], catalog=catalog, key=PrivateKey.generate(),
                             cache=own, wishes=wishes, report=note)  # fmt: skip
    took = time.monotonic() - began
    one, other = (
        {entry.path: entry.sha256 for entry in list_files(folder)}
        for folder in (release, catalog.folder(manifest.id))
    )
    odd = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    ends = [at for _, at in steps[1:]] + [took]
    lasted = {step: round(end - at, 1) for (step, at), end in zip(steps, ends, strict=True)}
    return {"release": release.name, "ours_s": round(took, 1), "steps": lasted,
            "other_bytes": odd}  # fmt: skip


def by_hand(recipe: Recipe, lock: Lock, settings: Settings, work: Path) -> dict[str, Any]:
    """The same packages into a folder, the folder into a squashfs; the mirror is made before."""
    mirror, tree, image = work / "mirror", work / "tree", work / "by-hand.squashfs"
    debs = tuple(entry.deb() for entry in lock.packages)
    kept = settings.cache_dir / CACHE / "debs"
    line = make_repository(Packages(debs, kept, ()), recipe.suite, mirror)
    names = ",".join(name_and_version(deb.file)[0] for deb in debs)
    epoch = lock.source_date_epoch
    began = time.monotonic()
    command: list[str | Path] = ["mmdebstrap", "--mode=root", f"--variant={recipe.variant.value}",
               f"--include={names}", '--aptopt=APT::Install-Recommends "false"',
               recipe.suite, tree, line]  # fmt: skip
    env = {"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": str(work)}
    run(boxed(*command, env=env), timeout_s=TIMEOUT_S)
    unpacked = time.monotonic() - began
    squashfs.pack(tree, image, level=recipe.level, block_kib=recipe.block_kib, epoch=epoch)
    took = time.monotonic() - began
    size = image.stat().st_size
    for folder in (tree, mirror):
        shutil.rmtree(folder)
    image.unlink()
    return {"by_hand_s": round(took, 1), "by_hand_mmdebstrap_s": round(unpacked, 1),
            "by_hand_bytes": size}  # fmt: skip


if __name__ == "__main__":
    main()
