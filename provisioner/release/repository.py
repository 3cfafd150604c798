"""An archive of Debian packages in one folder, for apt and mmdebstrap: just these, no others.

A tree is built from the files in the cache and from nothing else, so the real archive may move
on meanwhile, or be out of reach. Each file was checked before, against Debian's signed lists or
against a lock; the index says their SHA-256 once more, and apt checks it.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from provisioner.errors import StationError
from provisioner.release.packages import Deb, Packages
from provisioner.run import run

INDEX, RELEASE = "Packages", "Release"
CONTROL_S = 600
_AR, _HEADER = b"!<arch>\n", 60  # of the archive, of each member


def make_repository(
    packages: Packages, suite: str, folder: Path, stanza: Callable[[Path], str] | None = None
) -> str:
    """Link the packages into `folder`, write their index, and return apt's line for it.

    `stanza` gives a package's own description, by default what its file says. Raises OSError.
    """
    stanza = stanza or control
    folder.mkdir(parents=True)
    with (folder / INDEX).open("w", encoding="utf-8") as index:
        for deb, path in zip(packages.debs, packages.paths, strict=True):
            os.link(path, folder / deb.file)
            index.write(entry(stanza(path), deb))
    (folder / RELEASE).write_text(release_file(suite, (folder / INDEX).read_bytes()))
    return f"deb [trusted=yes] copy:{folder} ./"


def entry(description: str, deb: Deb) -> str:
    """One paragraph of the index: what the package says of itself, and where it lies."""
    own = ("Filename:", "Size:", "SHA256:", "MD5sum:", "SHA1:")
    lines = [line for line in description.strip().splitlines() if not line.startswith(own)]
    lines += [f"Filename: ./{deb.file}", f"Size: {deb.size}", f"SHA256: {deb.sha256}"]
    return "\n".join(lines) + "\n\n"


def release_file(suite: str, index: bytes) -> str:
    """What names the archive's suite: mmdebstrap picks its packages by it."""
    digest = hashlib.sha256(index).hexdigest()
    return f"Suite: {suite}\nCodename: {suite}\nSHA256:\n {digest} {len(index)} {INDEX}\n"


def control(path: Path) -> str:
    """What a package file says of itself (deb(5)), read without starting a program for each.

    A form of compression that Python does not know is left to dpkg-deb. Raises StationError for
    what is no package.
    """
    with path.open("rb") as file:
        found = _control_archive(file)
    if found is None:
        return _asked(path)
    try:
        with tarfile.open(fileobj=io.BytesIO(found)) as archive:
            member = archive.extractfile("./control")
            text = member.read().decode() if member else ""
            return text if text.startswith("Package:") else _asked(path)
    except (tarfile.TarError, KeyError, lzma.LZMAError, EOFError, UnicodeDecodeError):
        return _asked(path)


def _control_archive(file: BinaryIO) -> bytes | None:
    """The member `control.tar.gz` or `.xz` of an `ar` archive, unless it is of another kind."""
    if file.read(len(_AR)) != _AR:
        return None
    while len(header := file.read(_HEADER)) == _HEADER:
        name, size = header[:16].rstrip(b" /"), int(header[48:58])
        if name in (b"control.tar.gz", b"control.tar.xz"):
            return file.read(size)
        file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _asked(path: Path) -> str:
    done = run(["dpkg-deb", "--field", path], timeout_s=CONTROL_S, check=False)
    if done.code != 0 or "Package:" not in done.stdout:
        raise StationError(f"{path.name} in the cache is damaged.", "Remove it, then build again.")
    return done.stdout
