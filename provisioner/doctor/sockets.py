"""Who holds a port: read from /proc/net and /proc/PID/fd (proc_net(5))."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path

from provisioner.model.base import Model

TCP_LISTEN = 0x0A


class Socket(Model):
    """A bound socket; `address` is empty when it hears on every address."""

    kind: str
    address: str
    port: int
    inode: int


def parse_sockets(text: str, kind: str) -> list[Socket]:
    """The sockets of one table, `udp`, `udp6`, `tcp` or `tcp6`; of TCP those that listen.

    Of the IPv6 tables only sockets that hear on every address count: those take the IPv4
    port as well.
    """
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        address, _, port = words[1].partition(":")
        listens = kind.startswith("udp") or int(words[3], 16) == TCP_LISTEN
        everywhere = int(address, 16) == 0
        if not listens or (kind.endswith("6") and not everywhere):
            continue
        found.append(
            Socket(
                kind=kind.removesuffix("6"),
                address="" if everywhere else _ipv4(address),
                port=int(port, 16),
                inode=int(words[9]),
            )
        )
    return found


def listening(sockets: Iterable[Socket], kind: str, address: str, port: int) -> Socket | None:
    """The socket that stands in the way of binding `port` on `address` (empty: on all)."""
    for one in sockets:
        same = one.kind == kind and one.port == port
        if same and (not address or one.address in ("", address)):
            return one
    return None


def owner(inode: int) -> str | None:
    """Name and id of the process that has a socket open; None when it may not be seen."""
    wanted = f"socket:[{inode}]"
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(str(link.readlink()) == wanted for link in folder.iterdir()):
                name = (folder.parent / "comm").read_text().strip()
                return f"{name} ({folder.parent.name})"
        except OSError:
            continue
    return None


def _ipv4(text: str) -> str:
    """The kernel prints the address as one number in the machine's byte order."""
    return str(IPv4Address(socket.inet_ntoa(struct.pack("=I", int(text, 16)))))
