"""The initramfs of an installed system, made by initramfs-tools inside its own tree.

The recipe's `initramfs/` folder lies over /etc/initramfs-tools: `initramfs.conf`, `hooks/` and
`scripts/`, the latter with the program that `boot=` on the kernel's command line names. It is
made before the recipe's `files/` are in the tree, so that changing those does not make it anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release.boxed import run_inside
from provisioner.release.recipe import INITRAMFS, Recipe
from provisioner.release.tree import kernel_version, remove

MAKE_S = 1800
PLACE = Path("etc/initramfs-tools")
# The first bytes of what the kernel unpacks: gzip, xz, zstd, or an archive as it is
MAGICS = (b"\x1f\x8b", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"070701")


def install_scripts(recipe: Recipe, tree: Path) -> None:
    """Copy the recipe's early-boot programs to where initramfs-tools looks for them.

    Raises ConfigError when the recipe has none, or its packages no initramfs-tools.
    """
    if not (tree / PLACE).is_dir() or not recipe.sources(INITRAMFS):
        raise ConfigError(
            "A system needs the package initramfs-tools and a folder initramfs/ of its own.",
            "Extend a recipe that has both.", file=recipe.file, field="packages",
        )  # fmt: skip
    for source in recipe.sources(INITRAMFS):
        for path in sorted(source.rglob("*")):
            target = tree / PLACE / path.relative_to(source)
            if path.is_dir():
                target.mkdir(exist_ok=True)
            else:
                shutil.copyfile(path, target)
                target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def make_initramfs(tree: Path, out: Path, epoch: int) -> None:
    """Run mkinitramfs in the tree, with a /proc of its own. The same tree gives the same bytes."""
    inside = Path("tmp/initrd.img")
    run_inside(
        tree, "mkinitramfs", "-o", f"/{inside}", kernel_version(tree), timeout_s=MAKE_S,
        env={"SOURCE_DATE_EPOCH": str(epoch), "TMPDIR": "/tmp"},  # noqa: S108 - the tree's own
    )  # fmt: skip
    made = tree / inside
    if not made.is_file() or not made.read_bytes()[:6].startswith(MAGICS):
        raise ProofMissingError("mkinitramfs left no initramfs behind.")
    shutil.copyfile(made, out)
    remove(made)
