"""Which packages exactly a recipe comes to, and their .deb files.

A private apt (its own lists and cache, none of the station's packages) resolves the recipe's
names to file names and SHA-256 digests. Those are the key of everything that is built from
them, and the newest date inside them is the release's SOURCE_DATE_EPOCH: same packages, same
bytes, whichever day it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, ConfigError, StationError, nearest
from provisioner.release.cache import Cache, key_of
from provisioner.release.progress import Report, silent, size_of, watched
from provisioner.release.recipe import Recipe, Variant
from provisioner.release.sources import KEYRING, Mirror
from provisioner.run import Finished, run
from provisioner.yaml_file import load_plain

ARCHITECTURE = "amd64"
UPDATE_S, RESOLVE_S, DOWNLOAD_S = 1800, 1200, 4 * 3600
FETCHING = "Fetching packages"
_URI = re.compile(r"^'[^']+' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
_UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation cand")
_GONE = re.compile(r"Version '([^']+)' for '([^']+)' was not found|locate package (\S+)")
_AR_MEMBER = 60  # bytes of a member's header in an `ar` archive; its date stands at 16..28
_AR_START = len(b"!<arch>\n")


@dataclass(frozen=True)
class Deb:
    """One package file, as apt names it in its cache."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Packages:
    """All packages of one tree, and where their files lie."""

    debs: tuple[Deb, ...]
    folder: Path
    sources: tuple[str, ...]

    @property
    def key(self) -> str:
        return key_of(*(f"{deb.file} {deb.sha256}" for deb in self.debs))

    @property
    def paths(self) -> list[Path]:
        return [self.folder / deb.file for deb in self.debs]

    @property
    def epoch(self) -> int:
        """Seconds since 1970 of the youngest package: no file in them is younger."""
        return max(deb_epoch(_start_of(path)) for path in self.paths)


