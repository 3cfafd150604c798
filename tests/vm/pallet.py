"""A pallet of 25 PCs whose firmware names none of them, as real QEMU guests.

Each guest starts the live environment's kernel and packages, and a program of ours in the place of
systemd: udev, then `provisioner.agent.hardware.read_hardware()`, whose answer goes to the serial
line. No network and no disk image: what is tested is what a machine says of itself.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.model.hardware import Disk, Firmware, Hardware, Nic, Smbios, Transport
from provisioner.release.live import append_layer
from provisioner.run import run, start

BOOT_S = 900.0
DISK_BYTES = 64 * 10**9
FILLER = "To be filled by O.E.M."
DOCK = "00:50:b6:00:00:01"
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin PYTHONPATH=/usr/lib/classroom
/usr/lib/systemd/systemd-udevd --daemon
udevadm trigger --action=add --type=subsystems
udevadm trigger --action=add --type=devices
udevadm settle --timeout=120
python3 - >/dev/ttyS0 2>&1 <<'END'
from provisioner.agent.hardware import read_hardware
print("\\nREPORT " + read_hardware().model_dump_json() + " END", flush=True)
END
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


@dataclass(frozen=True)
class Guest:
    """One PC: what its board says of itself, its network cards, its disks' serials."""

    uuid: str
    serial: str
    board: str
    macs: tuple[str, ...]
    disks: tuple[str, ...]
    dock: bool = False


def pallet() -> list[Guest]:
    """Seven families of bad labelling that the field has reported (model/identity.py)."""
    zeros, ones = ("-".join(sign * n for n in (8, 4, 4, 4, 12)) for sign in "0f")
    made = [Guest(zeros, FILLER, FILLER, (mac(n),), (f"WD-A{n:05d}",)) for n in range(5)]
    ami = "03000200-0400-0500-0006-000700080009"
    made += [Guest(ami, "Default string", "Default string", (mac(n),), (f"ST-B{n:05d}",))
             for n in range(5, 10)]  # fmt: skip
    made += [Guest(zeros, "", "", (mac(n),), ()) for n in range(10, 13)]
    copied = "4c4c4544-0034-4a10-8051-b4c04f303132"  # one BIOS image flashed onto four boards
    made += [Guest(copied, "CLONE1", "CN7082103C", (mac(n),), (f"HT-C{n:05d}",))
             for n in range(13, 17)]  # fmt: skip
    made += [Guest(ones, "System Serial Number", "0123456789", (mac(n),), (f"SA-D{n:05d}",), True)
             for n in range(17, 20)]  # fmt: skip
    made += [Guest("fefefefe-fefe-fefe-fefe-fefefefefefe", "123456789", FILLER, (mac(n),),
                   ("AA000000000001",)) for n in range(20, 23)]  # fmt: skip
    made += [Guest(zeros, FILLER, "None", ("00:e0:4c:68:00:01",), (f"TO-E{n:05d}",))
             for n in range(23, 25)]  # fmt: skip
    return made


def mac(number: int) -> str:
    return f"a4:bb:6d:00:01:{number:02x}"


def qemu_command(guest: Guest, kernel: Path, initrd: Path, serial: Path) -> list[str]:
    fields = {1: f"uuid={guest.uuid},serial={guest.serial},manufacturer={FILLER},product={FILLER}",
              2: f"serial={guest.board},manufacturer={FILLER},product=H81M"}  # fmt: skip
    words = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "768",
        "-kernel", str(kernel), "-initrd", str(initrd), "-append", "quiet console=tty0",
        "-serial", f"file:{serial}", "-device", "qemu-xhci,id=xhci",
    ]  # fmt: skip
    for kind, text in fields.items():
        words += ["-smbios", f"type={kind},{text}"]
    for number, address in enumerate(guest.macs):
        words += ["-netdev", f"hubport,hubid=0,id=net{number}",
                  "-device", f"e1000,netdev=net{number},mac={address},romfile="]  # fmt: skip
    if guest.dock:
        words += ["-netdev", "hubport,hubid=0,id=dock",
                  "-device", f"usb-net,bus=xhci.0,netdev=dock,mac={DOCK}"]  # fmt: skip
    for number, name in enumerate(guest.disks):
        words += ["-blockdev", f"null-co,node-name=d{number},size={DISK_BYTES},read-zeroes=on",
                  "-device", f"ide-hd,bus=ide.{number},drive=d{number},serial={name}"]  # fmt: skip
    return words


def make_initrd(live: Path, folder: Path) -> Path:
    """The live environment's initramfs with our program in the place of systemd."""
    init = folder / "layer/usr/sbin/init"
    init.parent.mkdir(parents=True)
    init.write_text(INIT)
    init.chmod(0o755)
    layer = folder / "z.squashfs"
    run(["mksquashfs", folder / "layer", layer, "-all-root", "-quiet", "-no-progress"],
        timeout_s=60)  # fmt: skip
    append_layer(live / "initrd.img", layer, folder / "initrd.img")
    return folder / "initrd.img"


def ask(guest: Guest, kernel: Path, initrd: Path, folder: Path) -> dict[str, Any]:
    """Start it, hear its report, and see it off. Raises AssertionError with what it said."""
    serial = folder / "serial.log"
    serial.unlink(missing_ok=True)
    process = start(qemu_command(guest, kernel, initrd, serial), log=folder / "qemu.log")
    try:
        until, said = time.monotonic() + BOOT_S, ""
        while time.monotonic() < until:
            said = serial.read_text(errors="replace") if serial.exists() else ""
            if found := re.search(r"REPORT (\{.*\}) END", said):
                told: dict[str, Any] = json.loads(found[1])
                return told
            assert process.poll() is None, (folder / "qemu.log").read_text() + said[-2000:]
            time.sleep(0.3)
        raise AssertionError(f"no report: {said[-2000:]}")
    finally:
        process.kill()
        process.wait(20)


def as_reported(guest: Guest) -> Hardware:
    """What the agent says of such a guest; made by hand here, compared with real ones there."""
    nics = [Nic(name=f"enp{n}s0", mac=mac, driver="e1000") for n, mac in enumerate(guest.macs)]
    if guest.dock:
        nics.append(Nic(name="usb0", mac=DOCK, driver="cdc_ether", usb=True))
    disks = [
        Disk(
            name=f"sd{'abc'[number]}", serial=serial, model="QEMU HARDDISK", size_bytes=DISK_BYTES,
            logical_sector_bytes=512, physical_sector_bytes=512, transport=Transport.SATA,
            removable=False,
        )
        for number, serial in enumerate(guest.disks)
    ]  # fmt: skip
    return Hardware(
        smbios=Smbios(
            uuid=guest.uuid, system_vendor=FILLER, system_product=FILLER,
            system_serial=guest.serial, board_vendor=FILLER, board_product="H81M",
            board_serial=guest.board,
        ),
        firmware=Firmware.BIOS, cpu="QEMU TCG CPU", cpu_threads=1, memory_mib=768,
        disks=tuple(disks), nics=tuple(nics),
    )  # fmt: skip
