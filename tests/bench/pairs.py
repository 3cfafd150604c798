"""Real pairs of releases: the same packages, older and newer, from Debian's own archive.

The archive keeps a package as it was released beside its security update, so that a station
with stable, updates and security among its apt sources can fetch both. A pair is two trees of
unpacked packages: most of them unchanged, some in both versions.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.release import squashfs
from provisioner.run import run

FETCH_S = 900
# What both releases have alike, about 90 MB packed: libraries, programs, pictures, texts. Where
# Debian 12 and 13 have other names both are given; what an archive does not have is left out.
UNCHANGED = (
    "libllvm15|libllvm19", "libicu72|libicu76", "vim-runtime", "cpp-12|cpp-14-x86-64-linux-gnu",
    "libgl1-mesa-dri", "adwaita-icon-theme", "groff-base", "fonts-dejavu-core",
    "libboost-python1.74.0", "gnupg-l10n", "hunspell-en-us",
)  # fmt: skip
SMALL = ("groff-base", "fonts-dejavu-core", "vim-runtime")
ONE_PACKAGE = ("libssl3|libssl3t64",)
# Security updates and point releases: libraries, programs, scripts, texts.
POINT_RELEASE = (
    "libssl3|libssl3t64", "openssl", "libc6", "libc-bin", "systemd", "libsystemd0", "perl-base",
    "perl-modules-5.36|perl-modules-5.40", "python3.11-minimal|python3.13-minimal",
    "libpython3.11-stdlib|libpython3.13-stdlib", "libxml2", "libglib2.0-0|libglib2.0-0t64",
    "libmagickcore-6.q16-6", "openssh-client", "sudo", "libnss3", "xserver-xorg-core",
)  # fmt: skip
# Debian 12's archive has three versions of each: the oldest and the newest are two steps apart.
TWO_STEPS = ("libssl3|libssl3t64", "openssl", "openssh-client", "tzdata")


@dataclass(frozen=True)
class Pair:
    """Two trees, and the names of the packages in which they differ."""

    name: str
    old: Path
    new: Path
    changed: tuple[str, ...]
    package_bytes: int  # of the newer packages, as the archive has them


@functools.cache
def versions(package: str) -> list[str]:
    """The versions that apt can fetch, oldest first."""
    return sorted(_on_offer().get(package, ()), key=functools.cmp_to_key(_compare))


@functools.cache
def _on_offer() -> dict[str, set[str]]:
    """Versions of every package of this module, asked for at once: opening apt's cache takes
    longer than all answers."""
    groups = (UNCHANGED, SMALL, ONE_PACKAGE, POINT_RELEASE, TWO_STEPS)
    names = sorted({one for group in groups for name in group for one in name.split("|")})
    said = run(["apt-cache", "madison", *names], timeout_s=FETCH_S).stdout
    known: dict[str, set[str]] = {}
    for line in said.splitlines():
        package, version, source = (word.strip() for word in line.split("|"))
        if not source.endswith("Sources"):
            known.setdefault(package, set()).add(version)
    return known


def available(names: Sequence[str], least: int = 2) -> tuple[str, ...]:
    """Those packages of which apt can fetch at least so many versions; of `a|b` the first."""
    found = (
        next((one for one in name.split("|") if len(versions(one)) >= least), "") for name in names
    )
    return tuple(name for name in found if name)


def make_pair(work: Path, name: str, changed: Sequence[str], unchanged: Sequence[str]) -> Pair:
    """Two trees below `work`: the oldest and the newest version of each changed package.

    Raises CommandError when the archive no longer has them.
    """
    archive, place = work / "packages", work / name.replace(",", "").replace(" ", "-")
    old, new = Path(f"{place}-old"), Path(f"{place}-new")
    oldest = [(package, versions(package)[0]) for package in changed]
    newest = [(package, versions(package)[-1]) for package in (*unchanged, *changed)]
    fetch(archive, oldest + newest)
    before, now = fetch(archive, oldest), fetch(archive, newest)
    base, after = now[: len(unchanged)], now[len(unchanged) :]
    alike = unpacked(work, base)
    for tree, debs in ((old, before), (new, after)):
        shutil.rmtree(tree, ignore_errors=True)
        run(["cp", "-a", alike, tree], timeout_s=FETCH_S)
        for deb in debs:
            run(["dpkg-deb", "-x", deb, tree], timeout_s=FETCH_S)
    return Pair(name, old, new, tuple(changed), sum(deb.stat().st_size for deb in after))


def unpacked(work: Path, debs: Sequence[Path]) -> Path:
    """One tree of these packages, made once: every pair has the same ones alike."""
    digest = hashlib.sha256(" ".join(deb.name for deb in debs).encode()).hexdigest()[:16]
    tree, aside = work / f"alike-{digest}", work / f"alike-{digest}.part"
    if not tree.exists():
        shutil.rmtree(aside, ignore_errors=True)
        for deb in debs:
            run(["dpkg-deb", "-x", deb, aside], timeout_s=FETCH_S)
        aside.rename(tree)
    return tree


def tree_of(work: Path, small: bool = False) -> Path:
    """One tree of packages as they are today, the same as in the pair of one package."""
    name, base = ("one package, small", SMALL) if small else ("one package", UNCHANGED)
    return make_pair(work, name, available(ONE_PACKAGE, 1), available(base, 1)).new


def fetch(archive: Path, wanted: Sequence[tuple[str, str]]) -> list[Path]:
    """The .debs of these packages and versions, each fetched once and all that lack in one go:
    apt opens its cache anew for each call, which takes longer than most packages."""
    archive.mkdir(parents=True, exist_ok=True)
    with (archive / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lacking = {f"{package}={version}" for package, version in wanted
                   if _lying(archive, package, version) is None}  # fmt: skip
        if lacking:
            words = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"]
            run([*words, *sorted(lacking)], timeout_s=FETCH_S, cwd=archive)
        found = [_lying(archive, package, version) for package, version in wanted]
    assert None not in found, f"apt fetched other files than {sorted(lacking)}"
    return [path for path in found if path is not None]


def _lying(archive: Path, package: str, version: str) -> Path | None:
    mark = version.replace(":", "%3a")
    return next(archive.glob(f"{package}_{mark}_*.deb"), None)


def pack(tree: Path, out: Path, level: int = 9, block_kib: int = 128) -> Path:
    """The tree as a release's system image."""
    out.unlink(missing_ok=True)
    squashfs.pack(tree, out, level=level, block_kib=block_kib, epoch=1_700_000_000)
    return out


def _compare(one: str, other: str) -> int:
    words = ["dpkg", "--compare-versions", one, "lt", other]
    if one == other:
        return 0
    return -1 if run(words, timeout_s=20, check=False, env=dict(os.environ)).code == 0 else 1
