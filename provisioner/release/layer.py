"""A layer: programs and files laid over a running system, and taken off again.

systemd-sysext merges NAME.raw over `/usr` and `/opt` without a restart, when the system is of the
release that the layer says it fits (`extension-release.d`). It holds what its recipe has beyond
the recipe that it extends: packages that the system below has not got, unpacked and not set up,
and its own files. A contest is switched on and off that way.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.release import squashfs
from provisioner.release.bootstrap import name_and_version
from provisioner.release.cache import Cache
from provisioner.release.components import Item, our_item
from provisioner.release.licences import read_names
from provisioner.release.loader import Loaders
from provisioner.release.materials import Materials, Wishes
from provisioner.release.packages import Deb, Packages, PrivateApt, base_words
from provisioner.release.progress import Report, part_of
from provisioner.release.recipe import FILES, Recipe, load_recipe
from provisioner.release.repository import control
from provisioner.release.sources import station_apt_options, station_mirror
from provisioner.release.tree import copy_files, exclude
from provisioner.run import run

MERGED = frozenset({"opt", "usr"})
FITS = "usr/lib/extension-release.d/extension-release.{name}"
UNPACK_S = 1800
_SOURCE = re.compile(r"^Source: (\S+)(?: \(([^)]+)\))?$", re.MULTILINE)
_OS = re.compile(r"^(ID|VERSION_ID)=\"?([A-Za-z0-9._-]+)\"?$", re.MULTILINE)


def gather_layer(recipe: Recipe, cache: Cache, wishes: Wishes, report: Report) -> Materials:
    """What the layer has beyond the recipe below it. Raises ConfigError when there is none."""
    below = below_of(recipe)
    apt = PrivateApt(cache, station_mirror(wishes.mirror), recipe.suite, recipe.components,
                     station_apt_options(), wishes.offline)  # fmt: skip
    report("Reading Debian's package lists", 0.05)
    apt.update()
    everything = apt.resolve([*base_words(recipe.variant), *recipe.packages])
    lower = apt.resolve([*base_words(below.variant), *below.packages])
    own = tuple(deb for deb in everything if deb not in lower)
    release = next(deb for deb in lower if deb.file.startswith("base-files_"))
    packages = apt.download_exactly([*own, release], part_of(report, 0.1, 0.6))
    epoch = max(packages.epoch, wishes.epoch or 0)
    mine = Packages(own, packages.folder, packages.sources)
    return Materials(recipe, mine, packages.folder / release.file, Loaders(Path(), ()), epoch)


def below_of(recipe: Recipe) -> Recipe:
    """The recipe that a layer is laid over. Raises ConfigError when it extends none."""
    if len(recipe.folders) < 2:
        raise ConfigError("A layer extends the recipe that it is laid over.",
                          "Write “extends: NAME”.", file=recipe.file, field="extends")  # fmt: skip
    return load_recipe(recipe.folders[-2])


def make_layer(materials: Materials, work: Path, folder: Path) -> list[Item]:
    """Make NAME.raw in the release's `folder`; what is in it."""
    recipe = materials.recipe
    tree = work / "layer"
    tree.mkdir(mode=0o755)
    for path in materials.packages.paths:
        run(["dpkg-deb", "--extract", path, tree], timeout_s=UNPACK_S)
    if (own := recipe.folders[-1] / FILES).is_dir():
        copy_files(own, tree)
    exclude(tree, recipe.exclude, recipe.keep)
    own_files = zip(materials.packages.debs, materials.packages.paths, strict=True)
    items = [our_item(), *(_item(deb, path, tree, recipe) for deb, path in own_files)]
    check_merged(recipe, tree)
    write_fits(recipe.name, tree, _os_release(materials.archive, work))
    image = folder / f"{recipe.name}.raw"
    squashfs.pack(tree, image, level=recipe.level, block_kib=recipe.block_kib,
                  epoch=materials.epoch)  # fmt: skip
    return items


def check_merged(recipe: Recipe, tree: Path) -> None:
    """Raises ConfigError for what systemd-sysext would silently leave out."""
    if odd := sorted(
        path.relative_to(tree).as_posix()
        for path in tree.rglob("*")
        if path.relative_to(tree).parts[0] not in MERGED and not path.is_dir()
    ):
        raise ConfigError(
            f"A layer holds only /usr and /opt, not /{odd[0]}.",
            "Put such files into the recipe below, or settings under /usr/lib and /usr/share.",
            file=recipe.file,
        )  # fmt: skip
    for path in tree.iterdir():
        if path.name not in MERGED:
            shutil.rmtree(path)


def write_fits(name: str, tree: Path, os_release: str) -> None:
    """Write which system the layer fits, from that system's os-release.

    Raises ProofMissingError when that says nothing: the layer would then merge over anything.
    """
    fields = dict(_OS.findall(os_release))
    if set(fields) != {"ID", "VERSION_ID"}:
        raise ProofMissingError("The system below does not say which release it is.")
    path = tree / FITS.format(name=name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"ID={fields['ID']}\nVERSION_ID={fields['VERSION_ID']}\n")


def _item(deb: Deb, path: Path, tree: Path, recipe: Recipe) -> Item:
    name, version = name_and_version(deb.file)
    found = _SOURCE.search(control(path))
    source = f"{found[1]} {found[2] or version}" if found else f"{name} {version}"
    own = recipe.licences.get(name)
    licences = tuple(own.split(", ")) if own else tuple(read_names(tree, name))
    return Item(name, version, licences, source=source, sha256=deb.sha256)


def _os_release(base_files: Path, work: Path) -> str:
    unpacked = work / "base-files"
    run(["dpkg-deb", "--extract", base_files, unpacked], timeout_s=UNPACK_S)
    return (unpacked / "usr/lib/os-release").read_text()
