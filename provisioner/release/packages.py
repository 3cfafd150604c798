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
from provisioner.release.recipe import Recipe, Variant
from provisioner.release.sources import KEYRING, Mirror
from provisioner.run import Finished, run
from provisioner.yaml_file import load_plain

ARCHITECTURE = "amd64"
UPDATE_S, RESOLVE_S, DOWNLOAD_S = 600, 120, 3600
_URI = re.compile(r"^'[^']+' (?P<file>\S+\.deb) (?P<size>\d+) SHA256:(?P<sha256>[0-9a-f]{64})$")
_UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation cand")
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
        return max(deb_epoch(path.read_bytes()[: _AR_START + _AR_MEMBER]) for path in self.paths)


class PrivateApt:
    """An apt of the builder's own, for one mirror, suite and set of components."""

    def __init__(
        self, cache: Cache, mirror: Mirror, suite: str, components: Sequence[str],
        options: Iterable[str],
    ) -> None:  # fmt: skip
        self.sources = tuple(mirror.lines(suite, components))
        self._debs = cache.folder("debs")
        self._root = cache.folder(f"apt/{key_of(*self.sources)[:16]}")
        self._config = self._root / "apt.conf"
        self._write_config(options)

    def update(self) -> None:
        """Fetch the package lists, checked against Debian's keys. Raises StationError."""
        done = self._apt("apt-get", "update", "--error-on=any", timeout_s=UPDATE_S, check=False)
        if done.code != 0:
            raise StationError(
                f"Debian's package lists cannot be fetched:\n{_last_lines(done.stderr)}",
                "Check the station's Internet, its apt sources, and that the package "
                "debian-archive-keyring is up to date.",
            )

    def resolve(self, words: Sequence[str]) -> tuple[Deb, ...]:
        """Everything that installing `words` (names or apt patterns) brings, without recommends.

        Raises CommandError when apt knows no answer.
        """
        done = self._apt(
            "apt-get", "install", "--print-uris", "--yes", *words,
            "-o", f"Dir::Cache::archives={self._root}/none/", timeout_s=RESOLVE_S,
        )  # fmt: skip
        return parse_uris(done.stdout)

    def download(self, words: Sequence[str], debs: Sequence[Deb]) -> Packages:
        """Bring what is missing of `debs` into the cache; apt checks their digests."""
        if not all(_is_here(self._debs / deb.file, deb) for deb in debs):
            self._apt("apt-get", "install", "--download-only", "--yes", *words,
                      timeout_s=DOWNLOAD_S)  # fmt: skip
        for deb in debs:
            if not _is_here(self._debs / deb.file, deb):
                raise StationError(
                    f"{deb.file} did not arrive whole.", "Is the disk full? Then build again."
                )
            os.utime(self._debs / deb.file)  # used now: the cache keeps it
        return Packages(tuple(debs), self._debs, self.sources)

    def names(self) -> list[str]:
        """Every package name in the lists."""
        return self._apt("apt-cache", "pkgnames", timeout_s=RESOLVE_S).stdout.split()

    def _apt(self, *words: str, timeout_s: float, check: bool = True) -> Finished:
        env = {"APT_CONFIG": str(self._config), "DEBIAN_FRONTEND": "noninteractive"}
        return run(words, timeout_s=timeout_s, check=check, env=env)

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


def packages_of(recipe: Recipe, apt: PrivateApt) -> Packages:
    """Resolve and download a recipe's packages. Raises ConfigError for an unknown name."""
    words = [*base_words(recipe.variant), *recipe.packages]
    try:
        debs = apt.resolve(words)
    except CommandError as error:
        unknown = parse_unknown(str(error))
        if unknown:
            raise _unknown_package(recipe, unknown, apt) from error
        raise
    return apt.download(words, debs)


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


def _is_here(path: Path, deb: Deb) -> bool:
    return path.is_file() and path.stat().st_size == deb.size


def _last_lines(text: str, count: int = 4) -> str:
    return "\n".join(line for line in text.splitlines() if line[:2] in ("E:", "W:"))[-600:] or (
        "\n".join(text.splitlines()[-count:])
    )
