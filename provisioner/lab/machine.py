"""One virtual PC: its description, the QEMU command line that is that PC, and its switches.

`qemu_command()` is pure. `Machine` starts and stops the process, pulls the power plug (SIGKILL)
and the network plug, takes a picture of the screen and reads the serial line.
"""

from __future__ import annotations

import re
import subprocess
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from provisioner.errors import ProofMissingError, StationError, UnreachableError, WrongStateError
from provisioner.lab import qmp
from provisioner.lab.firmware import Firmware, FirmwareFiles, choose_firmware, prepare_variables
from provisioner.lab.network import LabNetwork
from provisioner.model.base import Mac, Model, Name
from provisioner.run import start

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
SECTOR = 512


class Bus(StrEnum):
    """How a disk is attached."""

    SATA = "sata"
    IDE = "ide"
    NVME = "nvme"
    VIRTIO = "virtio"
    USB = "usb"


class VirtualDisk(Model):
    """A raw file that the machine sees as a disk.

    `boots`: the firmware tries it after the network. `bystander`: it is nobody's to write to.
    `rotational`: it says that it turns, which only SATA and IDE disks can say. `faults`: a
    configuration of QEMU's blkdebug, which makes blocks fail. `sector_bytes`: 512 or 4096.
    """

    path: Path
    size_bytes: int
    bus: Bus
    serial: str
    model: str = ""
    boots: bool = False
    bystander: bool = False
    rotational: bool = False
    faults: Path | None = None
    sector_bytes: int = 512


class Smbios(Model):
    """One SMBIOS table as QEMU takes it: its type and its fields."""

    type: int
    fields: tuple[tuple[str, str], ...]


class VirtualPC(Model):
    """A PC as one would write it on a delivery note.

    `clock`: what a dead battery makes the clock say at each power-on (ISO 8601); None for a
    good clock. `memory_mib` in MiB. `pxe`: UEFI firmware tries TFTP before it tries HTTP boot.
    """

    name: Name
    firmware: Firmware
    secure_boot: bool = False
    memory_mib: int = 1024
    cpus: int = 1
    mac: Mac
    nic: str = "virtio-net-pci"
    disks: tuple[VirtualDisk, ...] = ()
    smbios: tuple[Smbios, ...] = ()
    clock: str | None = None
    pxe: bool = True


class Wiring(Model):
    """Where one machine's files and plugs are on the host."""

    tap: str
    serial_log: Path
    qmp_socket: Path
    variables: Path


def qemu_command(pc: VirtualPC, wiring: Wiring) -> list[str]:
    """The command line that is this PC."""
    files = choose_firmware(pc.firmware, secure_boot=pc.secure_boot)
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        "-name", pc.name,
        "-accel", "tcg,thread=multi,tb-size=256",
        "-cpu", "max",
        "-smp", str(pc.cpus),
        "-m", str(pc.memory_mib),
        *_board(pc, files, wiring),
        "-rtc", f"base={pc.clock or 'utc'}",
        "-device", "VGA",
        "-device", "virtio-rng-pci",
        "-chardev", f"file,id=serial0,append=on,path={_value(wiring.serial_log)}",
        "-serial", "chardev:serial0",
        "-qmp", f"unix:{_value(wiring.qmp_socket)},server=on,wait=off",
        *_network_card(pc, wiring),
        *_disks(pc),
        *_smbios(pc),
    ]  # fmt: skip


def _board(pc: VirtualPC, files: FirmwareFiles | None, wiring: Wiring) -> list[str]:
    chipset = "pc" if any(disk.bus is Bus.IDE for disk in pc.disks) else "q35"
    if files is None:
        return ["-machine", chipset]
    words = ["-machine", f"q35,smm={'on' if files.smm else 'off'}"]
    if files.smm:
        words += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
        words += ["-global", "ICH9-LPC.disable_s3=1"]
    if not pc.pxe:
        words += ["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"]
    return [
        *words,
        "-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n",
        "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_value(files.code)}",
        "-drive", f"if=pflash,format=raw,unit=1,file={_value(wiring.variables)}",
    ]  # fmt: skip


