"""MAKING: a recipe becomes a signed release in the catalogue.

`build_release` is the list of steps. What depends only on Debian's packages is kept in the
cache by content, so that a build after a change of ours takes seconds. The release appears in
the catalogue by one rename, complete and signed, or not at all.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
from collections.abc import Iterator, Sequence
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
from provisioner.release.audit import audit
from provisioner.release.bootstrap import check_installed, unpack
from provisioner.release.cache import Cache, key_of
from provisioner.release.catalog import Catalog
from provisioner.release.chunking import add_chunk_map
from provisioner.release.components import (
    check_licences,
    debian_items,
    loader_items,
    our_item,
    part_items,
)
from provisioner.release.content import PACKAGE, add_ours, agent_digest, save_console
from provisioner.release.initramfs import install_scripts, make_initramfs
from provisioner.release.layer import gather_layer, make_layer
from provisioner.release.loader import X64, check_pe
from provisioner.release.lock import write_lock
from provisioner.release.materials import NEWEST, Materials, Wishes, gather
from provisioner.release.packages import ARCHITECTURE
from provisioner.release.papers import write_papers
from provisioner.release.parts import Part, find_parts
from provisioner.release.progress import Report, part_of, silent, size_of, watched
from provisioner.release.recipe import (
    INITRAMFS,
    Recipe,
    folder_digest,
    load_recipe,
    recipe_digest,
)
from provisioner.release.refresh import refresh
from provisioner.release.tree import (
    clean,
    copy_files,
    exclude,
    installed_bytes,
    kernel_version,
    prune_modules,
)
from provisioner.swarm.torrent import LEAST_BYTES, TORRENT, hash_file, make_torrent

CACHE = "build"  # the builder's own part of the cache folder
PACKED = 0.45  # of a tree's bytes come out of mksquashfs, by experience; only for the progress
GENERATION = 1  # part of the cached pieces' keys: raise it when the way they are made changes


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
    wishes: Wishes = NEWEST,
    report: Report = silent,
) -> Manifest:
    """Build a recipe into a new release of the catalogue, signed with `key`.

    `report` gets each step and how much is done, from 0 to 1. What was fetched or made is kept in
    the cache as it is finished, so that a build that was cut short goes on from there.

    Raises ConfigError (recipe), StationError (network, disk, rights), ProofMissingError.
    """
    recipe = load_recipe(recipe_folder)
    store = Cache(cache / CACHE)
    with _disk_full_explained(), store.locked(lambda: report("Waiting for another build", 0.0)):
        catalog.sweep()
        if recipe.kind is ReleaseKind.LAYER:
            return build_layer(recipe, store, catalog, key, wishes, report)
        materials = gather(recipe, store, wishes, report)
        with store.workspace() as work, catalog.building() as folder:
            report("Unpacking the tree", 0.5)
            tree = work / "tree"
            unpack(materials.archive, tree)
            check_installed(tree, materials.packages)
            make = make_live if recipe.kind is ReleaseKind.LIVE else make_system
            made = make(materials, tree, folder, store, report)
            materials.loaders.copy(recipe.kind, folder)
            report("Noting its pieces", 0.93)
            add_chunk_map(folder)
            report("Signing", 0.95)
            manifest = publish(materials, made, folder, catalog, key)
            report("Done", 1.0)
            return manifest


def build_layer(
    recipe: Recipe, cache: Cache, catalog: Catalog, key: PrivateKey, wishes: Wishes, report: Report
) -> Manifest:
    """A layer: no tree is installed, so it takes seconds."""
    materials = gather_layer(recipe, cache, wishes, report)
    with cache.workspace() as work, catalog.building() as folder:
        report("Packing the layer", 0.7)
        items = make_layer(materials, work, folder)
        check_licences(items, recipe)
        write_papers(recipe, items, materials.epoch, None, folder)
        write_lock(folder, materials.lock())
        components = tuple(item.component() for item in sorted(items, key=lambda item: item.name))
        report("Signing", 0.95)
        made = Made(components, installed_bytes(work / "layer"))
        manifest = publish(materials, made, folder, catalog, key)
        report("Done", 1.0)
        return manifest


def ensure_release(
    recipe_folder: Path,
    *,
    catalog: Catalog,
    key: PrivateKey,
    cache: Path,
    wishes: Wishes = NEWEST,
    report: Report = silent,
) -> Manifest:
    """The newest release of a recipe, built only when recipe, agent or builder have changed.

    New packages in Debian's archive are no reason: needs no network when nothing has changed.
    """
    recipe = load_recipe(recipe_folder)
    with contextlib.suppress(NotFoundError, ProvisionerError):
        newest = catalog.verify(catalog.get(recipe.name).id, trusted=key.public)
        if newest.recipe_sha256 == inputs_digest(recipe, find_parts(recipe, wishes.parts)):
            return newest
    return build_release(
        recipe_folder, catalog=catalog, key=key, cache=cache, wishes=wishes, report=report
    )


def make_system(
    materials: Materials, tree: Path, folder: Path, cache: Cache, report: Report
) -> Made:
    """An installed system: one squashfs, kernel and initramfs."""
    recipe, epoch = materials.recipe, materials.epoch
    copy_kernel(tree, folder)
    prune_modules(tree, recipe.modules.keep, recipe.modules.drop)
    install_scripts(recipe, tree)
    report("Making the initramfs", 0.55)
    parts = [folder_digest(source) for source in recipe.sources(INITRAMFS)]
    initrd = cache.entry(
        "initramfs",
        key_of(GENERATION, materials.archive.name, recipe.modules, parts, epoch),
        lambda out: make_initramfs(tree, out, epoch),
    )
    (folder / INITRD).write_bytes(initrd.read_bytes())
    exclude(tree, recipe.exclude, recipe.keep)
    clean(tree)
    for part in materials.parts:
        copy_files(part.folder, tree)
    add_ours(recipe, tree, tree)
    save_console(tree, epoch)
    refresh(tree)
    made = take_stock(materials, tree, folder, inside=True)
    audit(tree)
    with watched(part_of(report, 0.6, 0.92), "Packing the system",
                 lambda: size_of(folder / SYSTEM) / (made.installed_bytes * PACKED)):  # fmt: skip
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
        made = take_stock(materials, tree, folder, inside=False)
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


def take_stock(materials: Materials, tree: Path, folder: Path, *, inside: bool) -> Made:
    """Everything in the release with its licences: bill of materials, licence page, lock.

    `inside` writes the bill and the page into the tree as well. Raises ConfigError for something
    without a licence.
    """
    recipe = materials.recipe
    check_installed(tree, materials.packages)
    digests = {deb.file.partition("_")[0]: deb.sha256 for deb in materials.packages.debs}
    inner = [*debian_items(tree, recipe, digests), *part_items(materials.parts), our_item()]
    items = list(dict.fromkeys([*inner, *loader_items(materials.loaders.components())]))
    check_licences(items, recipe)
    write_papers(recipe, items, materials.epoch, tree if inside else None, folder)
    write_lock(folder, materials.lock())
    components = {(item.origin, item.name): item.component() for item in reversed(items)}
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
        over=recipe.folders[-2].name if recipe.kind is ReleaseKind.LAYER else None,
        source_date_epoch=materials.epoch,
        recipe_sha256=inputs_digest(recipe, materials.parts),
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
    if kind is ReleaseKind.LIVE:
        return manifests.list_files(folder)
    torrent = make_torrent(folder, release)
    if torrent is not None:
        (folder / TORRENT).write_bytes(torrent.encode())
    roots = {entry.path: entry.root.hex() for entry in torrent.files} if torrent else {}
    return tuple(
        entry.model_copy(update={"merkle": roots.get(entry.path) or _root(folder / entry.path)})
        for entry in manifests.list_files(folder)
    )


def _root(path: Path) -> str | None:
    """The root of a small file's hash tree; an empty one has none."""
    size = path.stat().st_size
    return hash_file(path.name, path, max(size, LEAST_BYTES)).root.hex() if size else None


def inputs_digest(recipe: Recipe, parts: Sequence[Part] = (), package: Path = PACKAGE) -> str:
    """SHA-256 over what of ours decides the result: recipe, files, parts, agent, the builder."""
    builder = sorted((package / "release").glob("*.py"))
    made = [part.sha256 for part in parts]
    return key_of(
        recipe_digest(recipe), agent_digest(package), *made, *(path.read_text() for path in builder)
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
