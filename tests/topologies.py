"""Machines full of disks: sysfs trees made by hand, which the real lsblk reads.

`PARTS` says of each kind of device what a person says of it: may it ever be written to without
anybody having named it? `build` lays out what Linux shows of such devices under /sys, /dev and
/run/udev, in an order of enumeration; the nodes in /dev are loop devices, so what is written to
them is really written. `python -m tests.topologies` (as root) records how lsblk prints each part
into tests/samples/lsblk/parts.json.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.agent.lsblk import COLUMNS
from provisioner.run import run
from tests.mounts import bind, mount_tmpfs, own_mounts, unmount

SAMPLE = Path(__file__).parent / "samples/lsblk/parts.json"
LOOP_MAJOR = 7
SIZE = 2 * 1024 * 1024
PCI = "devices/pci0000:00/0000:00"
ENVIRONMENT = {"SYSTEMD_DEVICE_VERIFY_SYSFS": "0"}  # libudev otherwise wants the kernel's own


@dataclass(frozen=True)
class Part:
    """One device: where it hangs, what it says of itself, and whether it may be a target."""

    bus: str
    may: bool
    size: int = SIZE
    removable: bool = False
    rotating: bool = False
    driver: str = "ahci"  # of the SCSI host
    read_only: bool = False
    scsi_type: int = 0


PARTS: dict[str, Part] = {
    # What the issue names
    "sata": Part("sata", may=True, rotating=True),
    "nvme": Part("nvme", may=True),
    "virtio": Part("virtio", may=True, rotating=True),
    "stick": Part("usb", may=False, removable=True, rotating=True, driver="usb-storage"),
    "reader": Part("usb", may=False, size=0, removable=True, driver="usb-storage"),
    "dead": Part("sata", may=False, size=0),
    # What else stands in workshops
    "ssd": Part("sata", may=True),
    "ide": Part("ide", may=True, rotating=True, driver="ata_piix"),
    "usb-disk": Part("usb", may=False, rotating=True, driver="uas"),
    "card": Part("usb", may=False, removable=True, driver="usb-storage"),
    "emmc": Part("mmc", may=False),
    "emmc-boot": Part("mmc-boot", may=False, read_only=True),
    "raid": Part("raid", may=False, rotating=True, driver="megaraid_sas"),
    "optical": Part("sata", may=False, removable=True, rotating=True, scsi_type=5),
    "floppy": Part("floppy", may=False, removable=True, rotating=True),
    "loop": Part("loop", may=False, read_only=True),
    "zram": Part("zram", may=False),
}
CORE = ("sata", "nvme", "virtio", "stick", "reader", "dead")
FURTHER = tuple(name for name in PARTS if name not in CORE)
_BUS = {"sata": f"{PCI}:17.0/ata1", "ide": f"{PCI}:1f.2/ata1", "raid": f"{PCI}:02.0",
        "usb": f"{PCI}:14.0/usb1/1-1/1-1:1.0"}  # fmt: skip


def topologies() -> list[tuple[str, ...]]:
    """Every three of the issue's six kinds, every further one beside two of them, in all orders."""
    threes = itertools.chain(
        itertools.combinations(CORE, 3), (("sata", "stick", name) for name in FURTHER)
    )
    return [order for three in threes for order in itertools.permutations(three)]


def names_of(order: Sequence[str]) -> dict[str, str]:
    """The kernel's names when devices are found in this order: part → name."""
    patterns = {"nvme": "nvme{}n1", "virtio": "vd{l}", "mmc": "mmcblk0", "mmc-boot": "mmcblk0boot0",
                "floppy": "fd{}", "loop": "loop{}", "zram": "zram{}"}  # fmt: skip
    counts: dict[str, int] = {}
    names = {}
    for part in order:
        pattern = "sr{}" if part == "optical" else patterns.get(PARTS[part].bus, "sd{l}")
        count = counts.get(pattern, 0)
        counts[pattern] = count + 1
        # From vdm on: a computer that runs tests may stand on vda, and lsblk finds mounts by name.
        names[part] = pattern.format(count, l=chr(ord("m" if "vd" in pattern else "a") + count))
    return names


def serial_of(part: str) -> str:
    return "" if part in ("loop", "zram", "floppy", "optical") else f"SERIAL-{part.upper()}"


@dataclass(frozen=True)
class Shown:
    """One device as the tree shall show it; a test may let it lie."""

    part: str
    name: str
    minor: int
    serial: str
    size: int


def shown(order: Sequence[str], minors: Mapping[str, int]) -> list[Shown]:
    names = names_of(order)
    return [Shown(p, names[p], minors[p], serial_of(p), PARTS[p].size) for p in order]


def build(root: Path, devices: Sequence[Shown]) -> None:
    """Lay out sys/, dev/ and udev/ below `root`."""
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("sys/block", "sys/class/block", "dev", "udev"):
        (root / folder).mkdir(parents=True)
    for number, device in enumerate(devices):
        _device(root, device, number)
        os.mknod(root / "dev" / device.name, 0o60600, os.makedev(LOOP_MAJOR, device.minor))
    for name, minor in (("null", 3), ("zero", 5), ("urandom", 9)):
        os.mknod(root / "dev" / name, 0o20666, os.makedev(1, minor))


