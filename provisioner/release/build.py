"""MAKING: a recipe becomes a signed release in the catalogue.

`build_release` is the list of steps. What depends only on Debian's packages is kept in the
cache by content, so that a build after a change of ours takes seconds. The release appears in
the catalogue by one rename, complete and signed, or not at all.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, NotFoundError, ProvisionerError, StationError
from provisioner.model.release import (
    INITRD,
    KERNEL,
    SYSTEM,
    Component,
    Manifest,
    ReleaseFile,
    ReleaseKind,
)
from provisioner.model.signed import PrivateKey
from provisioner.release import live, squashfs
from provisioner.release import manifest as manifests
from provisioner.release.bootstrap import TreePlan, check_installed, ensure_tree, unpack
from provisioner.release.cache import Cache, key_of
from provisioner.release.catalog import Catalog
from provisioner.release.chunking import add_chunk_map
from provisioner.release.content import PACKAGE, add_ours, agent_digest, save_console
from provisioner.release.initramfs import install_scripts, make_initramfs
from provisioner.release.licences import read_licence
from provisioner.release.loader import X64, Loaders, check_pe, ensure_loaders
from provisioner.release.packages import ARCHITECTURE, Packages, PrivateApt, packages_of
from provisioner.release.recipe import (
    INITRAMFS,
    Recipe,
    folder_digest,
    load_recipe,
    recipe_digest,
)
from provisioner.release.sources import station_apt_options, station_mirror
from provisioner.release.tree import (
    clean,
    exclude,
    installed_bytes,
    kernel_version,
    prune_modules,
)
from provisioner.swarm.torrent import LEAST_BYTES, TORRENT, hash_file, make_torrent

Report = Callable[[str, float], None]
CACHE = "build"  # the builder's own part of the cache folder
GENERATION = 1  # part of the cached pieces' keys: raise it when the way they are made changes


@dataclass(frozen=True)
class Materials:
    """Everything that a release is made from."""

    recipe: Recipe
    packages: Packages
    archive: Path
    loaders: Loaders
    epoch: int


@dataclass(frozen=True)
class Made:
    """What came out, beside the files: package list and unpacked size in bytes."""

    components: tuple[Component, ...]
    installed_bytes: int


def build_release(
    recipe_folder: Path,
    *,
    catalog: Catalog,
    key: PrivateKey,
    cache: Path,
    mirror: str = "",
    report: Report = lambda _step, _fraction: None,
    source_date_epoch: int | None = None,
) -> Manifest:
    """Build a recipe into a new release of the catalogue, signed with `key`.

    `mirror` replaces the archive of the station's own apt sources. `source_date_epoch` is the
    latest time in the image, in seconds since 1970; the youngest package's when that is later
    or none is given. `report` gets each step and how much is done, from 0 to 1.

    Raises ConfigError (recipe), StationError (network, disk, rights), ProofMissingError.
    """
    recipe = load_recipe(recipe_folder)
    store = Cache(cache / CACHE)
    with _disk_full_explained(), store.locked(lambda: report("Waiting for another build", 0.0)):
        catalog.sweep()
        materials = gather(recipe, store, mirror, report, source_date_epoch)
        with store.workspace() as work, catalog.building() as folder:
            report("Unpacking the tree", 0.45)
            tree = work / "tree"
            unpack(materials.archive, tree)
            check_installed(tree, materials.packages)
            make = make_live if recipe.kind is ReleaseKind.LIVE else make_system
            made = make(materials, tree, folder, store, report)
            materials.loaders.copy(recipe.kind, folder)
            report("Noting its pieces", 0.93)
            add_chunk_map(folder)
            report("Signing", 0.95)
            return publish(materials, made, folder, catalog, key)


def ensure_release(
    recipe_folder: Path,
    *,
    catalog: Catalog,
    key: PrivateKey,
    cache: Path,
    mirror: str = "",
    report: Report = lambda _step, _fraction: None,
) -> Manifest:
    """The newest release of a recipe, built only when recipe, agent or builder have changed.

    New packages in Debian's archive are no reason: needs no network when nothing has changed.
    """
    recipe = load_recipe(recipe_folder)
    with contextlib.suppress(NotFoundError, ProvisionerError):
        newest = catalog.verify(catalog.get(recipe.name).id, trusted=key.public)
        if newest.recipe_sha256 == inputs_digest(recipe):
            return newest
    return build_release(
        recipe_folder, catalog=catalog, key=key, cache=cache, mirror=mirror, report=report
    )


def gather(
    recipe: Recipe, cache: Cache, mirror: str, report: Report, wanted_epoch: int | None
) -> Materials:
    """Resolve and fetch packages, make tree and loaders or find them in the cache."""
    options = station_apt_options()
    report("Reading Debian's package lists", 0.02)
    apt = PrivateApt(cache, station_mirror(mirror), recipe.suite, recipe.components, options)
    apt.update()
    report("Fetching packages", 0.05)
    packages = packages_of(recipe, apt)
    loaders = ensure_loaders(apt, cache)
    plan = TreePlan(recipe.variant.value, recipe.suite, recipe.packages, recipe.debconf)
    archive = ensure_tree(
        plan, packages, options, cache, lambda: report("Installing packages into a tree", 0.15)
    )
    epoch = max(packages.epoch, wanted_epoch or 0)
    if time.time() < epoch:
        raise StationError(
            "This station's clock is behind the packages' dates.", "Set the clock, then build."
        )
    return Materials(recipe, packages, archive, loaders, epoch)


def make_system(
    materials: Materials, tree: Path, folder: Path, cache: Cache, report: Report
) -> Made:
    """An installed system: one squashfs, kernel and initramfs."""
    recipe, epoch = materials.recipe, materials.epoch
    copy_kernel(tree, folder)
    prune_modules(tree, recipe.modules.keep, recipe.modules.drop)
    install_scripts(recipe, tree)
    report("Making the initramfs", 0.5)
    parts = [folder_digest(source) for source in recipe.sources(INITRAMFS)]
    initrd = cache.entry(
        "initramfs",
        key_of(GENERATION, materials.archive.name, recipe.modules, parts, epoch),
        lambda out: make_initramfs(tree, out, epoch),
    )
    (folder / INITRD).write_bytes(initrd.read_bytes())
    exclude(tree, recipe.exclude, recipe.keep)
    clean(tree)
    add_ours(recipe, tree, tree)
    save_console(tree, epoch)
    made = take_stock(materials, tree)
    report("Packing the system", 0.6)
    squashfs.pack(tree, folder / SYSTEM, level=recipe.level, block_kib=recipe.block_kib,
                  epoch=epoch, library=squashfs.own_library(tree))  # fmt: skip
    return made


def make_live(materials: Materials, tree: Path, folder: Path, cache: Cache, report: Report) -> Made:
    """A live environment: kernel, and one initramfs with everything in it."""
    recipe = materials.recipe
    copy_kernel(tree, folder)
    with cache.workspace() as work:
        layer = work / "layer"
        layer.mkdir()
        add_ours(recipe, layer, tree)
        agent = work / "agent.squashfs"
        squashfs.pack(layer, agent, level=recipe.level, block_kib=recipe.block_kib,
                      epoch=materials.epoch)  # fmt: skip
        prune_modules(tree, recipe.modules.keep, recipe.modules.drop)
        first = live.first_archive(recipe, tree)
        exclude(tree, recipe.exclude, recipe.keep)
        clean(tree)
        made = take_stock(materials, tree)
        base = ensure_base(materials, tree, cache, report)
        layers = {live.BASE: base, live.AGENT: agent}
        live.write_initramfs(first, layers, folder / INITRD)
    return made


def ensure_base(materials: Materials, tree: Path, cache: Cache, report: Report) -> Path:
    """The live environment's packages, packed; takes a minute, and is kept by what it holds."""
    recipe = materials.recipe
    key = key_of(
        GENERATION, materials.packages.key, materials.epoch, recipe.exclude, recipe.keep,
        recipe.modules, recipe.level, recipe.block_kib,
    )  # fmt: skip

    def make(out: Path) -> None:
        report("Packing the live environment", 0.6)
        squashfs.pack(tree, out, level=recipe.level, block_kib=recipe.block_kib,
                      epoch=materials.epoch)  # fmt: skip

    return cache.entry("live-bases", key, make)


