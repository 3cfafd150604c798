"""The network cards of this machine, from sysfs and `ethtool`."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from pydantic import ValidationError

from provisioner.agent.text import read_int, read_line
from provisioner.errors import CommandError
from provisioner.model.hardware import MAX_NICS, Nic
from provisioner.run import run

ETHERNET = 1  # ARPHRD_ETHER, linux/if_arp.h
_PERMANENT = re.compile(r"^permanent address: ([0-9a-f]{2}(?::[0-9a-f]{2}){5})$", re.M | re.I)
_BOOTIF = re.compile(r"^(?:01[-:])?([0-9a-f]{2}(?:[-:][0-9a-f]{2}){5})$")
NO_MAC = "00:00:00:00:00:00"


def read_nics(root: Path = Path("/")) -> tuple[Nic, ...]:
    """Every card that is a piece of hardware; bridges and tunnels are not."""
    folder = root / "sys/class/net"
    cards = sorted(folder.iterdir()) if folder.is_dir() else []
    found = [_nic(card) for card in cards if (card / "device").exists()]
    return tuple(nic for nic in found if nic)[:MAX_NICS]


def parse_permanent_mac(text: str) -> str | None:
    """The address that `ethtool -P` shows, or None when the driver does not know one."""
    match = _PERMANENT.search(text.strip())
    return match[1].lower() if match and match[1] != NO_MAC else None


def parse_bootif(value: str) -> str:
    """The boot loader's BOOTIF=01-52-54-… as a MAC address; '' when it is none."""
    match = _BOOTIF.match(value.strip().lower())
    return match[1].replace("-", ":") if match else ""


def parse_speed(text: str) -> int | None:
    """Link speed in Mbit/s; None where the driver does not say (it then writes -1)."""
    try:
        speed = int(text)
    except ValueError:
        return None
    return speed if 0 < speed <= 1_000_000 else None


def _nic(folder: Path) -> Nic | None:
    if read_int(folder / "type") != ETHERNET:
        return None
    mac = _permanent_mac(folder.name) or read_line(folder / "address").lower()
    try:
        return Nic(
            name=folder.name,
            mac=mac,
            driver=_link_name(folder / "device/driver"),
            usb="/usb" in str((folder / "device").resolve()),
            wireless=(folder / "wireless").exists() or (folder / "phy80211").exists(),
            link=read_line(folder / "carrier") == "1",
            speed_mbit=parse_speed(read_line(folder / "speed")),
        )
    except ValidationError:
        return None


def _permanent_mac(name: str) -> str | None:
    try:
        return parse_permanent_mac(run(["ethtool", "-P", name], timeout_s=10, check=False).stdout)
    except CommandError:
        return None


def _link_name(link: Path) -> str:
    return link.resolve().name if link.exists() else ""


def bind_to(nics: tuple[Nic, ...], boot_mac: str) -> list[tuple[int, int, bytes]]:
    """Socket options that keep all traffic on the card that the machine was started from.

    An office PC may have two cards, one of them on another network; without a card of that
    address the kernel's routes decide.
    """
    names = [nic.name for nic in nics if boot_mac and nic.mac == boot_mac]
    if len(names) != 1:
        return []
    return [(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, names[0].encode() + b"\0")]
