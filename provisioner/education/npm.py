"""A package of the npm registry, fetched with the ordinary client and kept by its content.

The digest is written where the package is named. A package that is in the cache needs no network
and no npm.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import CommandError, StationError, UntrustedError
from provisioner.release.cache import Cache
from provisioner.run import run

FETCH_S = 1800
INSIDE = "package/"  # npm's archives hold everything below this folder


@dataclass(frozen=True)
class NpmPackage:
    """One version of one package, and the SHA-256 of its archive."""

    name: str
    version: str
    sha256: str

    @property
    def purl(self) -> str:
        """Its package URL, as SBOMs name it."""
        return f"pkg:npm/{self.name.replace('@', '%40')}@{self.version}"


def fetch(package: NpmPackage, cache: Cache) -> Path:
    """The package's archive, from the cache or the registry.

    Raises StationError without npm or network, UntrustedError for another content.
    """

    def make(out: Path) -> None:
        with cache.workspace() as work:
            archive = _pack(package, work)
            found = hashlib.sha256(archive.read_bytes()).hexdigest()
            if found != package.sha256:
                raise UntrustedError(
                    f"{package.name} {package.version} is not the archive that was tried: "
                    f"SHA-256 {found}.",
                    "Do not build with it; ask who looks after this recipe.",
                )
            archive.rename(out)

    return cache.entry("npm", f"{package.sha256}.tgz", make)


def unpack(archive: Path, wanted: Callable[[str], Path | None]) -> int:
    """Write the archive's files to where `wanted` says; None leaves one out. Returns how many.

    Links and special files are never written.
    """
    count = 0
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            if not member.isfile() or not member.name.startswith(INSIDE):
                continue
            target = wanted(member.name.removeprefix(INSIDE))
            source = opened.extractfile(member)
            if target is not None and source is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())
                target.chmod(0o644)
                count += 1
    return count


def _pack(package: NpmPackage, work: Path) -> Path:
    try:
        run(["npm", "pack", "--silent", "--pack-destination", work,
             f"{package.name}@{package.version}"], timeout_s=FETCH_S, cwd=work)  # fmt: skip
    except CommandError as error:
        raise StationError(
            f"{package.name} {package.version} cannot be fetched:\n{error.message}",
            "Is npm installed, and is there Internet? Once fetched, the cache keeps it.",
        ) from error
    found = list(work.glob("*.tgz"))
    if len(found) != 1:
        raise StationError(f"npm brought {len(found)} archives for {package.name}.")
    return found[0]