def _network_card(pc: VirtualPC, wiring: Wiring) -> list[str]:
    # A UEFI machine uses its firmware's own driver: with QEMU's iPXE option ROM shim's second
    # download fails (“Malformed binary”). A BIOS machine needs the ROM, as a real one does.
    rom = "" if pc.firmware is Firmware.BIOS else ",romfile="
    return [
        "-netdev", f"tap,id=net0,ifname={wiring.tap},script=no,downscript=no",
        "-device", f"{pc.nic},id=nic0,netdev=net0,mac={pc.mac},bootindex=0{rom}",
    ]  # fmt: skip


def _disks(pc: VirtualPC) -> list[str]:
    words: list[str] = []
    if any(disk.bus is Bus.USB for disk in pc.disks):
        words += ["-device", "qemu-xhci,id=xhci"]
    for number, disk in enumerate(pc.disks):
        words += ["-drive", _drive(disk, number), "-device", _disk_device(disk, number)]
    return words


def _drive(disk: VirtualDisk, number: int) -> str:
    # cache=unsafe only spares the host's own fsync: what the guest wrote is in the host's page
    # cache or file and outlives QEMU's SIGKILL, which is the power cut we play. Raw files have
    # no metadata of QEMU's that a kill could damage. Zeroes become holes again, so a wiped disk
    # of 16 GB takes no room.
    where = f"blkdebug:{disk.faults}:{disk.path}" if disk.faults else disk.path
    return (
        f"if=none,id=disk{number},format=raw,cache=unsafe,aio=threads,discard=unmap,"
        f"detect-zeroes=unmap,file={_value(where)}"
    )


def _disk_device(disk: VirtualDisk, number: int) -> str:
    device = {
        Bus.SATA: f"ide-hd,bus=ide.{number}",
        Bus.IDE: f"ide-hd,bus=ide.{number // 2},unit={number % 2}",
        Bus.NVME: "nvme",
        Bus.VIRTIO: "virtio-blk-pci",
        Bus.USB: "usb-storage,bus=xhci.0,removable=on",
    }[disk.bus]
    words = [device, f"drive=disk{number}", f"serial={_value(disk.serial)}"]
    if disk.bus in (Bus.SATA, Bus.IDE):
        # Turns a minute; 1 is ATA's word for “does not turn” (ACS-4, IDENTIFY DEVICE word 217).
        words += [f"rotation_rate={7200 if disk.rotational else 1}"]
        words += [f"model={_value(disk.model)}"] if disk.model else []
    if disk.sector_bytes != SECTOR:
        size = disk.sector_bytes
        words += [f"logical_block_size={size}", f"physical_block_size={size}"]
    words += ["bootindex=1"] if disk.boots else []
    return ",".join(words)


def _smbios(pc: VirtualPC) -> list[str]:
    words: list[str] = []
    for table in pc.smbios:
        fields = "".join(f",{key}={_value(value)}" for key, value in table.fields)
        words += ["-smbios", f"type={table.type}{fields}"]
    return words


def _value(value: str | Path) -> str:
    """QEMU's option syntax: a comma inside a value is written twice."""
    return str(value).replace(",", ",,")


