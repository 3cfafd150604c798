"""A pack of pictures and sounds, brought in from a folder or a stick.

Each file is named by the MD5 of its content, as the editor's own library does: the pack vouches
for itself, and nothing else in it is believed. A pack with one bad file is refused whole, before
anything is written. Whether the operator may use a set of pictures is theirs to know.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.errors import UntrustedError

NAME = re.compile(r"^[0-9a-f]{32}\.(svg|png|jpg|wav|mp3)$")
LOOKS_NAMED = re.compile(r"^[0-9a-fA-F]{20,}\.[A-Za-z0-9]+$")
MAX_FILE = 20 * 1024 * 1024
MAX_TOTAL = 1024 * 1024 * 1024
MAX_FILES = 20_000
MAX_DEPTH = 6
STARTS = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpg": (b"\xff\xd8\xff",),
    "wav": (b"RIFF",),
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xfa"),
}


class AssetPackError(UntrustedError):
    """The pack is not what it says; nothing of it was taken."""


@dataclass(frozen=True)
class Brought:
    """What a pack brought: files that are new here, and files that were here already."""

    new: int
    known: int
    bytes: int


def import_assets(pack: Path, library: Path) -> Brought:
    """Check the whole pack, then copy what is new into `library`.

    Raises AssetPackError with a sentence: no asset in it, a name that is not its content's MD5,
    a link or device, a file of another kind than its name says, too much of anything.
    """
    found = sorted(_assets(pack), key=lambda path: path.name)
    if not found:
        raise AssetPackError(
            f"There are no pictures or sounds in {pack.name}.",
            "A pack is a folder with files such as 0123456789abcdef0123456789abcdef.svg.",
        )
    total = 0
    for path in found:
        total += _check(path)
        if total > MAX_TOTAL:
            raise AssetPackError(f"The pack holds more than {MAX_TOTAL // 2**20} MiB.")
    library.mkdir(parents=True, exist_ok=True)
    new = {path.name: path for path in found if not (library / path.name).exists()}
    _copy_all(list(new.values()), library)
    return Brought(len(new), len(found) - len(new), total)


def _assets(pack: Path) -> Iterator[Path]:
    """Files with an asset's name below the pack; other files are left alone, links refused."""
    if not pack.is_dir():
        raise AssetPackError(f"{pack} is no folder.", "Name the folder that holds the pack.")
    count = 0
    folders = [(pack, 0)]
    while folders:
        folder, depth = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            count += 1
            if count > MAX_FILES or depth > MAX_DEPTH:
                raise AssetPackError("The pack holds too many files or folders.")
            path = Path(entry.path)
            if entry.is_symlink():
                raise AssetPackError(f"“{path.relative_to(pack)}” is a link.",
                                     "A pack holds files only; copy them in.")  # fmt: skip
            if entry.is_dir():
                folders.append((path, depth + 1))
            elif NAME.match(entry.name):
                yield path
            elif LOOKS_NAMED.match(entry.name):
                raise AssetPackError(f"“{entry.name}” is no name of a picture or a sound.")


def _check(path: Path) -> int:
    """The size of one good file, in bytes."""
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode):
        raise AssetPackError(f"“{path.name}” is no ordinary file.")
    if info.st_size > MAX_FILE:
        raise AssetPackError(f"“{path.name}” is larger than {MAX_FILE // 2**20} MiB.")
    content = path.read_bytes()
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != path.name[:32]:
        raise AssetPackError(
            f"“{path.name}” is not what its name says: its content has another MD5.",
            "The pack is damaged or was changed; take a fresh copy.",
        )
    kind = path.suffix[1:]
    good = _is_svg(content) if kind == "svg" else content.startswith(STARTS[kind])
    if not good:
        raise AssetPackError(f"“{path.name}” holds no {kind.upper()}.")
    return len(content)


def _is_svg(content: bytes) -> bool:
    """An SVG by its first tag, without what could fetch or run something."""
    start = content[:4096].lower()
    return b"<svg" in start and not any(
        word in content.lower() for word in (b"<script", b"<!entity", b"javascript:", b"<foreign")
    )


def _copy_all(files: list[Path], library: Path) -> None:
    """Copy aside first, then into place: a stick that is pulled leaves nothing half."""
    aside = library.with_name(f".{library.name}.incoming")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        for path in files:
            copy = aside / path.name
            shutil.copyfile(path, copy, follow_symlinks=False)
            copy.chmod(0o644)
            if hashlib.md5(copy.read_bytes(), usedforsecurity=False).hexdigest() != path.name[:32]:
                raise AssetPackError(f"“{path.name}” changed while it was copied.")
        for path in files:
            (aside / path.name).replace(library / path.name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
