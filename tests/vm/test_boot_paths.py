"""Every way from power-on to a running kernel, with real firmware, DHCP, TFTP and HTTP.

The kernel is the live release's; of its initramfs only the first archive is offered, which is
enough to see `/init` start and saves half a minute of download under emulation. The whole of it
is started in test_classroom. Proof is what the kernel itself says on the serial line, and what
the station's door and dnsmasq logged.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.machine import Bus, Machine, VirtualDisk, VirtualPC
from provisioner.lab.network import LabNetwork
from provisioner.model.hardware import Firmware
from provisioner.model.signed import PrivateKey
from provisioner.netboot.dnsmasq import Dnsmasq
from provisioner.netboot.menus import BootAction, BootDecision
from provisioner.netboot.publish import publish_live
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.release.build import ensure_release
from provisioner.release.catalog import Catalog
from provisioner.release.materials import Wishes
from provisioner.run import run, start
from provisioner.secret_file import secret_file
from provisioner.settings import load_settings
from provisioner.workshop.station import STATION_KEY

pytestmark = pytest.mark.vm

ROOT = Path(__file__).parents[2]
BOOT_TIMEOUT_S = 300.0
DISK_BYTES = 160 * 1024 * 1024
LIVE = BootDecision(action=BootAction.LIVE, arguments=("console=ttyS0,115200",))
WAIT = BootDecision(action=BootAction.WAIT, message="The batch is full", retry_s=2)
LOCAL = BootDecision(action=BootAction.LOCAL)
INIT = r"Run /init as init process"
OWN_DISK = "STARTED FROM THE OWN DISK"

BIOS = VirtualPC(name="bios", firmware=Firmware.BIOS, mac="00:14:22:00:00:01", nic="e1000")
SECURE = VirtualPC(
    name="secure", firmware=Firmware.UEFI64, secure_boot=True, mac="52:54:00:00:00:02"
)
NARROW = VirtualPC(name="narrow", firmware=Firmware.UEFI32, mac="52:54:00:00:00:03")


@dataclass
class Workshop:
    """A wire with netboot on it, and the decisions that machines get."""

    folder: Path
    network: LabNetwork
    dnsmasq: Dnsmasq
    taps: list[int] = field(default_factory=list)

    def decide(self, decision: BootDecision) -> None:
        fresh = self.folder / "decision.new"
        fresh.write_text(decision.model_dump_json())
        fresh.rename(self.folder / "decision.json")

    @property
    def requests(self) -> str:
        return (self.folder / "door.log").read_text()

    @property
    def dhcp_log(self) -> str:
        return self.dnsmasq.log.read_text(errors="replace")

    @contextmanager
    def switched_on(self, pc: VirtualPC, **changes: Any) -> Iterator[Machine]:
        """The machine, running; switched off at the end."""
        self.taps.append(len(self.taps))
        machine = Machine(pc, self.network, self.folder / pc.name, self.taps[-1])
        machine.change(**changes)
        machine.start()
        try:
            yield machine
        except Exception:
            if machine.running and "LAB_SCREENSHOTS" in os.environ:
                machine.screenshot(Path(os.environ["LAB_SCREENSHOTS"]) / f"{pc.name}.png")
            raise
        finally:
            machine.kill()


Open = Callable[[DhcpMode], Workshop]


@pytest.fixture(scope="module")
def live() -> tuple[Catalog, PrivateKey]:
    """The live release, from the cache or built now."""
    settings = load_settings()
    base = settings.cache_dir / "lab"
    base.mkdir(parents=True, exist_ok=True)
    key = PrivateKey.from_hex(
        secret_file(base / STATION_KEY, lambda: PrivateKey.generate().to_hex())
    )
    catalog = Catalog(base / "releases")
    ensure_release(
        settings.images_dir / "live", catalog=catalog, key=key, cache=settings.cache_dir,
        wishes=Wishes(mirror=settings.mirror), report=lambda _step, _fraction: None,
    )  # fmt: skip
    return catalog, key


@pytest.fixture
def open_workshop(live: tuple[Catalog, PrivateKey]) -> Iterator[Open]:
    """Starts a workshop; everything of it is gone after the test."""
    folder = Path(tempfile.mkdtemp(prefix="boot-paths-", dir="/var/tmp"))
    folder.chmod(0o755)
    with ExitStack() as parts:
        parts.callback(shutil.rmtree, folder, ignore_errors=True)

        def begin(mode: DhcpMode) -> Workshop:
            settings = NetbootSettings(
                interface="br0", station=IPv4Interface("10.77.0.1/24"), mode=mode,
                tftp_root=folder / "tftp", state_dir=folder,
            )  # fmt: skip
            catalog, key = live
            shorten(publish_live(catalog, settings, key.public) / "initrd.img")
            (folder / "netboot.json").write_text(settings.model_dump_json())
            network = parts.enter_context(LabNetwork())
            start(
                [*network.exec_prefix, sys.executable, "-m", "tests.vm.boot_server", folder],
                log=folder / "door.log", env={"PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            dnsmasq = parts.enter_context(Dnsmasq(settings, network.exec_prefix))
            workshop = Workshop(folder, network, dnsmasq)
            workshop.decide(LIVE)
            wait_for(lambda: "Uvicorn running" in workshop.requests, 60)
            return workshop

        yield begin


@contextmanager
def router(workshop: Workshop) -> Iterator[None]:
    """Somebody else's DHCP server, which knows nothing of booting."""
    folder = workshop.folder
    with workshop.network.neighbour("router", IPv4Interface("10.77.0.254/24")) as inside:
        start(
            [*inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
             "--interface=eth0", "--bind-interfaces", "--dhcp-range=10.77.0.50,10.77.0.90,1h",
             f"--dhcp-leasefile={folder}/router.leases", f"--pid-file={folder}/router.pid",
             "--user=root", "--no-ping", "--dhcp-authoritative", "--log-facility=-"],
            log=folder / "router.log",
        )  # fmt: skip
        yield


