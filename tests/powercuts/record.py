"""Recording: one virtual PC images and renews its disk, QEMU writes down every write and flush."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from provisioner.model.release import INITRD, KERNEL, MANIFEST
from provisioner.release import live
from provisioner.run import run
from tests.integration.side_world import NEW, OLD, SideWorld, Sizes
from tests.unit.agent.station import StubStation

ROOT = Path(__file__).parents[2]
DISK_BYTES = 2_400 << 20
DRAWING = "A cat, by Mei, 8 years old.\n" * 40
SIZES = Sizes(texts=40, new_bytes=700_000, kernel=300_000, initrd=700_000)
PATIENCE_S = 1800.0
# Instead of systemd: what is looked at is the agent, the kernel and the disk.
INIT = """\
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONPATH=/usr/lib/classroom PYTHONUNBUFFERED=1
exec </dev/null >/dev/console 2>&1
for module in virtio_pci virtio_net virtio_blk virtio_rng ext4 vfat nls_cp437 nls_iso8859-1 \
        nls_ascii nls_utf8; do
    modprobe -q "$module"
done
/usr/lib/systemd/systemd-udevd --daemon --resolve-names=never
udevadm trigger --subsystem-match=block --action=add
udevadm settle --timeout=120
ip link set lo up
for card in /sys/class/net/e*; do
    ip address add 10.0.2.15/24 dev "${card##*/}"
    ip link set "${card##*/}" up
done
mkdir -p /tmp /dev/shm
python3 -W ignore -m tests.powercuts.in_guest http://10.0.2.2:@PORT@
echo o >/proc/sysrq-trigger
sleep 1000
"""


@dataclass(frozen=True)
class Recording:
    """A log of writes, the releases that were written, and what the machine said."""

    world: SideWorld
    log: Path
    said: str


def record(live_release: Path, folder: Path) -> Recording:
    """Let a machine with the live environment of `live_release` do its work once."""
    world = SideWorld(folder / "world", SIZES)
    station = StubStation(world.served)
    try:
        (world.served / "job.json").write_text(json.dumps(_job(world)))
        initrd = folder / INITRD
        live.append_layer(live_release / INITRD, _layer(folder, station.port), initrd)
        disk, log, console = (folder / name for name in ("disk.img", "disk.log", "console"))
        with disk.open("wb") as file:
            file.truncate(DISK_BYTES)
        log.write_bytes(b"")
        run(_machine(live_release / KERNEL, initrd, disk, log, console), timeout_s=PATIENCE_S)
    finally:
        station.close()
    said = console.read_text(errors="replace")
    if "[[well]]" not in said:
        raise AssertionError(f"the machine did not get through: {said[-4000:]}")
    return Recording(world, log, said)


def _job(world: SideWorld) -> dict[str, str]:
    folders = {name: world.catalog.folder(name) / MANIFEST for name in (OLD, NEW)}
    digests = {name: hashlib.sha256(path.read_bytes()).hexdigest()
               for name, path in folders.items()}  # fmt: skip
    return {"key": world.key, "old": OLD, "new": NEW, "old_manifest": digests[OLD],
            "new_manifest": digests[NEW], "drawing": DRAWING}  # fmt: skip


def _layer(folder: Path, port: int) -> Path:
    """The agent of this checkout, laid over the live environment's own, and what it has to do."""
    tree, code = folder / "layer", folder / "layer/usr/lib/classroom"
    shutil.rmtree(tree, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__", "web", "migrations")
    shutil.copytree(ROOT / "provisioner", code / "provisioner", ignore=ignore)
    shutil.copytree(ROOT / "tests/powercuts", code / "tests/powercuts", ignore=ignore)
    (code / "tests/__init__.py").touch()
    init = tree / "usr/sbin/init"
    init.parent.mkdir(parents=True)
    init.write_text(INIT.replace("@PORT@", str(port)))
    init.chmod(0o755)
    image = folder / "layer.squashfs"
    image.unlink(missing_ok=True)
    run(["mksquashfs", tree, image, "-quiet", "-no-progress", "-all-root"], timeout_s=120)
    return image


def _machine(kernel: Path, initrd: Path, disk: Path, log: Path, console: Path) -> list[str | Path]:
    drive = (
        f"driver=blklogwrites,node-name=logged,file.driver=file,file.filename={disk},"
        f"log.driver=file,log.filename={log},log-sector-size=512"
    )
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024",
        "-kernel", kernel, "-initrd", initrd,
        "-append", "boot=live console=ttyS0,115200 quiet", "-serial", f"file:{console}",
        "-netdev", "user,id=net0", "-device", "virtio-net-pci,netdev=net0,romfile=",
        "-device", "virtio-rng-pci", "-blockdev", drive,
        "-device", "virtio-blk-pci,drive=logged,serial=POWERCUT,write-cache=on",
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
