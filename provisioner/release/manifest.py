"""A release's manifest: made from the files, read with its signature, checked against them.

Imported by the agent as well: nothing here knows the station.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from provisioner.errors import ImageMismatchError, NotFoundError
from provisioner.model.release import MANIFEST, Manifest, ReleaseFile
from provisioner.model.signed import PrivateKey, open_envelope

Report = Callable[[int, int], None]  # bytes looked at, bytes in all


def list_files(folder: Path) -> tuple[ReleaseFile, ...]:
    """Every file of a release with size and SHA-256, by path; the manifest itself left out."""
    return tuple(
        ReleaseFile(path=name, size=path.stat().st_size, sha256=file_digest(path))
        for name, path in _files(folder)
        if name != MANIFEST
    )


def write_manifest(folder: Path, manifest: Manifest, key: PrivateKey) -> None:
    """Sign and write it, flushed to the disk."""
    with (folder / MANIFEST).open("w", encoding="utf-8") as file:
        file.write(key.seal(manifest))
        file.flush()
        os.fsync(file.fileno())


def read_manifest(folder: Path, *, trusted: str | None) -> Manifest:
    """Read a release's manifest and check its signature.

    With `trusted` None any signer is taken: only for looking, never for using. Raises
    NotFoundError when there is none, UntrustedError when the signature does not hold.
    """
    try:
        envelope = (folder / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{folder.name} has no manifest.", "Build the release again."
        ) from error
    return open_envelope(envelope, Manifest, trusted=trusted)[0]


def verify_files(
    folder: Path, manifest: Manifest, report: Report = lambda _done, _all: None
) -> None:
    """Read every file anew and compare. Raises ImageMismatchError naming the first difference.

    A file too many is a difference as well: it would be served, but nobody vouches for it.
    """
    total = sum(entry.size for entry in manifest.files)
    done = 0
    for entry in manifest.files:
        path = folder / entry.path
        if not path.is_file() or path.is_symlink():
            raise _mismatch(manifest, f"{entry.path} is missing")
        if path.stat().st_size != entry.size or file_digest(path) != entry.sha256:
            raise _mismatch(manifest, f"{entry.path} is not what was signed")
        done += entry.size
        report(done, total)
    known = {entry.path for entry in manifest.files} | {MANIFEST}
    if more := [name for name, _ in _files(folder) if name not in known]:
        raise _mismatch(manifest, f"{more[0]} does not belong to it")


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    found = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*"))
    yield from sorted((name, path) for name, path in found if path.is_symlink() or path.is_file())


def _mismatch(manifest: Manifest, what: str) -> ImageMismatchError:
    return ImageMismatchError(f"{manifest.id}: {what}.", "Build the release again.")
