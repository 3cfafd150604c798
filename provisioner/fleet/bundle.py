"""Bundles: what a school without a line is to have, put on a stick; and reading what comes back.

Files are copied as the station would serve them and read back, so that the machine that the stick
is plugged into works as it would over a line: it believes the signed manifest and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from provisioner.agent.memory import write_whole
from provisioner.errors import ImageMismatchError, NotFoundError, UntrustedError
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle, Receipt
from provisioner.model.patch import PATCHES
from provisioner.model.release import MANIFEST, Manifest
from provisioner.model.signed import MAX_ENVELOPE_BYTES, PrivateKey, open_envelope
from provisioner.release.catalog import Catalog
from provisioner.release.delta import patches_of
from provisioner.release.manifest import file_digest

RELEASES = "releases"
Report = Callable[[str, float], None]


def export_bundle(
    bundle: Bundle, catalog: Catalog, key: PrivateKey, stick: Path,
    report: Report = lambda _step, _fraction: None,
) -> Path:  # fmt: skip
    """Write a bundle with its release and patches; its own file last. Returns its folder.

    What lies there already and is right stays. Raises NotFoundError when there is no such folder,
    ImageMismatchError when the stick does not keep what was written.
    """
    if not stick.is_dir():
        raise NotFoundError(f"{stick} is no folder.", "Plug the stick in and name where it is.")
    folder = stick / FOLDER
    (folder / RECEIPTS).mkdir(parents=True, exist_ok=True)
    (folder / BUNDLE).unlink(missing_ok=True)
    source = catalog.folder(bundle.release)
    manifest, _ = open_envelope((source / MANIFEST).read_bytes(), Manifest, trusted=key.public)
    wanted = {f"{RELEASES}/{bundle.release}/{entry.path}": (source / entry.path, entry.sha256)
              for entry in manifest.files}  # fmt: skip
    wanted[f"{RELEASES}/{bundle.release}/{MANIFEST}"] = (source / MANIFEST, bundle.manifest_sha256)
    for path in _patches(catalog, bundle.release):
        wanted[f"{PATCHES}/{bundle.release}/{path.name}"] = (path, file_digest(path))
    for number, (name, (origin, digest)) in enumerate(sorted(wanted.items())):
        report(f"Copying {name}", number / len(wanted))
        _put(origin, folder / name, digest)
    write_whole(folder / BUNDLE, key.seal(bundle))
    return folder


def read_receipts(stick: Path) -> Iterator[tuple[str, Receipt]]:
    """The receipts on a stick with the keys that signed them; who may speak for which machine, the
    caller knows. Those that do not hold are passed over: `damaged_receipts` names them."""
    for path in _receipt_files(stick):
        try:
            receipt, key = open_envelope(_small(path), Receipt, trusted=None)
        except UntrustedError:
            continue
        yield key, receipt


def damaged_receipts(stick: Path) -> list[str]:
    """Receipts that do not hold, by their file's name."""
    found = []
    for path in _receipt_files(stick):
        try:
            open_envelope(_small(path), Receipt, trusted=None)
        except UntrustedError:
            found.append(path.name)
    return found


def _receipt_files(stick: Path) -> list[Path]:
    folder = stick / FOLDER / RECEIPTS
    if not folder.is_dir():
        raise NotFoundError(
            f"There is no {FOLDER}/{RECEIPTS} on {stick}.", "Is it the stick from the school?"
        )
    return sorted(folder.glob("*.dsse.json"))


def _small(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_ENVELOPE_BYTES + 1)


def _patches(catalog: Catalog, release: str) -> list[Path]:
    folder = patches_of(catalog, release)
    return sorted(path for path in folder.glob("*") if path.is_file()) if folder.is_dir() else []


def _put(origin: Path, target: Path, digest: str) -> None:
    """Copy a file unless it is there; what came back from the stick must be right."""
    if target.is_file() and file_digest(target) == digest:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(origin, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != digest:
        part.unlink()
        raise ImageMismatchError(
            f"{target.name} came back from the stick other than it was written.",
            "Take another stick.",
        )
    part.replace(target)