class Machine:
    """A virtual PC plugged into a classroom's network; its files live in `folder`.

    Start machines from a thread that lives as long as they shall run: the kernel ends them
    with the thread that started them (see provisioner.run.start).
    """

    def __init__(self, pc: VirtualPC, network: LabNetwork, folder: Path, number: int) -> None:
        self.pc = pc
        self.network = network
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.wiring = Wiring(
            tap=network.add_tap(number),
            serial_log=folder / "serial.log",
            # Not in `folder`: a socket's path may have 107 bytes at most (unix(7)).
            qmp_socket=network.run_dir / f"{pc.name}.qmp",
            variables=folder / "firmware-variables.fd",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """QEMU's own messages."""
        return self.folder / "qemu.log"

    def start(self) -> None:
        """Switch on. Returns when QEMU says that the machine runs; raises StationError if not."""
        if self.running:
            raise WrongStateError(f"{self.pc.name} is already switched on.")
        files = choose_firmware(self.pc.firmware, secure_boot=self.pc.secure_boot)
        if files:
            prepare_variables(files, self.wiring.variables)
        self.wiring.qmp_socket.unlink(missing_ok=True)
        command = [*self.network.exec_prefix, *qemu_command(self.pc, self.wiring)]
        self._process = start(command, log=self.log)
        self._await_running()

    def kill(self) -> None:
        """Pull the power plug."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def press_power(self) -> None:
        """Press the power button: the system inside is asked to shut down."""
        self._qmp("system_powerdown")

    def reset(self) -> None:
        """Press the reset button."""
        self._qmp("system_reset")

    def press_key(self, name: str) -> None:
        """Press and release one key, by QEMU's name of it (`esc`, `ret`)."""
        self._qmp("send-key", keys=[{"type": "qcode", "data": name}])

    def plug(self, *, connected: bool) -> None:
        """Put the network cable in or pull it out; the machine sees the link go."""
        self._qmp("set_link", name="nic0", up=connected)

    def change(self, **update: Any) -> None:
        """Rebuild the machine while it is off: another network card, more memory, a disk."""
        if self.running:
            raise WrongStateError(f"{self.pc.name} is switched on; only an open case is changed.")
        if {"firmware", "secure_boot"} & set(update):
            self.wiring.variables.unlink(missing_ok=True)  # another board, other settings
        self.pc = VirtualPC.model_validate({**self.pc.model_dump(), **update})

    def forget_firmware_settings(self) -> None:
        """Reset the firmware to how it left the factory, as after a new battery or board."""
        if self.running:
            raise WrongStateError(f"{self.pc.name} is switched on.")
        self.wiring.variables.unlink(missing_ok=True)

    def screenshot(self, target: Path) -> None:
        """What the machine's screen shows, as PNG."""
        target.unlink(missing_ok=True)
        self._qmp("screendump", filename=str(target.absolute()), format="png")
        if not target.is_file() or target.stat().st_size == 0:
            raise ProofMissingError(f"QEMU made no picture of {self.pc.name}'s screen.")

    def serial_text(self) -> str:
        """Everything the machine ever said on its serial line."""
        try:
            return self.wiring.serial_log.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def wait_for_serial(self, pattern: str, timeout_s: float, *, times: int = 1) -> re.Match[str]:
        """Wait until `pattern` stood on the serial line `times` times.

        Raises UnreachableError with the end of what was said when the time is over or the
        machine is off.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            off = not self.running
            found = list(re.finditer(pattern, self.serial_text()))
            if len(found) >= times:
                return found[times - 1]
            if off or time.monotonic() > deadline:
                tail = self.serial_text()[-1500:]
                state = "is off" if off else f"said nothing like it in {timeout_s:g} s"
                raise UnreachableError(f"{self.pc.name} {state}: “{pattern}”. Last: {tail}")
            time.sleep(0.2)

    def wait_off(self, timeout_s: float) -> None:
        """Wait until the machine has switched itself off; raises UnreachableError if not."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise UnreachableError(f"{self.pc.name} did not switch itself off.") from error

    def _qmp(self, command: str, **arguments: Any) -> Any:
        return qmp.execute(self.wiring.qmp_socket, command, **arguments)

    def _await_running(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.running:
            try:
                if self._qmp("query-status")["status"] == "running":
                    return
            except UnreachableError:
                time.sleep(0.1)
        self.kill()
        said = self.log.read_text(errors="replace")[-1500:]
        raise StationError(f"The virtual PC {self.pc.name} does not start: {said}")
