"""The catalogue: the releases that a station has, one folder NAME@VERSION each.

A release appears here by one rename of a finished folder. Folders that begin with a dot are
being built, or were when the power failed; they do not count.
"""

from __future__ import annotations

import datetime
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from provisioner.errors import NotFoundError, ProvisionerError, StationError, nearest
from provisioner.model.release import MANIFEST, Manifest, ReleaseId
from provisioner.release import manifest as manifests

NUMBERS_A_YEAR = 1000
UNFINISHED = ".building-"
_ID: TypeAdapter[str] = TypeAdapter(ReleaseId)


class Catalog:
    """The releases under `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # What was read, by the file that it was read from: pages list releases all the time, and
        # one of 1,500 packages takes a while.
        self._known: dict[tuple[int, int, int], Manifest] = {}

    def list(self) -> list[Manifest]:
        """Every release, by name and rising number. Whoever uses one checks its signature."""
        return sorted(self._readable(), key=lambda found: (found.name, found.number))

    def get(self, release: str) -> Manifest:
        """NAME@VERSION, or the newest of NAME. Raises NotFoundError with the nearest name."""
        found = self.list()
        fitting = [manifest for manifest in found if release in (manifest.id, manifest.name)]
        if not fitting:
            raise NotFoundError(
                f"There is no release “{release}”.",
                nearest(release, [manifest.id for manifest in found])
                or "Build one: provisioner image build NAME",
            )
        return fitting[-1]

    def folder(self, release: str) -> Path:
        """The folder of NAME@VERSION, or of the newest NAME. Raises NotFoundError."""
        if _is_id(release) and (self.root / release / MANIFEST).is_file():
            return self.root / release  # also one whose manifest does not hold: see `verify`
        return self.root / self.get(release).id

    def verify(
        self,
        release: str,
        trusted: str | None = None,
        report: manifests.Report = lambda _done, _all: None,
    ) -> Manifest:
        """Check the signature and read every file anew; returns the manifest.

        Raises UntrustedError or ImageMismatchError. `trusted` is the station's public key.
        """
        folder = self.folder(release)
        manifest = manifests.read_manifest(folder, trusted=trusted)
        manifests.verify_files(folder, manifest, report)
        return manifest

    def next_version(self, name: str, today: datetime.date) -> tuple[str, int]:
        """Version `YEAR.N` and release number for the next release of `name`."""
        return next_version([m.number for m in self.list() if m.name == name], today.year)

    @contextmanager
    def building(self) -> Iterator[Path]:
        """A folder for a release on its way, removed at the end unless it was published."""
        self.root.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=self.root))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, manifest: Manifest) -> Path:
        """Give a finished folder its name, once everything in it is on the disk.

        Raises StationError when the name is taken; a release never changes.
        """
        target = self.root / manifest.id
        if target.exists():
            raise StationError(f"{manifest.id} exists already.", "Build again for a new version.")
        for path in (*folder.rglob("*"), folder):
            flush(path)
        folder.rename(target)
        flush(self.root)
        return target

    def sweep(self) -> None:
        """Remove what interrupted builds left; call it only while no build runs."""
        for path in self.root.glob(f"{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def _readable(self) -> Iterator[Manifest]:
        for path in self.root.iterdir() if self.root.is_dir() else ():
            if _is_id(path.name) and (path / MANIFEST).is_file():
                try:
                    manifest = self._read(path)
                except (ProvisionerError, FileNotFoundError):
                    continue  # `verify` says what is wrong with it; it is not on offer
                if manifest.id == path.name:
                    yield manifest

    def _read(self, folder: Path) -> Manifest:
        stat = (folder / MANIFEST).stat()
        state = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if state not in self._known:
            self._known[state] = manifests.read_manifest(folder, trusted=None)
        return self._known[state]


def next_version(numbers: Iterable[int], year: int) -> tuple[str, int]:
    """The version after the highest number so far; numbers only rise, whatever the clock says.

    >>> next_version([2026001], 2026)
    ('2026.2', 2026002)
    """
    number = max(year * NUMBERS_A_YEAR, max(numbers, default=0)) + 1
    return f"{number // NUMBERS_A_YEAR}.{number % NUMBERS_A_YEAR}", number


def flush(path: Path) -> None:
    """Have the disk keep a file or a folder's names now."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_id(name: str) -> bool:
    try:
        return bool(_ID.validate_python(name))
    except ValidationError:
        return False
