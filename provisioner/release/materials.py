"""Everything that a release is made from, fetched or found in the cache before anything is made."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import StationError
from provisioner.release.bootstrap import TreePlan, ensure_tree
from provisioner.release.cache import Cache
from provisioner.release.loader import Loaders, ensure_loaders
from provisioner.release.lock import Lock, locked
from provisioner.release.packages import Packages, PrivateApt, packages_of
from provisioner.release.parts import Part, find_parts
from provisioner.release.progress import Report, part_of
from provisioner.release.recipe import Recipe
from provisioner.release.sources import station_apt_options, station_mirror


@dataclass(frozen=True)
class Wishes:
    """How to build, beside the recipe.

    `mirror` replaces the archive of the station's own apt sources. `epoch` is the latest time
    in the image, in seconds since 1970; the youngest package's when that is later or none is
    given. With `lock` just its packages are taken; `offline` asks no archive.
    """

    mirror: str = ""
    epoch: int | None = None
    lock: Lock | None = None
    offline: bool = False
    parts: Path = Path("/nonexistent")


NEWEST = Wishes()  # the newest packages, from the station's own mirror


@dataclass(frozen=True)
class Materials:
    """Everything that a release is made from."""

    recipe: Recipe
    packages: Packages
    archive: Path
    loaders: Loaders
    epoch: int
    parts: tuple[Part, ...] = ()

    def lock(self) -> Lock:
        """The lock with which the same can be built again."""
        return Lock(
            recipe=self.recipe.name,
            suite=self.recipe.suite,
            source_date_epoch=self.epoch,
            packages=locked(self.packages.debs),
            loaders=locked(self.loaders.debs),
            parts={part.name: part.sha256 for part in self.parts},
        )


def gather(recipe: Recipe, cache: Cache, wishes: Wishes, report: Report) -> Materials:
    """Resolve and fetch packages, make tree and loaders or find them in the cache."""
    lock = wishes.lock
    if lock:
        lock.check(recipe)
    parts = find_parts(recipe, wishes.parts)
    if lock:
        lock.check_parts({part.name: part.sha256 for part in parts})
    apt = PrivateApt(cache, station_mirror(wishes.mirror), recipe.suite, recipe.components,
                     station_apt_options(), wishes.offline)  # fmt: skip
    packages, loaders = _fetch(recipe, apt, cache, lock, report)
    plan = TreePlan(recipe.variant.value, recipe.suite, recipe.debconf)
    archive = ensure_tree(plan, packages, cache, part_of(report, 0.2, 0.5))
    epoch = lock.source_date_epoch if lock else max(packages.epoch, wishes.epoch or 0)
    if time.time() < epoch:
        raise StationError(
            "This station's clock is behind the packages' dates.", "Set the clock, then build."
        )
    return Materials(recipe, packages, archive, loaders, epoch, parts)


def _fetch(
    recipe: Recipe, apt: PrivateApt, cache: Cache, lock: Lock | None, report: Report
) -> tuple[Packages, Loaders]:
    """The packages and the loaders: the newest, or just those of the lock."""
    fetching = part_of(report, 0.05, 0.2)
    if lock is None or apt.missing([entry.deb() for entry in (*lock.packages, *lock.loaders)]):
        report("Reading Debian's package lists", 0.02)
        apt.update()
    if lock is None:
        packages = packages_of(recipe, apt, fetching)
        return packages, ensure_loaders(apt, cache)
    packages = apt.download_exactly([entry.deb() for entry in lock.packages], fetching)
    return packages, ensure_loaders(apt, cache, tuple(entry.deb() for entry in lock.loaders))