class PrivateApt:
    """An apt of the builder's own, for one mirror, suite and set of components."""

    def __init__(
        self, cache: Cache, mirror: Mirror, suite: str, components: Sequence[str],
        options: Iterable[str], offline: bool = False, with_source: bool = False,
    ) -> None:  # fmt: skip
        self.sources = tuple(mirror.lines(suite, components))
        if with_source:
            self.sources += tuple(line.replace("deb ", "deb-src ", 1) for line in self.sources)
        self.offline = offline
        self._debs = cache.folder("debs")
        self._root = cache.folder(f"apt/{key_of(*self.sources)[:16]}")
        self._config = self._root / "apt.conf"
        self._write_config(options)

    def update(self) -> None:
        """Fetch the package lists, checked against Debian's keys; offline, see that they are there.

        Raises StationError.
        """
        if self.offline:
            if not any((self._root / "lists").glob("*_Packages*")):
                raise StationError(
                    "The cache holds no package lists of this suite, and the build is offline.",
                    "Build once with the network, or bring the cache of a station that did.",
                )
            return
        done = self._apt("apt-get", "update", "--error-on=any", timeout_s=UPDATE_S, check=False)
        if done.code != 0:
            raise StationError(
                f"Debian's package lists cannot be fetched:\n{_last_lines(done.stderr)}",
                "Check the station's Internet, its apt sources, and that the package "
                "debian-archive-keyring is up to date.",
            )

    def source(self, source: str, into: Path) -> bool:
        """Download one source package (`name=version`); False when the archive has it no more."""
        done = self._apt("apt-get", "source", "--download-only", "--only-source", source,
                         timeout_s=DOWNLOAD_S, check=False, cwd=into)  # fmt: skip
        return done.code == 0

    def resolve(self, words: Sequence[str]) -> tuple[Deb, ...]:
        """Everything that installing `words` (names or apt patterns) brings, without recommends.

        Raises CommandError when apt knows no answer.
        """
        done = self._apt(
            "apt-get", "install", "--print-uris", "--yes", *words,
            "-o", f"Dir::Cache::archives={self._root}/none/", timeout_s=RESOLVE_S,
        )  # fmt: skip
        return parse_uris(done.stdout)

    def download(
        self, words: Sequence[str], debs: Sequence[Deb], report: Report = silent
    ) -> Packages:
        """Bring what is missing of `debs` into the cache; apt checks their digests."""
        if self.missing(debs):
            self._online(debs)
            self._fetch(debs, ("apt-get", "install", "--download-only", "--yes", *words), report)
        return self._whole(debs)

    def download_exactly(self, debs: Sequence[Deb], report: Report = silent) -> Packages:
        """Bring just these versions into the cache, whatever is newest. Raises StationError."""
        if missing := self.missing(debs):
            self._online(debs)
            versions = [pinned(deb.file) for deb in missing]
            self._fetch(missing, ("apt-get", "download", *versions), report)
        return self._whole(debs)

    def missing(self, debs: Sequence[Deb]) -> list[Deb]:
        """Those that are not in the cache, or only in part."""
        return [deb for deb in debs if not _is_here(self._debs / deb.file, deb)]

    def _online(self, debs: Sequence[Deb]) -> None:
        if self.offline:
            missing = self.missing(debs)
            raise StationError(
                f"{len(missing)} packages are not in the cache, and the build is offline: "
                f"{_some(deb.file for deb in missing)}.",
                "Build once with the network, or bring the cache of a station that did.",
            )

    def _fetch(self, debs: Sequence[Deb], command: Sequence[str], report: Report) -> None:
        total = sum(deb.size for deb in debs)

        def share() -> float:
            places = (self._debs, self._debs / "partial")
            return sum(size_of(place / deb.file) for deb in debs for place in places) / total

        with watched(report, FETCHING, share):
            done = self._apt(*command, timeout_s=DOWNLOAD_S, check=False, cwd=self._debs)
        if gone := parse_gone(done.stderr):
            raise StationError(
                f"Debian's archive no longer has {_some(gone)}.",
                "Build without the lock, or bring the cache of the station that made it.",
            )
        if done.code != 0:
            raise CommandError(f"Packages cannot be fetched:\n{_last_lines(done.stderr)}",
                               "What has arrived is kept; build again to go on.")  # fmt: skip

    def _whole(self, debs: Sequence[Deb]) -> Packages:
        for deb in self.missing(debs):
            raise StationError(
                f"{deb.file} did not arrive whole.", "Is the disk full? Then build again."
            )
        for deb in debs:
            os.utime(self._debs / deb.file)  # used now: the cache keeps it
        return Packages(tuple(debs), self._debs, self.sources)

    def names(self) -> list[str]:
        """Every package name in the lists."""
        return self._apt("apt-cache", "pkgnames", timeout_s=RESOLVE_S).stdout.split()

    def _apt(
        self, *words: str, timeout_s: float, check: bool = True, cwd: Path | None = None
    ) -> Finished:
        env = {"APT_CONFIG": str(self._config), "DEBIAN_FRONTEND": "noninteractive"}
        return run(words, timeout_s=timeout_s, check=check, env=env, cwd=cwd)

    def _write_config(self, options: Iterable[str]) -> None:
        root = self._root
        for folder in ("lists/partial", "none/partial", "empty"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (self._debs / "partial").mkdir(exist_ok=True)
        (root / "status").touch()
        (root / "sources.list").write_text("".join(f"{line}\n" for line in self.sources))
        lines = [
            f'APT::Architecture "{ARCHITECTURE}"',
            f'APT::Architectures {{ "{ARCHITECTURE}"; }}',
            'APT::Install-Recommends "false"',
            'APT::Sandbox::User "root"',
            'pkgCacheGen::ForceEssential ","',  # only what says so is essential, not apt itself
            'Acquire::Languages "none"',
            'Acquire::ForceHash "SHA256"',
            f'Dir::State "{root}"',
            f'Dir::State::lists "{root}/lists/"',
            f'Dir::State::status "{root}/status"',
            f'Dir::Cache "{root}"',
            f'Dir::Cache::archives "{self._debs}/"',
            f'Dir::Etc::SourceList "{root}/sources.list"',
            f'Dir::Etc::SourceParts "{root}/empty/"',
            f'Dir::Etc::Parts "{root}/empty/"',
            f'Dir::Etc::Main "{root}/empty/none"',
            f'Dir::Etc::Preferences "{root}/empty/none"',
            f'Dir::Etc::PreferencesParts "{root}/empty/"',
            f'Dir::Etc::Trusted "{KEYRING}"',
            f'Dir::Etc::TrustedParts "{root}/empty/"',
            *options,
        ]
        self._config.write_text("".join(f"{line};\n" for line in lines))


def packages_of(recipe: Recipe, apt: PrivateApt, report: Report = silent) -> Packages:
    """Resolve and download a recipe's packages. Raises ConfigError for an unknown name."""
    words = [*base_words(recipe.variant), *recipe.packages]
    try:
        debs = apt.resolve(words)
    except CommandError as error:
        unknown = parse_unknown(str(error))
        if unknown:
            raise _unknown_package(recipe, unknown, apt) from error
        raise
    return apt.download(words, debs, report)


def base_words(variant: Variant) -> list[str]:
    """What mmdebstrap's variant starts from, in apt's own pattern language."""
    essential = "?essential"
    if variant is Variant.ESSENTIAL:
        return [essential]
    return ["?or(?essential,?priority(required))", "apt"]


def parse_uris(text: str) -> tuple[Deb, ...]:
    """The output of `apt-get --print-uris`, in a fixed order.

    Colons of an epoch are escaped there, as in the names of the files in apt's cache. Raises
    StationError for a line in an unknown form.
    """
    debs = []
    for line in text.splitlines():
        if line.startswith("'"):
            found = _URI.match(line)
            if not found:
                raise StationError(f"apt names a package in an unknown way: {line[:300]}")
            debs.append(Deb(found["file"], int(found["size"]), found["sha256"]))
    return tuple(sorted(debs, key=lambda deb: deb.file))


def parse_unknown(text: str) -> str:
    """The package name that apt does not know; '' when that is not its complaint."""
    found = _UNKNOWN.search(text)
    return (found[1] or found[2]) if found else ""


def parse_gone(text: str) -> list[str]:
    """`name version` of what apt was asked for and no longer finds."""
    found = _GONE.findall(text)
    return [f"{name} {version}" if name else unknown for version, name, unknown in found]


def pinned(file: str) -> str:
    """`name=version`, as apt takes it, from the name of a file in its cache."""
    name, version, _ = file.split("_")
    return f"{name}={version.replace('%3a', ':')}"


def deb_epoch(start: bytes) -> int:
    """When a .deb was made, from the header of its first member (deb(5): an `ar` archive)."""
    header = start[_AR_START : _AR_START + _AR_MEMBER]
    if not start.startswith(b"!<arch>\n") or not header.startswith(b"debian-binary"):
        raise StationError("A package in the cache is damaged.", "Delete the cache; build again.")
    return int(header[16:28])


def _unknown_package(recipe: Recipe, name: str, apt: PrivateApt) -> ConfigError:
    for folder in reversed(recipe.folders):
        data, lines = load_plain(folder / recipe.file.name)
        listed = data.get("packages") or []
        if name in listed:
            where = folder / recipe.file.name
            line = lines.get(("packages", listed.index(name)))
            break
    else:
        where, line = recipe.file, None
    return ConfigError(
        f"Debian {recipe.suite} has no package “{name}” in {' '.join(recipe.components)}.",
        nearest(name, apt.names()), file=where, line=line, field="packages",
    )  # fmt: skip


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_AR_START + _AR_MEMBER)


def _some(names: Iterable[str], most: int = 5) -> str:
    """The first few, and how many more."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def _is_here(path: Path, deb: Deb) -> bool:
    return path.is_file() and path.stat().st_size == deb.size


def _last_lines(text: str, count: int = 4) -> str:
    return "\n".join(line for line in text.splitlines() if line[:2] in ("E:", "W:"))[-600:] or (
        "\n".join(text.splitlines()[-count:])
    )
