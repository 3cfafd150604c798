"""A classroom for the contest: machines that hang on one wire, each a real trixie with systemd.

What is real: systemd and its system extensions, the agent, Ansible with a local connection, nft, a
loop-mounted ext4 for all that stays, Debian's Chromium. What is not: firmware, a kernel of each
machine's own, a desktop. A power cut takes the file system's image as the disk has it at that
moment, with what the machine's kernel had not written yet lost, and starts from that.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, Page, Playwright

from provisioner.model.signed import PrivateKey
from provisioner.release.content import copy_agent
from provisioner.run import run
from tests.contest_room import free_port, wait_until
from tests.integration.classroom_target import PACKAGES, RELEASE, Target, Wire, booted

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "images/base/files/etc/systemd/system/classroom-agent.service"
# What images/base and images/education bring beyond the stand-in's packages.
CONTEST_PACKAGES = (
    *(name for name in PACKAGES if not name.startswith(("cups", "kiwix", "veyon", "libqca"))),
    "ansible-core", "nftables", "chromium", "fonts-wqy-microhei", "procps", "ca-certificates",
    "python3-pydantic", "python3-cryptography", "python3-urllib3", "python3-libtorrent", "lshw",
    "dmidecode", "smartmontools", "kmod", "udev", "fdisk", "dosfstools",
)  # fmt: skip
# What a contest must leave as it was: all but what a running system writes by itself.
TREE = (
    "find /usr /etc /opt /root /var -xdev "
    r"\( -path /var/log -o -path /var/cache -o -path /var/tmp -o -path /var/lib/systemd "
    r"-o -path /root/.ansible -o -path /var/lib/private \) -prune -o "
    r"-printf '%p %y %m %u %s %l\n' | grep -v -e '^/etc/mtab ' -e '__pycache__' | sort"
)
PUPIL = "pupil"
SHORT_S = 60.0
LOOP_CTL_ADD = 0x4C80  # linux/loop.h


def ensure_loops(count: int) -> None:
    """Loop devices for so many mounts: a machine sees those that were there when it started."""
    with Path("/dev/loop-control").open("rb") as control:
        for number in range(count):
            if not Path(f"/sys/block/loop{number}").exists():
                with contextlib.suppress(OSError):
                    fcntl.ioctl(control, LOOP_CTL_ADD, number)


@contextlib.contextmanager
def room_wire(number: int = 1) -> Iterator[RoomWire]:
    """A bridge here with two addresses of ours: the station's, and one that stays for looking."""
    bridge = f"cpr{os.getpid()}b{number}"
    net = f"169.254.{(os.getpid() + 37 * number) % 250 + 1}"
    wire = RoomWire(bridge, f"{net}.1", net)
    run(["ip", "link", "add", bridge, "type", "bridge"], timeout_s=SHORT_S)
    try:
        run(["ip", "link", "set", bridge, "up"], timeout_s=SHORT_S)
        run(["ip", "addr", "add", f"{net}.254/24", "brd", "+", "dev", bridge], timeout_s=SHORT_S)
        wire.join()
        yield wire
    finally:
        run(["ip", "link", "del", bridge], timeout_s=SHORT_S, check=False)


@dataclass
class RoomWire:
    bridge: str
    station: str
    net: str

    def join(self) -> None:
        """The station's address is on the wire."""
        run(["ip", "addr", "add", f"{self.station}/24", "dev", self.bridge], timeout_s=SHORT_S)

    def leave(self) -> None:
        """No way leads to the station any more."""
        run(["ip", "addr", "del", f"{self.station}/24", "dev", self.bridge], timeout_s=SHORT_S)

    def wire(self, number: int) -> Wire:
        return Wire(self.bridge, f"{self.net}.254", f"{self.net}.{number + 10}")


