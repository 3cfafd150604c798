"""The disks of this machine, as `lsblk` tells them.

Only what holds data for good counts: no loop, RAM, optical or floppy devices, nothing of size
zero. What is removable, attached by USB or in use is reported as such; choosing is not done here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from provisioner.agent.text import clean
from provisioner.errors import CommandError
from provisioner.model.hardware import MAX_DISKS, Disk, Transport
from provisioner.run import run

COLUMNS = (
    "NAME,KNAME,TYPE,SIZE,SERIAL,WWN,MODEL,TRAN,SUBSYSTEMS,RM,HOTPLUG,RO,ROTA,"
    "LOG-SEC,PHY-SEC,MOUNTPOINTS,FSTYPE,PTTYPE,LABEL"
)
NOT_DISKS = ("loop", "ram", "zram", "sr", "fd", "nbd", "dm-", "md", "mtdblock")
MAX_CONTENT = 64
# Partitions and what is inside one that nobody uses; every other child type is a holder.
_IDLE_TYPES = frozenset({"disk", "part"})
# lsblk's own words; "ata" is what it calls parallel ATA
_TRANSPORTS = {
    "sata": Transport.SATA,
    "ata": Transport.IDE,
    "nvme": Transport.NVME,
    "virtio": Transport.VIRTIO,
    "sas": Transport.SAS,
    "spi": Transport.SCSI,
    "mmc": Transport.MMC,
    "usb": Transport.USB,
}


def read_disks() -> tuple[Disk, ...]:
    """Every disk of the machine, as it is now. Raises CommandError when lsblk fails."""
    command = ["lsblk", "--json", "--bytes", "--output", COLUMNS]
    return parse_lsblk(run(command, timeout_s=30).stdout)


def parse_lsblk(text: str) -> tuple[Disk, ...]:
    """lsblk's JSON as disks. Raises CommandError when it is not what lsblk writes."""
    try:
        devices = json.loads(text)["blockdevices"]
        rows = [row for row in devices if isinstance(row, dict)]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CommandError(
            "lsblk did not list the disks of this machine.", "Restart the machine."
        ) from error
    return tuple(_disk(row) for row in rows if _is_disk(row))[:MAX_DISKS]


def _is_disk(row: dict[str, Any]) -> bool:
    name = clean(row.get("kname") or row.get("name"))
    return (
        row.get("type") == "disk"
        and not name.startswith(NOT_DISKS)
        and not (name.startswith("mmcblk") and ("boot" in name or "rpmb" in name))
        and _number(row, "size") > 0
    )


def _disk(row: dict[str, Any]) -> Disk:
    return Disk(
        name=clean(row.get("kname") or row.get("name")),
        serial=clean(row.get("serial")),
        wwn=clean(row.get("wwn")),
        model=clean(row.get("model")),
        size_bytes=min(_number(row, "size"), 2**63 - 1),
        logical_sector_bytes=min(_number(row, "log-sec"), 65536),
        physical_sector_bytes=min(_number(row, "phy-sec"), 1048576),
        transport=transport(row),
        removable=_flag(row, "rm"),
        read_only=_flag(row, "ro"),
        rotational=_flag(row, "rota"),
        in_use=any(_is_used(part) for part in _tree(row)),
        content=_content(row),
    )


def transport(row: dict[str, Any]) -> Transport:
    """How a disk is attached; anything that came over USB is USB, whatever else it says."""
    path = clean(row.get("subsystems"))
    if "usb" in path.split(":"):
        return Transport.USB
    known = _TRANSPORTS.get(clean(row.get("tran")).lower())
    if known:
        return known
    name = clean(row.get("kname") or row.get("name"))
    for prefix, by_name in (
        ("vd", Transport.VIRTIO), ("nvme", Transport.NVME), ("mmcblk", Transport.MMC),
    ):  # fmt: skip
        if name.startswith(prefix):
            return by_name
    return Transport.UNKNOWN


def _is_used(part: dict[str, Any]) -> bool:
    mounts = part.get("mountpoints")
    mounted = any(mounts) if isinstance(mounts, list) else bool(mounts)
    return mounted or part.get("type") not in _IDLE_TYPES


def _content(row: dict[str, Any]) -> tuple[str, ...]:
    """Signatures found on a disk: 'gpt', 'sda1: ntfs “Windows”'."""
    found = [clean(row.get("pttype"))]
    for part in _tree(row):
        kind, label = clean(part.get("fstype")), clean(part.get("label"))
        if kind:
            name = clean(part.get("name"))
            found.append(clean(f"{name}: {kind}" + (f" “{label}”" if label else "")))
    return tuple(text for text in found if text)[:MAX_CONTENT]


def _tree(row: dict[str, Any], depth: int = 8) -> Iterator[dict[str, Any]]:
    yield row
    children = row.get("children")
    for child in children if isinstance(children, list) and depth else ():
        if isinstance(child, dict):
            yield from _tree(child, depth - 1)


def _number(row: dict[str, Any], key: str) -> int:
    """lsblk writes numbers as numbers, older ones as strings."""
    value = row.get(key)
    if isinstance(value, str) and value.strip().isdecimal() and len(value) < 24:
        value = int(value)
    return max(value, 0) if isinstance(value, int) else 0


def _flag(row: dict[str, Any], key: str) -> bool:
    return row.get(key) in (True, 1, "1", "true")
