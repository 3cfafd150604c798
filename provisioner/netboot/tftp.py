"""A TFTP client of one purpose: to see that our own server hands out a file (RFC 1350).

python3 -m provisioner.netboot.tftp ADDRESS FILE
"""

from __future__ import annotations

import socket
import struct
import sys

from provisioner.errors import NotFoundError, UnreachableError

PORT = 69
TIMEOUT_S = 2.0
BLOCK_BYTES = 512
READ, DATA, ACKNOWLEDGE, ERROR = 1, 3, 4, 5


def read_request(name: str) -> bytes:
    """The packet that asks for a file in octet mode."""
    return struct.pack("!H", READ) + name.encode("ascii") + b"\0octet\0"


def parse_answer(packet: bytes, block: int) -> bytes:
    """The content of data block number `block`. Raises NotFoundError or UnreachableError."""
    if len(packet) < 4:
        raise UnreachableError("The TFTP server's answer is cut off.")
    kind, number = struct.unpack("!HH", packet[:4])
    if kind == ERROR:
        raise NotFoundError(f"TFTP error {number}: {packet[4:-1].decode('ascii', 'replace')}.")
    if kind != DATA or number != block & 0xFFFF:
        raise UnreachableError(f"The TFTP server answered {kind}/{number}, not block {block}.")
    return packet[4:]


def fetch(address: str, name: str) -> bytes:
    """A whole file. Raises NotFoundError when refused, UnreachableError when there is silence."""
    content = bytearray()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as talk:
        talk.settimeout(TIMEOUT_S)
        try:
            talk.sendto(read_request(name), (address, PORT))
            for block in range(1, 1 << 20):
                packet, server = talk.recvfrom(BLOCK_BYTES + 4)
                data = parse_answer(packet, block)
                content += data
                talk.sendto(struct.pack("!HH", ACKNOWLEDGE, block & 0xFFFF), server)
                if len(data) < BLOCK_BYTES:
                    return bytes(content)
        except OSError as error:
            raise UnreachableError(f"No TFTP answer from {address}: {error}.") from error
    raise UnreachableError(f"{name} does not end.")


if __name__ == "__main__":
    sys.stdout.buffer.write(fetch(sys.argv[1], sys.argv[2]))