def copy_kernel(tree: Path, folder: Path) -> None:
    """Copy the kernel out of the tree; it must be the signed one, for Secure Boot."""
    source = tree / "boot" / f"vmlinuz-{kernel_version(tree)}"
    (folder / KERNEL).write_bytes(source.read_bytes())
    check_pe(folder / KERNEL, X64, signed=True)


def take_stock(materials: Materials, tree: Path) -> Made:
    """The release's packages, those of its loaders included, with their licences."""
    own = materials.recipe.licences
    components = {
        name: Component(name=name, version=version, licence=own.get(name, read_licence(tree, name)))
        for name, version in check_installed(tree, materials.packages).items()
    }
    components |= {component.name: component for component in materials.loaders.components()}
    return Made(tuple(components[name] for name in sorted(components)), installed_bytes(tree))


def publish(
    materials: Materials, made: Made, folder: Path, catalog: Catalog, key: PrivateKey
) -> Manifest:
    """Sign what lies in `folder` and give it its name in the catalogue."""
    recipe = materials.recipe
    today = datetime.datetime.now(datetime.UTC).date()
    version, number = catalog.next_version(recipe.name, today)
    manifest = Manifest(
        name=recipe.name,
        version=version,
        number=number,
        kind=recipe.kind,
        suite=recipe.suite,
        architecture=ARCHITECTURE,
        source_date_epoch=materials.epoch,
        recipe_sha256=inputs_digest(recipe),
        minimum=recipe.minimum,
        installed_bytes=made.installed_bytes,
        files=list_carried(folder, f"{recipe.name}@{version}", recipe.kind),
        components=made.components,
    )
    manifests.write_manifest(folder, manifest, key)
    catalog.publish(folder, manifest)
    return catalog.verify(manifest.id, trusted=key.public)


