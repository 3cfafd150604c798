"""Cutting a release's system image into pieces by content, on the station.

FastCDC puts a cut where the bytes themselves say so: what is inserted or taken out moves the
pieces behind it, but does not change them. pyfastcdc does the cutting; it is alive, MIT, and
cuts 140 MB with their digests in a fifth of a second here.

The options are chosen by measurement: docs/delta.md has the table and its command.
"""

from __future__ import annotations

from pathlib import Path

from pyfastcdc import FastCDC

from provisioner.errors import ImageMismatchError, StationError
from provisioner.model.release import SYSTEM
from provisioner.release.chunks import (
    CHUNKS,
    ChunkMap,
    check_is_of,
    digest_of,
    read_chunk_map,
    write_chunk_map,
)
from provisioner.release.manifest import file_digest

AVERAGE_BYTES = 8 * 1024
MIN_BYTES, MAX_BYTES = AVERAGE_BYTES // 4, AVERAGE_BYTES * 4


def cut(path: Path, name: str = SYSTEM, average: int = AVERAGE_BYTES) -> ChunkMap:
    """Cut a file and note what each piece is. Raises StationError when the file changes
    meanwhile."""
    cutter = FastCDC(average, min_size=average // 4, max_size=average * 4)
    size, lengths, digests = path.stat().st_size, list[int](), bytearray()
    if size:
        for piece in cutter.cut_file(path):
            lengths.append(piece.length)
            digests += digest_of(piece.data)
    if sum(lengths) != size:
        raise StationError(f"{path.name} changed while it was read.", "Build the release again.")
    return ChunkMap(name, size, file_digest(path), tuple(lengths), bytes(digests))


def add_chunk_map(folder: Path, name: str = SYSTEM) -> None:
    """Write the map beside a release's image, if it has one; before it is signed."""
    image = folder / name
    if image.is_file():
        (folder / CHUNKS).write_bytes(write_chunk_map(cut(image, name)))


def verify_chunk_map(folder: Path) -> int | None:
    """Compare the map with the image, piece by piece; returns their count.

    Pieces are not cut anew: a map made with other settings is as good. None when the release
    has no map. Raises ImageMismatchError at the first piece that is not what the map says.
    """
    if not (folder / CHUNKS).is_file():
        return None
    chunk_map = read_chunk_map((folder / CHUNKS).read_bytes())
    image = folder / Path(chunk_map.path).name
    check_is_of(chunk_map, image.name, image.stat().st_size, file_digest(image))
    with image.open("rb") as file:
        for span, digest in chunk_map.pieces():
            if digest_of(file.read(span.size)) != digest:
                raise ImageMismatchError(
                    f"{CHUNKS} does not fit {image.name} at byte {span.start}.",
                    "Build the release again.",
                )
    return len(chunk_map.lengths)
