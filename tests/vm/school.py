"""The virtual classroom after the workshop: handed over to its school, used, and renewed.

Built on `lab.workshop`: the station is far away then, behind a line that can be made thin and
whose bytes are counted; machines speak to each other over the room's own switch as before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.errors import CommandError
from provisioner.lab.machine import Machine
from provisioner.lab.network import BRIDGE
from provisioner.lab.workshop import SCHOOL, VirtualWorkshop
from provisioner.lifecycle import Milestone
from provisioner.run import Finished, run
from provisioner.settings import Settings
from provisioner.workshop.field_orders import Standing, standings
from provisioner.workshop.station import SSH_KEY, open_station
from tests.vm.waiting import wait

STEP_S = 3000.0
STICK_BYTES = 700 << 20
SETTINGS = {
    "field_poll_s": "5",
    # Nobody has to be told long before; and a machine under emulation is slow.
    "kernel_arguments": "console=ttyS0,115200 classroom.guard=7200 classroom.notice=2",
}


class SchoolRoom:
    """The machines of a workshop that were handed over."""

    def __init__(self, workshop: VirtualWorkshop) -> None:
        self.workshop, self.station = workshop, workshop.station
        self._tags: dict[str, str] = {}
        self._office = open_station(Settings(state_dir=self.station.state_dir))

    def from_power_on_to_hand_over(self) -> None:
        """The workshop's part."""
        self.workshop.open_batch()
        self.workshop.power_on()
        self.wait(self._all_verified, "every machine to be verified")
        for machine in self.workshop.machines:
            tag = self.tag(machine)
            self.station.post(f"machines/{tag}/hand-over", {"received_by": "Head teacher"})

    def _all_verified(self) -> bool:
        tiles = self.station.get("machines")
        for found in tiles:
            assert not found["needs_hand"], found["needs_hand"]
        count = len(self.workshop.machines)
        return len(tiles) == count and all(t["milestone"] == Milestone.VERIFIED for t in tiles)

    def tag(self, machine: Machine) -> str:
        """A machine's asset tag, by its network card."""
        if machine.pc.name not in self._tags:
            for tile in self.station.get("machines"):
                detail = self.station.get(f"machines/{tile['asset_tag']}")
                if machine.pc.mac in [nic["mac"] for nic in detail["hardware"]["nics"]]:
                    self._tags[machine.pc.name] = str(tile["asset_tag"])
        return self._tags[machine.pc.name]

    def detail(self, machine: Machine) -> dict[str, Any]:
        return dict(self.station.get(f"machines/{self.tag(machine)}"))

    def standing(self, machine: Machine) -> Standing:
        """How far its renewal is, as `provisioner renew SCHOOL` shows it."""
        with self._office.database.reading() as session:
            rows = standings(session, SCHOOL)
        return next(row for row in rows if row.asset_tag == self.tag(machine))

    def doing(self, machine: Machine) -> tuple[str, float]:
        """The step that a machine is at, and how far it is with its order."""
        tile = self.detail(machine)["tile"]
        return str(tile.get("step") or ""), float(tile.get("fraction") or 0.0)

    def provisioner(self, *words: str) -> Finished:
        """A command of the operator's, beside the running station."""
        environment = self.station._environment()
        return run([sys.executable, "-m", "provisioner", *words], timeout_s=600, env=environment)

    def order(self, release: str, *words: str) -> None:
        self.provisioner("renew", SCHOOL, "--release", release, "--when", "now", *words)

    def inside(self, machine: Machine, command: str) -> str:
        """What a command says on a machine; as the station would ask it."""
        address = self.detail(machine)["address"]
        key = str(self.station.state_dir / SSH_KEY)
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                   "-o", "ConnectTimeout=60", "-i", key]  # fmt: skip
        words = [*self.workshop.network.exec_prefix, "ssh", *options, f"root@{address}", command]
        return run(words, timeout_s=600).stdout

    def wait_inside(self, machine: Machine, command: str) -> str:
        """The same, as soon as the machine answers."""
        found: list[str] = []

        def answers() -> bool:
            try:
                found.append(self.inside(machine, command))
            except CommandError:
                return False
            return True

        self.wait(answers, f"{machine.pc.name} to answer")
        return found[-1]

    def thin_line(self, kbit_s: int) -> None:
        """What the station sends crosses a line of this rate; the room's own traffic does not."""
        words = ["tc", "qdisc", "replace", "dev", BRIDGE, "root", "tbf", "rate", f"{kbit_s}kbit",
                 "burst", "32kb", "latency", "400ms"]  # fmt: skip
        run([*self.workshop.network.exec_prefix, *words], timeout_s=60)

    def line_bytes(self) -> int:
        """Bytes that the station has sent so far, headers and all."""
        words = ["cat", f"/sys/class/net/{BRIDGE}/statistics/tx_bytes"]
        return int(run([*self.workshop.network.exec_prefix, *words], timeout_s=60).stdout)

    def cut_off(self) -> None:
        """The school has no line any more, and nobody gives out addresses: only its switch."""
        words = ["ip", "-n", self.workshop.network.name, "addr", "flush", "dev", BRIDGE]
        run(words, timeout_s=60)

    def export_stick(self, release: str) -> Path:
        """A stick with a release for the school: a FAT without partitions."""
        folder, image = self.workshop.folder / "export", self.workshop.folder / "school-stick.raw"
        folder.mkdir(exist_ok=True)
        self.provisioner("bundle", "export", SCHOOL, str(folder), "--release", release,
                         "--when", "now")  # fmt: skip
        with image.open("wb") as file:
            file.truncate(STICK_BYTES)
        run(["mkfs.vfat", "-F", "32", "-n", "SCHOOL", image], timeout_s=60)
        run(["mcopy", "-s", "-i", image, folder / "classroom", "::"], timeout_s=600)
        return image

    def receipts(self, image: Path) -> Path:
        """What came home: the stick's folder, as it would be mounted."""
        home = self.workshop.folder / "home"
        home.mkdir(exist_ok=True)
        run(["mcopy", "-s", "-n", "-o", "-i", image, "::classroom", home], timeout_s=600)
        return home

    def wait(self, condition: Callable[[], bool], what: str, timeout_s: float = STEP_S) -> None:
        wait(condition, what, timeout_s)
