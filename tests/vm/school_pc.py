"""A school's PC under emulation: a disk with a release, 2 GiB, and a wire on which all is heard.

The wire answers every DHCP and every DNS question (any name leads to the station), so whatever the
machine would say to the Internet arrives and is written down. Looking inside goes over SSH with
the station's key, the only way in that the image has.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from provisioner.lab import qmp
from provisioner.lab.machine import Bus, Machine, VirtualDisk, VirtualPC
from provisioner.lab.network import LabNetwork
from provisioner.model.hardware import Firmware
from provisioner.model.school import PUPIL_UID
from provisioner.run import run, start
from tests.vm.installed import DISK_BYTES, Release, install

T = TypeVar("T")
MAC = "00:14:22:00:00:71"
ADDRESS = "10.77.0.71"
BOOT_S = 1800
# systemd gives a device 90 s to appear; an emulated machine on a busy computer needs longer.
ARGUMENTS = (
    "quiet console=tty0 console=ttyS0,115200 systemd.default_device_timeout_sec=900 "
    "systemd.default_timeout_start_sec=900"
)
# Joins standard input and output to the machine's SSH inside the namespace; no netcat needed.
RELAY = "exec 3<>/dev/tcp/%h/%p; cat <&3 & cat >&3; kill $!"
# Runs a command as the pupil, with the environment of the session that stands on the screen.
IN_SESSION = """\
import os, pathlib, re, sys
names = (b"xfce4-session", b"xfwm4", b"icewm", b"lightdm-gtk-greeter")
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
        if os.path.basename(words[0]) in names:
            env = (folder / "environ").read_bytes()
            uid = (folder / "status").read_text().split("Uid:")[1].split()[0]
            break
    except OSError:
        continue
else:
    sys.exit("no session")
env = dict(pair.split("=", 1) for pair in os.fsdecode(env).split("\\0") if "=" in pair)
words = sys.argv[1:]
while re.match("[A-Z_]+=", words[0]):
    env.update([words.pop(0).split("=", 1)])
