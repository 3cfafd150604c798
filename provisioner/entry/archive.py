"""The zip around an entry, judged by its table before anything of it is unpacked.

Nothing is ever written to a disk under a name that the file chose. What the table promises is not
believed either: unpacking stops at the promised size, and what comes out is compared with it.
"""

from __future__ import annotations

import contextlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO

from provisioner.entry.refusal import EntryRefusedError
from provisioner.model.entry import Limits

PROJECT = "project.json"
SPRITE = "sprite.json"
# Scratch's sound and picture formats; the MD5 stands in small letters.
ASSET = re.compile(r"[0-9a-f]{32}\.(svg|png|jpg|jpeg|gif|bmp|wav|mp3)")
OLD_ASSET = re.compile(r"[0-9]{1,6}\.(svg|png|jpg|jpeg|gif|bmp|wav|mp3)")  # Scratch 2
SB1_START = b"ScratchV"
ZIP_START = b"PK\x03\x04"
_PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_PIECE = 64 * 1024
_END_RECORD = b"PK\x05\x06"
_U16 = struct.Struct("<H")
_HEADER = 30  # of a member, before its name (APPNOTE 4.3.7)
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError,
           OSError, KeyError, OverflowError)  # fmt: skip


class Archive:
    """An entry's zip whose table holds nothing that a game's table would not hold."""

    def __init__(self, zipped: zipfile.ZipFile, limits: Limits) -> None:
        self._zip, self._limits = zipped, limits
        self.members = {member.filename: member for member in zipped.infolist()}
        self._unpacked = 0

    def read(self, name: str, most: int) -> bytes:
        """A member's bytes, never more than `most`. Raises EntryRefusedError."""
        member = self.members[name]
        budget = min(most, self._limits.unpacked_bytes - self._unpacked)
        try:
            with self._zip.open(member) as file:
                content = self._read_at_most(file, budget)
        except EntryRefusedError:
            raise
        except _BROKEN as error:
            raise EntryRefusedError("damaged", name) from error
        if len(content) != member.file_size:
            raise EntryRefusedError("damaged", name)
        self._unpacked += len(content)
        return content

    def _read_at_most(self, file: IO[bytes], budget: int) -> bytes:
        out = bytearray()
        while piece := file.read(_PIECE):
            out += piece
            if len(out) > budget:
                raise EntryRefusedError("bomb")
        return bytes(out)


@contextlib.contextmanager
def opened(data: bytes, limits: Limits) -> Iterator[Archive]:
    """The archive in `data`. Raises EntryRefusedError saying what is wrong with its outside."""
    if not data:
        raise EntryRefusedError("empty")
    if len(data) > limits.bytes:
        raise EntryRefusedError("too-big", limit=limits.bytes >> 20)
    if data.startswith(SB1_START):
        raise EntryRefusedError("scratch-1")
    if not data.startswith(ZIP_START):
        raise EntryRefusedError("not-a-game")
    try:
        zipped = zipfile.ZipFile(io.BytesIO(data))
    except _BROKEN as error:
        raise EntryRefusedError("cut-off") from error
    with zipped:
        check_table(zipped.infolist(), limits)
        _check_places(zipped, data)
        yield Archive(zipped, limits)


def check_table(members: list[zipfile.ZipInfo], limits: Limits) -> None:
    """Raises EntryRefusedError for the first thing in the table that no game has."""
    if len(members) > limits.members:
        raise EntryRefusedError("too-many", limit=limits.members)
    names = {member.orig_filename for member in members}
    seen: set[str] = set()
    for member in members:
        _check_name(member, names)
        if member.orig_filename in seen:
            raise EntryRefusedError("twice", member.orig_filename)
        seen.add(member.orig_filename)
        _check_member(member, limits)
    packed = sum(member.compress_size for member in members)
    unpacked = sum(member.file_size for member in members)
    # Pictures in SVG and programs pack well; hundredfold they do not, once they have some size.
    if unpacked > limits.unpacked_bytes or (
        unpacked > limits.small_bytes and unpacked > limits.ratio * max(packed, 1)
    ):
        raise EntryRefusedError("bomb")
    if PROJECT not in names:
        raise EntryRefusedError("sprite" if SPRITE in names else "no-program")


def _check_places(zipped: zipfile.ZipFile, data: bytes) -> None:
    """Members lie one behind another before the table; overlapping ones are how bombs are made.

    The end record's count is compared, too: readers differ in whom they believe.
    """
    found = data.rfind(_END_RECORD)
    if (
        found < 0
        or found + 22 > len(data)
        or (_U16.unpack_from(data, found + 10)[0] != len(zipped.infolist()))
    ):
        raise EntryRefusedError("cut-off")
    end = 0
    for member in sorted(zipped.infolist(), key=lambda member: member.header_offset):
        if member.header_offset < end:
            raise EntryRefusedError("damaged", member.orig_filename)
        end = member.header_offset + _HEADER + len(member.orig_filename) + member.compress_size
    if end > zipped.start_dir:
        raise EntryRefusedError("cut-off")


def _check_name(member: zipfile.ZipInfo, names: set[str]) -> None:
    name = member.orig_filename
    if _is_link(member):
        raise EntryRefusedError("link", name)
    if _leaves(name):
        raise EntryRefusedError("path", name)
    if name == PROJECT or ASSET.fullmatch(name) or (PROJECT in names and OLD_ASSET.fullmatch(name)):
        return
    if name == SPRITE and PROJECT not in names:
        raise EntryRefusedError("sprite")
    if name.lower() == PROJECT or ASSET.fullmatch(name.lower()):
        raise EntryRefusedError("wrong-case", name)
    if PROJECT not in names and not any(n.lower() == PROJECT for n in names):
        raise EntryRefusedError("no-program")
    raise EntryRefusedError("stranger", name)


def _leaves(name: str) -> bool:
    return (
        not name or "/" in name or "\\" in name or "\0" in name or ":" in name
        or name.startswith((".", "~")) or not name.isprintable()
    )  # fmt: skip


def _is_link(member: zipfile.ZipInfo) -> bool:
    """By the Unix mode in the upper half of the external attributes: a link, a device, a pipe."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return kind not in (0, stat.S_IFREG, stat.S_IFDIR)


def _check_member(member: zipfile.ZipInfo, limits: Limits) -> None:
    name = member.orig_filename
    if member.flag_bits & _ENCRYPTED:
        raise EntryRefusedError("locked")
    if member.compress_type not in _PACKINGS:
        raise EntryRefusedError("packing", name)
    if name == PROJECT and member.file_size > limits.program_bytes:
        raise EntryRefusedError("program-too-big", limit=limits.program_bytes >> 20)
    if name != PROJECT and member.file_size > limits.asset_bytes:
        raise EntryRefusedError("asset-too-big", name, limit=limits.asset_bytes >> 20)
