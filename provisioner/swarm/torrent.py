"""A release's torrent: what its large files must be, piece by piece.

`release.torrent` is version 2 (BEP 52), private (BEP 27), without dates or addresses, so that
the same files give the same bytes. It is made before the manifest, which vouches for it like
for any other file. On the wire each large file is a torrent of its own, cut out of this one
with the same root and pieces (`Torrent.alone`): a machine brings, checks and goes on seeding
one file without touching the others, and a file that two releases share keeps its root.

Nothing here needs libtorrent: station, machine and tests make and read it alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from provisioner.errors import UntrustedError
from provisioner.model.release import Manifest
from provisioner.swarm import bencode, merkle
from provisioner.swarm.bencode import Value

TORRENT = "release.torrent"
# Smaller files cost less over HTTP than a swarm costs to set up.
LEAST_BYTES = 1024 * 1024
# Four machines with 20 MB over 20 Mbit/s took 14.2 s with 64 KiB and 14.0 s with 256 KiB (medians
# of two, tests/bench/fan_out.py, on a busy computer): the larger ones need a smaller torrent.
PIECE_BYTES = 256 * 1024
MAX_TORRENT_BYTES = 32 * 1024 * 1024  # a file of 256 GiB; ours have some kilobytes


@dataclass(frozen=True)
class TorrentFile:
    """One file: path inside the release, bytes, root of its hash tree, hash of each piece."""

    path: str
    size: int
    root: bytes
    pieces: tuple[bytes, ...]
    piece_bytes: int

    def span(self, piece: int) -> tuple[int, int]:
        """First byte of a piece, and the one after its last."""
        start = piece * self.piece_bytes
        return start, min(start + self.piece_bytes, self.size)

    def holds(self, piece: int, data: bytes | memoryview) -> bool:
        """Whether `data` is what this piece must be."""
        start, stop = self.span(piece)
        if len(data) != stop - start:
            return False
        return merkle.piece_hash(data, self._width * merkle.BLOCK) == self.pieces[piece]

    def is_root_of(self, pieces: Sequence[bytes]) -> bool:
        """Whether these hashes, one for each piece, give the file's root."""
        if len(self.pieces) == 1:
            return list(pieces) == [self.root]
        return merkle.file_root(pieces, self.piece_bytes) == self.root

    @property
    def _width(self) -> int:
        """Leaves below one piece's hash; a file of one piece is no wider than it needs."""
        if len(self.pieces) > 1:
            return self.piece_bytes // merkle.BLOCK
        return 1 << (-(-self.size // merkle.BLOCK) - 1).bit_length()


@dataclass(frozen=True)
class Torrent:
    """The large files of one release; `name` is the release's identifier."""

    name: str
    files: tuple[TorrentFile, ...]

    def file(self, path: str) -> TorrentFile | None:
        return next((entry for entry in self.files if entry.path == path), None)

    def encode(self) -> bytes:
        """The one form in which these files are written."""
        return bencode.encode(_metainfo(self.name, self.files))

    def alone(self, path: str) -> bytes:
        """The torrent of one of the files, under its own name: what is loaded and announced.

        Raises KeyError when this torrent has no such file.
        """
        entry = self.file(path)
        if entry is None:
            raise KeyError(path)
        name = path.rpartition("/")[2]
        return bencode.encode(_metainfo(name, (replace(entry, path=name),)))


def make_torrent(folder: Path, name: str, piece_bytes: int = PIECE_BYTES) -> Torrent | None:
    """The torrent of a folder's files above 1 MiB; None when there are none."""
    large = sorted(
        path.relative_to(folder).parts
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= LEAST_BYTES
    )
    files = tuple(
        hash_file("/".join(parts), folder.joinpath(*parts), piece_bytes) for parts in large
    )
    return Torrent(name, files) if files else None


def read_torrent(data: bytes) -> Torrent:
    """Read a release's torrent. Raises UntrustedError unless it is written as we write it.

    What was read is written again and must give the same bytes; so nothing can hide in it
    (links, padding, keys that another program obeys, paths that leave the folder).
    """
    if len(data) > MAX_TORRENT_BYTES:
        raise _refused("it is too large")
    try:
        torrent = _from_value(bencode.decode(data))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused("it is no torrent of ours") from error
    if torrent.encode() != data:
        raise _refused("it says more than its files")
    return torrent


def check_torrent(torrent: Torrent, manifest: Manifest) -> None:
    """Whether the torrent is of this release, file by file. Raises UntrustedError."""
    if torrent.name != manifest.id:
        raise _refused(f"it is of {torrent.name[:100]!r} instead of {manifest.id}")
    promised = {entry.path: entry for entry in manifest.files}
    for entry in torrent.files:
        known = promised.get(entry.path)
        if known is None or known.size != entry.size:
            raise _refused(f"{entry.path[:100]!r} is not the manifest's")
        if known.merkle is not None and known.merkle != entry.root.hex():
            raise _refused(f"the pieces of {entry.path} are not the manifest's")


def info_hash(data: bytes) -> bytes:
    """What a tracker knows a torrent by: SHA-256 of its info, cut to 20 bytes (BEP 52)."""
    value = cast(Mapping[bytes, Value], bencode.decode(data))
    return hashlib.sha256(bencode.encode(value[b"info"])).digest()[:20]


def _metainfo(name: str, files: Iterable[TorrentFile]) -> dict[bytes, Value]:
    tree: dict[bytes, Value] = {}
    layers: dict[bytes, Value] = {}
    piece_bytes = 0
    for entry in files:
        folder: dict[bytes, Value] = tree
        for part in entry.path.split("/"):
            folder = cast(dict[bytes, Value], folder.setdefault(part.encode(), {}))
        folder[b""] = {b"length": entry.size, b"pieces root": entry.root}
        piece_bytes = entry.piece_bytes
        if len(entry.pieces) > 1:
            layers[entry.root] = b"".join(entry.pieces)
    info: dict[bytes, Value] = {
        b"file tree": tree,
        b"meta version": 2,
        b"name": name.encode(),
        b"piece length": piece_bytes,
        b"private": 1,
    }
    return {b"info": info, b"piece layers": layers}


def hash_file(inside: str, path: Path, piece_bytes: int) -> TorrentFile:
    """The file at `path`, to be known as `inside`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= piece_bytes:
            leaves = merkle.leaves_of(file.read())
            root = merkle.root_of(leaves, 1 << (len(leaves) - 1).bit_length())
            return TorrentFile(inside, size, root, (root,), piece_bytes)
        pieces = tuple(
            merkle.piece_hash(data, piece_bytes)
            for data in iter(lambda: file.read(piece_bytes), b"")
        )
    return TorrentFile(inside, size, merkle.file_root(pieces, piece_bytes), pieces, piece_bytes)


def _from_value(value: Value) -> Torrent:
    top = cast(Mapping[bytes, Value], value)
    info = cast(Mapping[bytes, Value], top[b"info"])
    layers = cast(Mapping[bytes, bytes], top[b"piece layers"])
    piece_bytes = cast(int, info[b"piece length"])
    if piece_bytes < merkle.BLOCK or piece_bytes & (piece_bytes - 1):
        raise ValueError("the length of a piece is a power of two")
    files = tuple(_files(cast(Mapping[bytes, Value], info[b"file tree"]), "", layers, piece_bytes))
    if not files:
        raise ValueError("a torrent of nothing")
    return Torrent(cast(bytes, info[b"name"]).decode(), files)


def _files(
    tree: Mapping[bytes, Value], folder: str, layers: Mapping[bytes, bytes], piece_bytes: int
) -> Iterable[TorrentFile]:
    for part, below in sorted(tree.items()):
        name = part.decode()
        if name.startswith(".") or "/" in name or "\\" in name or "\0" in name or not name:
            raise ValueError("a path that leaves the folder")
        inner = cast(Mapping[bytes, Value], below)
        if b"" in inner:
            yield _file(f"{folder}{name}", inner[b""], layers, piece_bytes)
        else:
            yield from _files(inner, f"{folder}{name}/", layers, piece_bytes)


def _file(path: str, value: Value, layers: Mapping[bytes, bytes], piece_bytes: int) -> TorrentFile:
    """One file with its pieces, which must give its root."""
    entry = cast(Mapping[bytes, Value], value)
    size, root = cast(int, entry[b"length"]), cast(bytes, entry[b"pieces root"])
    if size <= 0 or len(root) != merkle.HASH_BYTES:
        raise ValueError("a file without content")
    if size <= piece_bytes:
        return TorrentFile(path, size, root, (root,), piece_bytes)
    layer = layers[root]
    if len(layer) != -(-size // piece_bytes) * merkle.HASH_BYTES:
        raise ValueError("pieces are missing")
    pieces = tuple(
        layer[at : at + merkle.HASH_BYTES] for at in range(0, len(layer), merkle.HASH_BYTES)
    )
    if merkle.file_root(pieces, piece_bytes) != root:
        raise ValueError("pieces that do not give their file")
    return TorrentFile(path, size, root, pieces, piece_bytes)


def _refused(why: str) -> UntrustedError:
    return UntrustedError(
        f"The torrent of this release is refused: {why}.",
        "The release on the station is damaged; run “provisioner image verify”.",
    )
