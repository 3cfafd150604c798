"""Who answers DHCP on a wire: one DHCPDISCOVER as a booting PC sends it, and the offers.

It goes out and comes in as raw Ethernet frames on exactly one interface (packet(7)), so it needs
neither an address nor port 68, which a DHCP client of this computer may hold. No offer is
accepted, so nothing is taken from the server. Formats: RFC 2131, RFC 2132, RFC 4578.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from ipaddress import IPv4Address
from pathlib import Path

from provisioner.model.base import Model

WAIT_S = 6.0  # some servers ping an address for three seconds before they offer it
ASK_EVERY_S = 2.0
ETHERNET_IPV4, UDP = 0x0800, 17
SERVER_PORT, CLIENT_PORT = 67, 68
COOKIE = b"\x63\x82\x53\x63"
REPLY, OFFER = 2, 2
BROADCAST_MAC = b"\xff" * 6
OPTION_TYPE, OPTION_SERVER, OPTION_END, OPTION_PAD = 53, 54, 255, 0


class Offer(Model):
    """One server's answer; `address` is empty from a proxyDHCP server, which gives none."""

    server: str
    mac: str
    address: str


def find_servers(interface: str, wait_s: float = WAIT_S) -> list[Offer]:
    """Ask on `interface` and collect the different servers that answer within `wait_s` seconds.

    Raises OSError when raw frames may not be sent there (no rights, no such interface).
    """
    mac = bytes.fromhex(Path(f"/sys/class/net/{interface}/address").read_text().replace(":", ""))
    transaction = secrets.randbits(32)
    offers: dict[str, Offer] = {}
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERNET_IPV4)) as wire:
        wire.bind((interface, ETHERNET_IPV4))
        wire.settimeout(0.2)
        end = time.monotonic() + wait_s
        ask_at = 0.0
        while (now := time.monotonic()) < end:
            if now >= ask_at:
                wire.send(discover(mac, transaction))
                ask_at = now + ASK_EVERY_S
            try:
                offer = parse_offer(wire.recv(2048), transaction)
            except TimeoutError:
                continue
            if offer is not None:
                offers[offer.server] = offer
    return list(offers.values())


def discover(mac: bytes, transaction: int) -> bytes:
    """The frame of a DHCPDISCOVER that also proxyDHCP servers answer (as a BIOS PXE ROM asks)."""
    options = b"".join(
        (
            COOKIE,
            _option(OPTION_TYPE, b"\x01"),
            _option(60, b"PXEClient:Arch:00000:UNDI:002001"),
            _option(93, b"\0\0"),
            _option(94, b"\x01\x02\x01"),
            _option(97, b"\0" + bytes(16)),
            _option(55, bytes((1, 3, 6, 43, 54, 60, 66, 67))),
            bytes([OPTION_END]),
        )
    )
    # op, Ethernet, address length, hops, transaction, seconds, flags (answer by broadcast)
    head = struct.pack("!BBBBIHH", 1, 1, 6, 0, transaction, 4, 0x8000)
    message = head + bytes(16) + mac.ljust(16, b"\0") + bytes(64 + 128) + options
    datagram = struct.pack("!HHHH", CLIENT_PORT, SERVER_PORT, 8 + len(message), 0) + message
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(datagram), 0, 0, 64, UDP, 0, bytes(4),
                     b"\xff" * 4)  # fmt: skip
    ip = ip[:10] + struct.pack("!H", _checksum(ip)) + ip[12:]
    return BROADCAST_MAC + mac + struct.pack("!H", ETHERNET_IPV4) + ip + datagram


def parse_offer(frame: bytes, transaction: int) -> Offer | None:
    """The offer in a frame, or None when it is anything else (it comes from strangers)."""
    if len(frame) < 14 + 20 or frame[12:14] != b"\x08\x00" or frame[14] >> 4 != 4:
        return None
    datagram = 14 + (frame[14] & 0x0F) * 4
    message = frame[datagram + 8 :]
    if frame[23] != UDP or len(message) < 240 or message[236:240] != COOKIE:
        return None
    ports = struct.unpack("!HH", frame[datagram : datagram + 4])
    asked = struct.unpack("!I", message[4:8])[0]
    if ports != (SERVER_PORT, CLIENT_PORT) or message[0] != REPLY or asked != transaction:
        return None
    options = parse_options(message[240:])
    if options.get(OPTION_TYPE) != bytes([OFFER]):
        return None
    server = options.get(OPTION_SERVER, frame[26:30])
    given = message[16:20]
    return Offer(
        server=str(IPv4Address(server[:4].rjust(4, b"\0"))),
        mac=frame[6:12].hex(":"),
        address=str(IPv4Address(given)) if any(given) else "",
    )


def parse_options(data: bytes) -> dict[int, bytes]:
    """DHCP options by number; what is cut off is left out."""
    options: dict[int, bytes] = {}
    place = 0
    while place + 1 < len(data) and data[place] != OPTION_END:
        if data[place] == OPTION_PAD:
            place += 1
            continue
        length = data[place + 1]
        value = data[place + 2 : place + 2 + length]
        if len(value) == length:
            options[data[place]] = value
        place += 2 + length
    return options


def _option(number: int, value: bytes) -> bytes:
    return bytes([number, len(value)]) + value


def _checksum(header: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
