"""What the station's carousel and its listeners say to each other on the wire.

A packet carries a part of one piece to everybody at once, over UDP multicast; a report goes
back from each listener a few times a second and says how well it hears and what it lacks.
Nothing here is trusted: a piece counts when its hash is the torrent's, a report can only ask
for what the station gives anyway.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address
from typing import Annotated, NamedTuple

from pydantic import Field, NonNegativeInt, ValidationError

from provisioner.model.base import Model

# In the range that no well-known service uses, beside the one of local service discovery.
PORT = 6772
MAGIC = b"crl1"
ROOT_BYTES = 8  # of the file's root: enough to tell the files of one workshop apart
# magic, root, number of the packet since the carousel began, piece, index, packets in the piece
HEAD = struct.Struct("!4s8sIIHH")
# With 20 bytes of IP, 8 of UDP and the head it is 1,492: a frame, also where PPPoE takes 8 more.
PAYLOAD = 1440
NUMBERS = 2**32
MAX_REPORT_BYTES = 60_000
MAX_PIECES = 1_000_000
MAX_HOLES = 128


class Head(NamedTuple):
    """Where the bytes behind it belong."""

    root: bytes
    number: int
    piece: int
    part: int
    parts: int

    def pack(self) -> bytes:
        return HEAD.pack(MAGIC, self.root, self.number, self.piece, self.part, self.parts)


def read_head(packet: bytes | memoryview) -> Head | None:
    """The head of a packet; None when it is none of ours."""
    if len(packet) <= HEAD.size:
        return None
    magic, *where = HEAD.unpack_from(packet)
    head = Head._make(where)
    return head if magic == MAGIC and head.part < head.parts else None


def group_of(root: bytes) -> IPv4Address:
    """The multicast group of a file, of those that stay within one site (RFC 2365).

    One for each file, so that a switch which looks at memberships sends it to those only who
    want it.
    """
    return IPv4Address(bytes((239, 255, root[0], root[1])))


class Report(Model):
    """How a listener fares; numbers only ever grow within one `listener`.

    `at` is the listener's own clock in seconds. `holes` are single packets, as piece and
    index, that are missing in pieces which came otherwise whole.
    """

    root: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    listener: Annotated[str, Field(pattern="^[0-9a-f]{1,32}$")]
    turn: Annotated[int, Field(ge=0)]
    at: Annotated[float, Field(ge=0)]
    received: Annotated[int, Field(ge=0)]
    number: Annotated[int, Field(ge=0, lt=NUMBERS)]
    pieces: Annotated[int, Field(gt=0, le=MAX_PIECES)]
    missing: Annotated[str, Field(max_length=MAX_REPORT_BYTES)]
    holes: Annotated[tuple[tuple[NonNegativeInt, NonNegativeInt], ...],
                     Field(max_length=MAX_HOLES)] = ()  # fmt: skip

    def pack(self) -> bytes:
        return self.model_dump_json().encode()

    def lacking(self) -> int:
        """Bit n is set when piece n is missing. Raises ValueError when it is nonsense."""
        size = (self.pieces + 7) // 8
        try:
            unpacked = zlib.decompressobj().decompress(b64decode(self.missing, validate=True), size)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if len(unpacked) != size:
            raise ValueError(f"{len(unpacked)} bytes for {self.pieces} pieces")
        return int.from_bytes(unpacked, "little") & ((1 << self.pieces) - 1)


def read_report(data: bytes) -> Report | None:
    """A report, or None for anything else."""
    try:
        return Report.model_validate_json(data)
    except ValidationError:
        return None


def pack_missing(missing: Iterable[int], pieces: int) -> str:
    """The set of missing pieces as a report carries it."""
    bits = bytearray((pieces + 7) // 8)
    for piece in missing:
        bits[piece // 8] |= 1 << piece % 8
    return b64encode(zlib.compress(bytes(bits), 1)).decode()


def parts_of(size: int) -> Iterator[tuple[int, int, int]]:
    """The packets of a piece of `size` bytes: index, first byte, byte after the last."""
    for index in range(count_of(size)):
        yield index, index * PAYLOAD, min((index + 1) * PAYLOAD, size)


def count_of(size: int) -> int:
    """How many packets a piece of `size` bytes takes."""
    return -(-size // PAYLOAD)