def _device(root: Path, device: Shown, host: int) -> None:
    sys, part = root / "sys", PARTS[device.part]
    above, block = _places(sys, device, part, host)
    _put(block / "dev", f"{LOOP_MAJOR}:{device.minor}")
    _put(block / "uevent", f"MAJOR={LOOP_MAJOR}\nMINOR={device.minor}\nDEVNAME={device.name}\n"
                           "DEVTYPE=disk")  # fmt: skip
    values = {"size": device.size // 512, "removable": int(part.removable),
              "ro": int(part.read_only), "queue/rotational": int(part.rotating),
              "queue/logical_block_size": 512, "queue/physical_block_size": 512}  # fmt: skip
    for name, value in values.items():
        _put(block / name, value)
    _link(block / "subsystem", sys / "class/block")
    for folder in ("block", "class/block"):
        _link(sys / folder / device.name, block)
    _link(sys / f"dev/block/{LOOP_MAJOR}:{device.minor}", block)
    if above:
        (block / "device").symlink_to(f"../../../{above.name}" if block.parent != above else "..")
        _put(above / "model", f"SAMPLE {device.part}")
        _put(above / "type", part.scsi_type)
    if device.serial:
        (root / f"udev/b{LOOP_MAJOR}:{device.minor}").write_text(
            f"I:1\nE:ID_SERIAL_SHORT={device.serial}\nE:ID_MODEL=SAMPLE_{device.part}\nV:1\n"
        )


def _places(sys: Path, device: Shown, part: Part, host: int) -> tuple[Path | None, Path]:
    """The device above a disk, if any, and the disk's own folder, with all buses on the way."""
    if part.bus in ("loop", "zram"):
        block = sys / f"devices/virtual/block/{device.name}"
        _put(block / "loop/backing_file", "/run/live/base.squashfs")
        return None, block
    if part.bus == "nvme":
        above = sys / f"{PCI}:1d.0/nvme/{device.name.partition('n1')[0]}"
        _on_bus(sys, above.parents[1], "pci")
        _on_bus(sys, above, "nvme")
        return above, above / device.name
    if part.bus == "floppy":
        above = sys / "devices/platform/floppy.0"
        _on_bus(sys, above, "platform")
    elif part.bus == "virtio":
        above = sys / f"{PCI}:05.0/virtio{host}"
        _on_bus(sys, above.parent, "pci")
        _on_bus(sys, above, "virtio")
    elif part.bus.startswith("mmc"):
        above = sys / f"{PCI}:1c.0/mmc_host/mmc0/mmc0:0001"
        _on_bus(sys, above.parents[2], "pci")
        _on_bus(sys, above.parent, "mmc_host")
        _on_bus(sys, above, "mmc")
    else:
        above = _scsi(sys, part, host)
    return above, above / "block" / device.name


def _scsi(sys: Path, part: Part, host: int) -> Path:
    on = sys / _BUS[part.bus]
    above = on / f"host{host}/target{host}:0:0/{host}:0:0:0"
    _on_bus(sys, above, "scsi")
    _link(sys / "bus/scsi/devices" / above.name, above)
    for name in (step for step in (on, *on.parents) if ":" in step.name or "usb" in step.name):
        if name.name != "pci0000:00":
            _on_bus(sys, name, "usb" if "usb" in str(name.relative_to(sys)) else "pci")
    _put(sys / f"class/scsi_host/host{host}/proc_name", part.driver)
    return above


def _on_bus(sys: Path, device: Path, bus: str) -> None:
    (sys / "bus" / bus).mkdir(parents=True, exist_ok=True)
    if not (device / "subsystem").is_symlink():
        _link(device / "subsystem", sys / "bus" / bus)


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent))


def _put(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")


@contextlib.contextmanager
def living_in(root: Path) -> Iterator[None]:
    """In a mount namespace of our own: the tree takes the place of /sys, /dev and /run/udev."""
    places = ((root / "sys", Path("/sys")), (root / "dev", Path("/dev")))
    with contextlib.ExitStack() as stack:
        mount_tmpfs(Path("/run"))
        stack.callback(unmount, Path("/run"))
        shutil.copytree(root / "udev", "/run/udev/data")
        for source, place in places:
            bind(source, place)
            stack.callback(unmount, place)
        yield


def record(folder: Path) -> dict[str, dict[str, Any]]:
    """Each part as the real lsblk prints it, alone in a machine."""
    rows = {}
    with own_mounts():
        for number, part in enumerate(PARTS):
            build(folder, shown([part], {part: 900 + number}))
            with living_in(folder):
                words = ["lsblk", "--all", "--json", "--bytes", "--output", COLUMNS]
                told = run(words, timeout_s=30, env=ENVIRONMENT).stdout
            (rows[part],) = json.loads(told)["blockdevices"]
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = record(Path(folder) / "tree")
    lines = (f"{json.dumps(part)}: {json.dumps(row)}" for part, row in rows.items())
    SAMPLE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