os.setgroups([]), os.setgid(int(uid)), os.setuid(int(uid))
os.chdir(env.get("HOME", "/"))
os.execvpe(words[0], words, env)
"""


@dataclass
class SchoolPc:
    """The running machine, what it says on the wire, and how it is looked at."""

    machine: Machine
    network: LabNetwork
    folder: Path

    def ssh(self, command: str, timeout_s: float = 300, check: bool = True) -> str:
        """Run a shell line as root on the machine; what it printed."""
        done = subprocess.run(
            [*self._ssh(), command], capture_output=True, text=True, timeout=timeout_s,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
        if check:
            assert done.returncode == 0, (command, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout

    def stay_connected(self) -> None:
        """Keep one connection open for all commands: to open one costs such a machine seconds."""
        start([*self._ssh()[:-1], "-MN", self._ssh()[-1]], log=self.folder / "ssh.log")
        wait_for((self.network.run_dir / "ssh").exists, 600, "the connection")

    def put(self, source: Path, target: str) -> None:
        """Copy a file to the machine; everybody may read it."""
        with source.open("rb") as file:
            subprocess.run([*self._ssh(), f"cat > {target} && chmod 644 {target}"], stdin=file,
                           check=True, timeout=300)  # fmt: skip

    def in_session(self, command: str, log: str = "/dev/null") -> None:
        """Start a command in the session on the screen and leave it running."""
        line = f"setsid python3 -c {shlex.quote(IN_SESSION)} {command} >{log} 2>&1 </dev/null &"
        self.ssh(line)

    def way_to(self, port: int) -> list[str]:
        """For `relay`: the command that leads to the machine's own 127.0.0.1:`port`."""
        host, *rest = reversed(self._ssh())
        return [*reversed(rest), "-W", f"127.0.0.1:{port}", host]

    def _ssh(self) -> list[str]:
        inside = " ".join((*self.network.exec_prefix, "bash", "-c", shlex.quote(RELAY)))
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes",
                   "ConnectTimeout=300", "LogLevel=ERROR", f"ProxyCommand={inside}",
                   f"ControlPath={self.network.run_dir}/ssh")  # fmt: skip
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-i", str(self.folder / "key"), *words, f"root@{ADDRESS}"]

    def press(self, *keys: str) -> None:
        """Press keys together, by QEMU's names for them."""
        values = [{"type": "qcode", "data": key} for key in keys]
        qmp.execute(self.machine.wiring.qmp_socket, "send-key", keys=values)

    def picture(self, target: Path) -> Image.Image:
        """What stands on the screen; kept at `target` as a small PNG."""
        self.machine.screenshot(target)
        image = Image.open(target).convert("RGB")
        image.quantize(64).save(target, optimize=True)
        return image

    def processes(self, uid: int = PUPIL_UID) -> set[str]:
        told = self.ssh(f"ps -U {uid} -o comm= || true")
        return set(told.split())

    def memory(self) -> dict[str, int]:
        """MiB by name, from /proc/meminfo."""
        rows = re.findall(r"^(\w+): +(\d+) kB$", self.ssh("cat /proc/meminfo"), re.MULTILINE)
        return {name: int(kib) // 1024 for name, kib in rows}

    def used_mib(self) -> int:
        """Memory that is not available, as `free` counts it."""
        now = self.memory()
        return now["MemTotal"] - now["MemAvailable"]

    def swapped_mib(self) -> int:
        """What lies packed in zram (nothing else is swap), counted as it was before packing."""
        now = self.memory()
        return now["SwapTotal"] - now["SwapFree"]

    def asked(self) -> list[str]:
        """Every name that was asked for over DNS."""
        text = (self.folder / "dnsmasq.log").read_text(errors="replace")
        return re.findall(r"query\[\w+\] (\S+) from", text)

    def said(self) -> str:
        """Every packet of the machine that is neither SSH nor ARP, one a line."""
        told = run(["tcpdump", "-nn", "-tttt", "-r", self.folder / "wire.pcap",
                    f"ether src {MAC} and not port 22 and not arp"],
                   timeout_s=60, check=False)  # fmt: skip
        return told.stdout


def wait_for(look: Callable[[], T], timeout_s: float, what: str, every_s: float = 3) -> T:
    """Ask until the answer is true; the answer."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            if found := look():
                return found
        except (AssertionError, subprocess.TimeoutExpired):
            pass
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(every_s)


@contextmanager
def school_pc(
    release: Release, folder: Path, *, memory_mib: int = 2048, own: dict[str, str] | None = None
) -> Iterator[SchoolPc]:
    """A machine with `release` on its disk, switched on; off and gone at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], timeout_s=30)
    disk = folder / "disk.raw"
    install(release, disk, folder / "work", ssh_key=key.with_suffix(".pub").read_text().strip(),
            arguments=ARGUMENTS, own=own)  # fmt: skip
    pc = VirtualPC(
        name="school-pc", firmware=Firmware.BIOS, memory_mib=memory_mib, cpus=2, mac=MAC,
        nic="e1000", disks=(VirtualDisk(path=disk, size_bytes=DISK_BYTES, bus=Bus.SATA,
                                        serial="S1", boots=True),),
    )  # fmt: skip
    with ExitStack() as stack:
        stack.callback(disk.unlink)
        network = stack.enter_context(LabNetwork())
        _listen(network, folder)
        machine = Machine(pc, network, folder / "pc", 0)
        machine.start()
        stack.callback(machine.kill)
        yield SchoolPc(machine, network, folder)


def _listen(network: LabNetwork, folder: Path) -> None:
    """DHCP, an answer to every DNS question, and a record of every packet."""
    inside = network.exec_prefix
    start([*inside, "tcpdump", "-i", "br0", "-U", "-w", folder / "wire.pcap"],
          log=folder / "tcpdump.log")  # fmt: skip
    start(
        [*inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
         "--no-hosts", "--interface=br0", "--bind-interfaces", "--log-queries",
         "--address=/#/10.77.0.1", "--dhcp-authoritative", "--no-ping", "--user=root",
         "--dhcp-range=10.77.0.50,10.77.0.90,1h", f"--dhcp-host={MAC},{ADDRESS}",
         f"--dhcp-leasefile={folder}/leases", f"--pid-file={folder}/dnsmasq.pid",
         "--log-facility=-"],
        log=folder / "dnsmasq.log",
    )  # fmt: skip
