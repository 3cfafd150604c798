"""ZIM files: written so that the same pages give the same bytes, and checked before use.

libzim gives each file a random identity, and so does Xapian to each of the two indexes in it;
nothing else differs between two writings. They are set to what the content comes to, and the
file's own MD5 (openZIM's format, “ZIM file format”: header of 80 bytes, the checksum's place at
72, an MD5 over everything before it at the end) is computed anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from libzim.reader import Archive
from libzim.writer import Creator, Hint, Item, StringProvider

from provisioner.errors import UntrustedError

MAGIC = 72173914
HEADER = 80
UUID = slice(8, 24)
CHECKSUM_AT = slice(72, 80)
MD5_BYTES = 16
# What a program that serves ZIMs must have in its environment. Without it the kiwix-serve of
# Debian 12 found words of two characters and none of three (随机数).
SERVE_ENVIRONMENT = {"XAPIAN_CJK_NGRAM": "1"}
XAPIAN = b"\x0f\x0dXapian Glass"
XAPIAN_UUID_AFTER = 2  # bytes between that mark and the index's identity


class ZimError(UntrustedError):
    """The file is no whole ZIM."""


@dataclass(frozen=True)
class ZimPage:
    """One entry: its path in the archive, what a search shows, and its content."""

    path: str
    title: str
    content: bytes
    mime: str = "text/html"


class _Entry(Item):  # type: ignore[misc]
    def __init__(self, page: ZimPage) -> None:
        super().__init__()
        self._page = page

    def get_path(self) -> str:
        return self._page.path

    def get_title(self) -> str:
        return self._page.title

    def get_mimetype(self) -> str:
        return self._page.mime

    def get_contentprovider(self) -> StringProvider:
        return StringProvider(self._page.content)

    def get_hints(self) -> dict[Hint, bool]:
        return {Hint.FRONT_ARTICLE: self._page.mime == "text/html"}


def write_zim(
    path: Path, pages: Sequence[ZimPage], metadata: Mapping[str, str], main: str,
    picture: bytes, language: str = "zho",
) -> None:  # fmt: skip
    """Write a ZIM with a full-text index in `language` (ISO 639-3) and check it.

    `picture` is a PNG of 48 × 48 pixels, shown in lists of books.
    """
    with _quiet():
        creator = Creator(str(path)).config_indexing(True, language)
        with creator.config_nbworkers(1) as opened:  # one: a fixed order
            opened.set_mainpath(main)
            opened.add_illustration(48, picture)
            for name, value in sorted(metadata.items()):
                opened.add_metadata(name, value)
            for page in sorted(pages, key=lambda page: page.path):
                opened.add_item(_Entry(page))
    same_identity(path)
    check_file(path)


def same_identity(path: Path) -> None:
    """Replace the random identities by ones that follow from the content."""
    data = bytearray(path.read_bytes())
    places = [UUID, *(_xapian_uuids(data))]
    for place in places:
        data[place] = bytes(16)
    content = hashlib.sha256(data[:-MD5_BYTES]).digest()
    for number, place in enumerate(places):
        data[place] = hashlib.sha256(content + bytes([number])).digest()[:16]
    data[-MD5_BYTES:] = hashlib.md5(data[:-MD5_BYTES], usedforsecurity=False).digest()
    path.write_bytes(data)


def check_file(path: Path) -> None:
    """Raise ZimError unless header, length and checksum agree and the main page is there."""
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(HEADER)
        if len(header) < HEADER or struct.unpack_from("<I", header)[0] != MAGIC:
            raise ZimError("This is no ZIM file.")
        place = struct.unpack("<Q", header[CHECKSUM_AT])[0]
        if place + MD5_BYTES != size:
            raise ZimError(f"The file says that it has {place + MD5_BYTES} bytes; it has {size}.",
                           "The copy is not complete; take a fresh one.")  # fmt: skip
        file.seek(0)
        digest = hashlib.md5(usedforsecurity=False)
        left = place
        while block := file.read(min(left, 1 << 20)):
            digest.update(block)
            left -= len(block)
        if left == 0 and file.read() != digest.digest():
            raise ZimError("The file is damaged: its checksum is another.", "Take a fresh copy.")
    try:
        with _quiet():
            whole = Archive(path).has_main_entry
    except RuntimeError as error:
        raise ZimError(f"libzim cannot read the file: {error}.") from error
    if not whole:
        raise ZimError("The file has no main page.")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """libzim writes its progress to standard output, past Python; ours is for results."""
    sys.stdout.flush()
    kept = [os.dup(1), os.dup(2)]
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        yield
    finally:
        for number, saved in enumerate(kept, start=1):
            os.dup2(saved, number)
            os.close(saved)
        os.close(nothing)


def _xapian_uuids(data: bytes | bytearray) -> list[slice]:
    found, at = [], data.find(XAPIAN)
    while at >= 0:
        first = at + len(XAPIAN) + XAPIAN_UUID_AFTER
        found.append(slice(first, first + 16))
        at = data.find(XAPIAN, first)
    return found
