"""Who is this machine? Identifiers, and which of them mean anything.

Boards leave the factory with placeholders where identifiers should be, and network dongles
travel from machine to machine; such values count as absent. The list of placeholders follows
what systemd, osquery, FOG and firmware projects have reported from the field; the general rules
(one repeated character, counting up) cover their relatives.

Evidence comes in three groups that change for different reasons: what the board's firmware says
(UUID and serials), network addresses, and disks. Nothing is decided by one group against
another: what is not plain is a question to a person.
"""

from __future__ import annotations

import re
import uuid as uuids
from enum import Enum
from functools import cached_property

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

Value = tuple[str, str]  # the kind of an identifier, and what it says


class Identifiers(Model):
    """The values that can tell one machine from another; placeholders are already left out."""

    uuid: str = ""
    system_serial: str = ""
    board_serial: str = ""
    macs: frozenset[str] = frozenset()
    disks: frozenset[str] = frozenset()

    @property
    def empty(self) -> bool:
        return not self.values

    @cached_property
    def values(self) -> frozenset[Value]:
        """Everything that identifies, in one set."""
        plain = ("uuid", "system_serial", "board_serial")
        return frozenset(
            [(kind, getattr(self, kind)) for kind in plain if getattr(self, kind)]
            + [("macs", mac) for mac in self.macs]
            + [("disks", disk) for disk in self.disks]
        )


def is_placeholder(value: str) -> bool:
    """Whether a maker's value says nothing: known fillers, or one character repeated."""
    text = value.strip().lower()
    solid = re.sub(r"[\s.:_-]", "", text)
    return len(solid) < _MIN_SERIAL or text in _PLACEHOLDERS or len(set(solid)) == 1


def identifiers(hardware: Hardware) -> Identifiers:
    """What identifies a machine. MACs of USB adapters and USB disks do not."""
    smbios = hardware.smbios
    return Identifiers(
        uuid=_canonical(_meaningful(smbios.uuid.lower())),
        system_serial=_meaningful(smbios.system_serial),
        board_serial=_meaningful(smbios.board_serial),
        macs=frozenset(nic.mac for nic in hardware.nics if not nic.usb and _is_own(nic.mac)),
        disks=frozenset(
            disk.serial
            for disk in hardware.disks
            if not disk.removable and disk.transport != "usb" and not is_placeholder(disk.serial)
        ),
    )


class Likeness(Enum):
    """Whether two registrations are the same machine. What is only doubtful is never merged."""

    SAME = "same"
    DOUBTFUL = "doubtful"
    OTHER = "other"


class _Group(Enum):
    AGREES = "agrees"
    MIXED = "mixed"  # something is the same and something is another
    DIFFERS = "differs"
    SILENT = "silent"  # one side says nothing


def compare(one: Identifiers, other: Identifiers) -> Likeness:
    """Two registrations, by the three groups of evidence.

    Two groups that agree are the same machine with perhaps one part exchanged; one that agrees
    is, when no other contradicts it. A UUID that another machine's serials, addresses and disks
    come with is a firmware that changes it (some do when a network card is switched off). Disks
    alone are no machine: they move. Whatever else is shared is doubtful.
    """
    firmware, network, disks = (
        _firmware(one, other),
        _sets(one.macs, other.macs),
        _disks(one, other),
    )
    groups = (firmware, network, disks)
    agree, differ = groups.count(_Group.AGREES), groups.count(_Group.DIFFERS)
    mixed = groups.count(_Group.MIXED)
    if firmware is not _Group.DIFFERS:
        if agree >= 2:
            return Likeness.SAME
        alone = agree == 1 and differ == 0
        if alone and (disks is not _Group.AGREES or _only_disks(one, other)):
            return Likeness.SAME
    return Likeness.DOUBTFUL if agree or mixed else Likeness.OTHER


def same_machine(one: Identifiers, other: Identifiers) -> bool:
    """Whether two registrations are plainly the same machine."""
    return compare(one, other) is Likeness.SAME


def _firmware(one: Identifiers, other: Identifiers) -> _Group:
    pairs = ((one.uuid, other.uuid), (one.system_serial, other.system_serial),
             (one.board_serial, other.board_serial))  # fmt: skip
    equal = [left == right for left, right in pairs if left and right]
    if not equal:
        return _Group.SILENT
    if all(equal):
        return _Group.AGREES
    return _Group.MIXED if any(equal) else _Group.DIFFERS


def _disks(one: Identifiers, other: Identifiers) -> _Group:
    return _sets(one.disks, other.disks)


def _sets(one: frozenset[str], other: frozenset[str]) -> _Group:
    if not one or not other:
        return _Group.SILENT
    if not one & other:
        return _Group.DIFFERS
    return _Group.AGREES if one <= other or other <= one else _Group.MIXED


def _only_disks(one: Identifiers, other: Identifiers) -> bool:
    """Whether neither side has anything but disks to be known by."""
    return all(
        not (side.uuid or side.system_serial or side.board_serial or side.macs)
        for side in (one, other)
    )


def _canonical(uuid: str) -> str:
    """One spelling for both byte orders: SMBIOS before 2.6 left the first three fields' open.

    Firmware, kernels and boot loaders disagree about it, so the same board is seen with either.
    """
    try:
        value = uuids.UUID(uuid)
    except ValueError:
        return uuid
    return min(str(value), str(uuids.UUID(bytes=value.bytes_le)))


def _meaningful(value: str) -> str:
    return "" if is_placeholder(value) else value.strip()


def _is_own(mac: str) -> bool:
    """Whether an address was given by a maker: not a group address, not all zeros."""
    return not int(mac[:2], 16) & 1 and len(set(mac.replace(":", ""))) > 1
