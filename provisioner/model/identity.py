"""Who is this machine? Identifiers, and which of them mean anything.

Boards leave the factory with placeholders where identifiers should be, and network dongles
travel from machine to machine; such values count as absent. The list of placeholders follows
what systemd, osquery, FOG and firmware projects have reported from the field; the general rules
(one repeated character, counting up) cover their relatives.
"""

from __future__ import annotations

import re

from provisioner.model.base import Model
from provisioner.model.hardware import Hardware

_PLACEHOLDERS = frozenset(
    """
    to be filled by o.e.m.|to be filled by oem|default string|system serial number|not specified
    |not applicable|not available|none|n/a|na|unknown|oem|o.e.m.|invalid|empty|enter serial
    |system product name|system manufacturer|base board serial number|serial number|chassis serial
    |chassis serial number|board serial number|type1productconfigid|filled by oem|xxxxxxxxxxx
    |0123456789|123456789|1234567890|01234567|00020003-0004-0005-0006-000700080009
    |03000200-0400-0500-0006-000700080009|fefefefe-fefe-fefe-fefe-fefefefefefe|no asset tag
    """.replace("\n", "")
    .replace("    ", "")
    .split("|")
)
_MIN_SERIAL = 4


class Identifiers(Model):
    """The values that can tell one machine from another; placeholders are already left out."""

    uuid: str = ""
    system_serial: str = ""
    board_serial: str = ""
    macs: frozenset[str] = frozenset()
    disks: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        return not (self.uuid or self.system_serial or self.board_serial or self.macs or self.disks)


def is_placeholder(value: str) -> bool:
    """Whether a maker's value says nothing: known fillers, or one character repeated."""
    text = value.strip().lower()
    solid = re.sub(r"[\s.:_-]", "", text)
    return len(solid) < _MIN_SERIAL or text in _PLACEHOLDERS or len(set(solid)) == 1


def identifiers(hardware: Hardware) -> Identifiers:
    """What identifies a machine. MACs of USB adapters and USB disks do not."""
    smbios = hardware.smbios
    return Identifiers(
        uuid=_meaningful(smbios.uuid.lower()),
        system_serial=_meaningful(smbios.system_serial),
        board_serial=_meaningful(smbios.board_serial),
        macs=frozenset(nic.mac for nic in hardware.nics if not nic.usb and _is_own(nic.mac)),
        disks=frozenset(
            disk.serial
            for disk in hardware.disks
            if not disk.removable and disk.transport != "usb" and not is_placeholder(disk.serial)
        ),
    )


def same_machine(one: Identifiers, other: Identifiers) -> bool:
    """Whether two registrations are the same machine.

    A shared network address, or two shared identifiers of another kind, with no contradiction
    by UUID. A single shared serial is not enough: makers print one serial on many boards, and
    disks move between machines.
    """
    if one.uuid and other.uuid and one.uuid != other.uuid:
        return False
    if one.macs & other.macs:
        return True
    shared = (
        bool(one.uuid and one.uuid == other.uuid),
        bool(one.system_serial and one.system_serial == other.system_serial),
        bool(one.board_serial and one.board_serial == other.board_serial),
        bool(one.disks & other.disks),
    )
    return sum(shared) >= 2


def _meaningful(value: str) -> str:
    return "" if is_placeholder(value) else value.strip()


def _is_own(mac: str) -> bool:
    """Whether an address was given by a maker: not a group address, not all zeros."""
    return not int(mac[:2], 16) & 1 and len(set(mac.replace(":", ""))) > 1
