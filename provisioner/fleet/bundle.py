"""Bundles: what a school without a line is to have, put on a stick; and reading what comes back.

Files are copied as the station would serve them and read back, so that the machine that the stick
is plugged into works as it would over a line: it believes the signed manifest and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from provisioner.agent.memory import write_whole
from provisioner.errors import ImageMismatchError, NotFoundError, UntrustedError
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle, Receipt
from provisioner.model.patch import PATCHES
from provisioner.model.release import MANIFEST, Manifest
from provisioner.model.signed import MAX_ENVELOPE_BYTES, PrivateKey, open_envelope
from provisioner.model.site_bundle import FOLDER as SITES
from provisioner.release.catalog import Catalog
from provisioner.release.delta import patches_of
from provisioner.release.manifest import file_digest

RELEASES = "releases"
PIECE = 1 << 20
Report = Callable[[str, float], None]


def export_bundle(
    bundle: Bundle, catalog: Catalog, key: PrivateKey, stick: Path,
    report: Report = lambda _step, _fraction: None,
    sites: Sequence[Path] = (),
) -> Path:  # fmt: skip
    """Write a bundle with its release, patches and the machines' configurations; its own file
    last. Returns its folder.

    What lies there already and is right stays. Raises NotFoundError when there is no such folder,
    ImageMismatchError when the stick does not keep what was written.
    """
    if not stick.is_dir():
        raise NotFoundError(f"{stick} is no folder.", "Plug the stick in and name where it is.")
    folder = stick / FOLDER
    (folder / RECEIPTS).mkdir(parents=True, exist_ok=True)
    (folder / BUNDLE).unlink(missing_ok=True)
    wanted = _wanted(bundle, catalog, key, sites)
    for number, (name, (origin, digest)) in enumerate(sorted(wanted.items())):
        report(f"Copying {name}", number / len(wanted))
        _put(origin, folder / name, digest)
    write_whole(folder / BUNDLE, key.seal(bundle))
    return folder


def _wanted(
    bundle: Bundle, catalog: Catalog, key: PrivateKey, sites: Sequence[Path]
) -> dict[str, tuple[Path, str]]:
    """What a bundle carries: where it is put, where it lies, and its SHA-256."""
    source = catalog.folder(bundle.release)
    manifest, _ = open_envelope((source / MANIFEST).read_bytes(), Manifest, trusted=key.public)
    wanted = {f"{RELEASES}/{bundle.release}/{entry.path}": (source / entry.path, entry.sha256)
              for entry in manifest.files}  # fmt: skip
    wanted[f"{RELEASES}/{bundle.release}/{MANIFEST}"] = (source / MANIFEST, bundle.manifest_sha256)
    for path in _patches(catalog, bundle.release):
        wanted[f"{PATCHES}/{bundle.release}/{path.name}"] = (path, file_digest(path))
    wanted |= {f"{SITES}/{path.name}": (path, file_digest(path)) for path in sites}
    return wanted


def zipped(
    bundle: Bundle, catalog: Catalog, key: PrivateKey, sites: Sequence[Path] = ()
) -> Iterator[bytes]:
    """The same as a ZIP archive, to be unpacked onto a stick; made while it is sent.

    Raises ImageMismatchError when a file is not what the release says: what was sent by then has
    no end and opens nowhere.
    """
    out = _Pipe()
    with ZipFile(out, "w", ZIP_STORED) as archive:
        archive.writestr(ZipInfo(f"{FOLDER}/{RECEIPTS}/"), b"")
        for name, (origin, digest) in sorted(_wanted(bundle, catalog, key, sites).items()):
            yield from _into(archive, out, f"{FOLDER}/{name}", origin, digest)
        archive.writestr(ZipInfo(f"{FOLDER}/{BUNDLE}"), key.seal(bundle))
    yield out.take()


class _Pipe(io.RawIOBase):
    """Where an archive writes, and where what it wrote is taken away."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._kept += content
        return len(content)

    def take(self) -> bytes:
        taken = bytes(self._kept)
        self._kept.clear()
        return taken


def _into(archive: ZipFile, out: _Pipe, name: str, origin: Path, digest: str) -> Iterator[bytes]:
    entry, found = ZipInfo(name), hashlib.sha256()
    entry.file_size = origin.stat().st_size
    with origin.open("rb") as file, archive.open(entry, "w") as writing:
        while piece := file.read(PIECE):
            found.update(piece)
            writing.write(piece)
            yield out.take()
    if found.hexdigest() != digest:
        raise ImageMismatchError(f"{name} is damaged on this station.", "Build the release anew.")


def open_receipt(content: bytes) -> tuple[str, Receipt] | None:
    """A receipt with the key that signed it; None for one that does not hold. Who may speak for
    which machine, the caller knows."""
    try:
        receipt, key = open_envelope(content[: MAX_ENVELOPE_BYTES + 1], Receipt, trusted=None)
    except UntrustedError:
        return None
    return key, receipt


def receipt_files(stick: Path) -> list[tuple[str, bytes]]:
    """The receipts on a stick: name and content. Raises NotFoundError when it is not from here."""
    return [(path.name, _small(path)) for path in _receipt_files(stick)]


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