def list_carried(folder: Path, release: str, kind: ReleaseKind) -> tuple[ReleaseFile, ...]:
    """Every file of a release for its manifest, with the torrent that carries the large ones.

    The torrent is written first, so that the signature covers it. Of the smaller files, and of
    the torrent itself, the root of the hash tree is all that a swarm of neighbours needs. Firmware
    fetches a live environment by itself and knows no swarm.
    """
    torrent = make_torrent(folder, release) if kind is ReleaseKind.SYSTEM else None
    if torrent is None:
        return manifests.list_files(folder)
    (folder / TORRENT).write_bytes(torrent.encode())
    roots = {entry.path: entry.root.hex() for entry in torrent.files}
    return tuple(
        entry.model_copy(update={"merkle": roots.get(entry.path) or _root(folder / entry.path)})
        for entry in manifests.list_files(folder)
    )


def _root(path: Path) -> str | None:
    """The root of a small file's hash tree; an empty one has none."""
    size = path.stat().st_size
    return hash_file(path.name, path, max(size, LEAST_BYTES)).root.hex() if size else None


def inputs_digest(recipe: Recipe, package: Path = PACKAGE) -> str:
    """SHA-256 over what of ours decides the result: recipe and files, agent, the builder."""
    builder = sorted((package / "release").glob("*.py"))
    return key_of(
        recipe_digest(recipe), agent_digest(package), *(path.read_text() for path in builder)
    )


@contextlib.contextmanager
def _disk_full_explained() -> Iterator[None]:
    """Whatever ran out of room says so in the same words."""
    hint = "Make room in the cache's or the catalogue's folder; what was half built is removed."
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StationError(f"The disk is full: {error.filename or ''}.", hint) from error
    except CommandError as error:
        if "No space left on device" not in error.message:
            raise
        raise StationError(f"The disk is full.\n{error.message}", hint) from error