def shorten(initrd: Path) -> None:
    """Leave only the first archive: busybox and `/init`."""
    data = initrd.read_bytes()
    first = zlib.decompressobj(wbits=31)
    first.decompress(data)
    initrd.write_bytes(data[: len(data) - len(first.unused_data)])


def wait_for(condition: Callable[[], bool], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def arrived(machine: Machine, workshop: Workshop) -> str:
    """Wait until the live environment's `/init` starts; what the kernel said until then."""
    machine.wait_for_serial(INIT, BOOT_TIMEOUT_S)
    said = machine.serial_text()
    assert f"BOOTIF=01-{machine.pc.mac.replace(':', '-')}" in said
    assert "station=http://10.77.0.1:8080" in said
    assert ("Secure boot enabled" in said) == machine.pc.secure_boot
    assert bool(re.search(r"\befi: EFI v2", said)) == (machine.pc.firmware is not Firmware.BIOS)
    return said


def test_bios_through_ipxe_waits_and_then_starts(open_workshop: Open) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    workshop.decide(WAIT)
    with workshop.switched_on(BIOS) as machine:
        asked = f"/boot/boot.ipxe?mac={BIOS.mac.replace(':', '%3A')}"
        wait_for(lambda: requested(workshop, asked) >= 2, BOOT_TIMEOUT_S)
        assert "vmlinuz" not in workshop.requests
        workshop.decide(LIVE)
        arrived(machine, workshop)
    if "oldipxe" in workshop.dhcp_log:  # QEMU's own iPXE on Debian 12: ours is loaded first
        assert sent_by_tftp(workshop, "undionly.kpxe")


def sent_by_tftp(workshop: Workshop, name: str) -> list[str]:
    """What was sent to machines, that is, not to the station's own probe."""
    sent = rf"sent \S+{re.escape(name)} to 10\.77\.0\.(?!1$)\d+$"
    return re.findall(sent, workshop.dhcp_log, re.MULTILINE)


def requested(workshop: Workshop, path: str) -> int:
    """How often a path was asked for; iPXE before 2020 writes colons as %3A, later ones do not."""
    return workshop.requests.replace("%3A", ":").count(path.replace("%3A", ":"))


def test_uefi_with_secure_boot_through_shim_and_grub(open_workshop: Open) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    workshop.decide(WAIT)
    with workshop.switched_on(SECURE) as machine:
        asked = f"/boot/grub.cfg?mac={SECURE.mac}&platform=x86_64-efi"
        wait_for(lambda: requested(workshop, asked) >= 2, BOOT_TIMEOUT_S)
        workshop.decide(LIVE)
        arrived(machine, workshop)
    for loader in ("shimx64.efi", "grubx64.efi", "grub/grub.cfg"):
        assert sent_by_tftp(workshop, loader)


def test_32_bit_uefi_starts_the_64_bit_kernel(open_workshop: Open) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    with workshop.switched_on(NARROW) as machine:
        arrived(machine, workshop)
    assert requested(workshop, f"/boot/grub.cfg?mac={NARROW.mac}&platform=i386-efi")


def test_uefi_http_boot_needs_no_tftp(open_workshop: Open) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    with workshop.switched_on(SECURE, pxe=False) as machine:
        arrived(machine, workshop)
    assert "HTTPClient:Arch:00016" in workshop.dhcp_log
    assert requested(workshop, '"GET /live/netboot/shimx64.efi')
    assert not sent_by_tftp(workshop, "")


@pytest.mark.parametrize("pc", [BIOS, SECURE], ids=lambda pc: pc.name)
def test_beside_another_dhcp_server(open_workshop: Open, pc: VirtualPC) -> None:
    workshop = open_workshop(DhcpMode.PROXY)
    with router(workshop), workshop.switched_on(pc) as machine:
        arrived(machine, workshop)
        leases = (workshop.folder / "router.leases").read_text()
    assert pc.mac in leases
    address = leases.split(pc.mac)[1].split()[0]
    assert f"{address}:" in workshop.requests  # the loader came with the router's address


@pytest.mark.parametrize("pc", [BIOS, SECURE, NARROW], ids=lambda pc: pc.name)
def test_a_finished_machine_starts_from_its_own_disk(open_workshop: Open, pc: VirtualPC) -> None:
    workshop = open_workshop(DhcpMode.SERVER)
    workshop.decide(LOCAL)
    path = workshop.folder / "own.raw"
    make_bootable(path, workshop.folder / "live" / "netboot")
    disk = VirtualDisk(path=path, size_bytes=DISK_BYTES, bus=Bus.SATA, serial="S1", boots=True)
    with workshop.switched_on(pc, disks=(disk,)) as machine:
        machine.wait_for_serial(OWN_DISK, BOOT_TIMEOUT_S)
    assert requested(workshop, f"mac={pc.mac}"), "it did not come through the network"


def make_bootable(path: Path, loaders: Path) -> None:
    """A disk that says so on the serial line when a BIOS or a UEFI firmware starts it."""
    path.touch()
    os.truncate(path, DISK_BYTES)
    table = "label: gpt\nstart=2048, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B\n"
    run(["sfdisk", "--quiet", path], timeout_s=20, stdin=table)
    esp = f"{path}@@{2048 * 512}"
    kib = DISK_BYTES // 1024 - 2048
    run(["mkfs.vfat", "-F", "32", "--offset=2048", path, str(kib)], timeout_s=20)
    run(["mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::EFI/debian", "::grub"], timeout_s=20)
    config = path.with_suffix(".cfg")
    config.write_text(f"echo '{OWN_DISK}'\nsleep 60\n")
    # The netboot GRUB serves as the disk's: it reads $cmdpath or its prefix on this partition.
    for source, name in (
        (loaders / "shimx64.efi", "EFI/BOOT/BOOTX64.EFI"),
        (loaders / "grubx64.efi", "EFI/BOOT/grubx64.efi"),
        (loaders / "bootia32.efi", "EFI/BOOT/BOOTIA32.EFI"),
        *((config, name) for name in ("EFI/BOOT/grub.cfg", "EFI/debian/grub.cfg", "grub/grub.cfg")),
    ):
        run(["mcopy", "-i", esp, source, f"::{name}"], timeout_s=20)
    with path.open("r+b") as disk:
        disk.write(bios_code(f"{OWN_DISK}\r\n"))


def bios_code(text: str) -> bytes:
    """A first sector's code that writes `text` to the first serial port and stops.

    cld; xor ax,ax; mov ds,ax; mov si,7c20h; next: lodsb; test al,al; jz stop;
    mov dx,3f8h; out dx,al; jmp next; stop: hlt; jmp stop
    """
    code = bytes.fromhex("fc 31c0 8ed8 be207c ac 84c0 7406 baf803 ee ebf5 f4 ebfd")
    return code.ljust(0x20, b"\x90") + text.encode() + b"\0"