@dataclass
class ContestMachine:
    """One machine of the room; it can be switched off by pulling the plug."""

    name: str
    folder: Path
    image: Path
    wire: Wire
    prepare: Callable[[Path], None]
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _target: Target | None = None

    @property
    def target(self) -> Target:
        assert self._target
        return self._target

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._target = self._stack.enter_context(
            booted(self.image, self.folder, self.wire, self.prepare)
        )

    def stop(self) -> None:
        self._stack.close()
        self._target = None

    def cut_power(self) -> None:
        """Every process stops at one moment; what the disk had then is what the next start finds.

        The image is read as the loop device left it: pages that this machine's file system had
        not written back are not in it.
        """
        group = Path(self.target.group)
        (group / "cgroup.freeze").write_text("1")
        wait_until(lambda: "frozen 1" in (group / "cgroup.events").read_text(), "the freeze")
        disk, then = self.folder / "state.ext4", self.folder / "state.then"
        run(["cp", "--sparse=always", disk, then], timeout_s=SHORT_S)
        (group / "cgroup.freeze").write_text("0")  # a frozen process takes no SIGKILL in v2 either
        self.stop()
        then.replace(disk)

    def shell(self, command: str) -> str:
        return self.target.shell(command)

    def says(self, command: str) -> bool:
        """Whether a command succeeds; an SSH that does not answer is a no."""
        with contextlib.suppress(Exception):
            self.shell(command)
            return True
        return False

    def tree(self) -> list[str]:
        return self.shell(TREE).splitlines()

    def state(self) -> dict[str, Any]:
        """What the agent keeps of the contest."""
        try:
            told = json.loads(self.shell("cat /run/classroom/state/agent/contest.json"))
            return dict(told["seats"][0])
        except Exception:
            return {}

    def wish(self, word: str) -> None:
        self.shell(f"mkdir -p /run/classroom/wishes; echo {word} >/run/classroom/wishes/contest")

    @contextlib.contextmanager
    def browser(self, playwright: Playwright) -> Iterator[Page]:
        """The machine's own Chromium, as the pupil, led by its debugging port through SSH."""
        port = free_port()
        self.shell(
            "systemd-run --quiet --collect --unit=test-chromium --uid=pupil "
            "--setenv=HOME=/home/pupil --working-directory=/home/pupil chromium --headless=new "
            "--no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run --lang=zh-CN "
            "--remote-debugging-port=9222 --user-data-dir=/tmp/chromium about:blank"
        )
        words = ["ssh", "-F", "none", "-N", "-i", str(self.target.ssh_key),
                 "-o", f"UserKnownHostsFile={self.target.known_hosts}",
                 "-o", "StrictHostKeyChecking=yes", "-L", f"{port}:127.0.0.1:9222",
                 f"root@{self.target.address}"]  # fmt: skip
        tunnel = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: self.says("ss -Hlnt | grep -q :9222"), "Chromium")
            time.sleep(1)
            led = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}",
                                                       timeout=120_000)  # fmt: skip
            page = led.contexts[0].new_page()
            page.set_default_timeout(120_000)
            yield page
            with contextlib.suppress(Exception):
                led.close()
        finally:
            tunnel.kill()
            tunnel.wait(30)
            self.says("systemctl stop test-chromium; rm -rf /tmp/chromium")


def with_agent(key: PrivateKey, tag: str, station_url: str, station_key: str, place: str,
               room: list[dict[str, str]], *, runs: bool = True,
               ) -> Callable[[Path], None]:  # fmt: skip
    """What imaging and configuring leave of ours on a machine; `runs` is whether its agent does."""

    def prepare(state: Path) -> None:
        upper = state / "overlays" / RELEASE / "upper"
        copy_agent(upper / "usr/lib/classroom/provisioner")
        (state / "agent").mkdir(exist_ok=True)
        files = {
            "agent.json": {"station_url": station_url, "station_key": station_key,
                           "machine_key": key.to_hex(), "asset_tag": tag, "release": RELEASE},
            "school.json": {"room": room, "seat": place},
        }  # fmt: skip
        for name, value in files.items():
            (upper / "etc/classroom" / name).write_text(json.dumps(value))
        (upper / "etc/classroom/agent.json").chmod(0o600)
        if runs:
            shutil.copyfile(UNIT, upper / "etc/systemd/system/classroom-agent.service")
        drop = upper / "etc/systemd/system/classroom-agent.service.d"
        drop.mkdir()
        (drop / "test.conf").write_text("[Service]\nRestartSec=2\nStandardError=journal\n")
        (upper / "etc/chromium/policies/managed").mkdir(parents=True)
        (upper / "etc/xdg/autostart").mkdir(parents=True)

    return prepare


def as_upload(name: str, data: bytes) -> list[FilePayload]:
    """A file for a page whose browser is on another machine."""
    return [{"name": name, "mimeType": "application/octet-stream", "buffer": data}]
