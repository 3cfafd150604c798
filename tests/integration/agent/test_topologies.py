"""Wiping one of several disks for real; every other one must keep every byte.

Each kind of disk of `tests.topologies` is a loop device with its own random content. In a mount
namespace the machine's /sys, /dev and /run/udev are replaced by a tree that shows them in one
order of enumeration; then the agent's own code, unchanged, takes a sealed order, asks the real
lsblk, opens, wipes and proves. The order was given while the disks had another order.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import lsblk
from provisioner.agent.journey import Journey
from provisioner.agent.lsblk import read_disks
from provisioner.agent.memory import UsedOrders
from provisioner.agent.orders import accept
from provisioner.agent.surroundings import Home
from provisioner.agent.wipe import steps, wipe
from provisioner.errors import DiskChoiceError, ProvisionerError, UntrustedError
from provisioner.model.batch import DiskRule, Policy
from provisioner.model.hardware import DiskRef
from provisioner.model.order import Order, WipeWork
from provisioner.model.record import WipeEvidence
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.run import run
from provisioner.stages.choose_disk import choose_disk
from provisioner.stages.wipe import judge_wipe, wipe_work
from tests.mounts import NoNamespaceError, own_mounts
from tests.topologies import (
    CORE,
    ENVIRONMENT,
    PARTS,
    Shown,
    build,
    living_in,
    serial_of,
    shown,
    topologies,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts"),
]
SEEN = [order for order in topologies() if sum(PARTS[part].may for part in order) == 1]


class Workshop:
    """The disks of one machine, its key, and the station's."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "tree"
        self.station, self.machine = PrivateKey.generate(), PrivateKey.generate()
        self.used = UsedOrders()
        self.files = {part: folder / f"{part}.img" for part in PARTS}
        self.minors: dict[str, int] = {}
        for part, file in self.files.items():
            file.write_bytes(os.urandom(PARTS[part].size))
            words: list[str | Path] = ["losetup", "--show", "--find", file]
            self.minors[part] = int(
                run(words, timeout_s=20).stdout.strip().removeprefix("/dev/loop")
            )

    def close(self) -> None:
        for minor in self.minors.values():
            run(["losetup", "--detach", f"/dev/loop{minor}"], timeout_s=20, check=False)

    def digest(self, part: str) -> str:
        return hashlib.sha256(self.files[part].read_bytes()).hexdigest()

    def digests(self) -> dict[str, str]:
        return {part: self.digest(part) for part in PARTS}

    def refill(self, part: str) -> None:
        with self.files[part].open("r+b") as file:
            file.write(os.urandom(PARTS[part].size))
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def standing(self, devices: list[Shown]) -> Iterator[None]:
        build(self.root, devices)
        with living_in(self.root):
            yield

    def show(self, order: tuple[str, ...]) -> list[Shown]:
        return shown(order, self.minors)

    def give(self, order: tuple[str, ...], rule: DiskRule = DiskRule.ONLY) -> str:
        """The station's order for what the machine shows now, sealed."""
        with self.standing(self.show(order)):
            target = choose_disk(read_disks(), rule, 10**6)
        return self.seal(target)

    def seal(self, target: DiskRef, key: str = "") -> str:
        return self.station.seal(
            Order(
                id=secrets.token_hex(16), machine_key=key or self.machine.public, machine="T-1",
                batch="test", station_url="http://10.77.0.1:8080",
                work=wipe_work(target, Policy(wipe_samples=20)),
            )
        )  # fmt: skip

    def carry_out(self, sealed: str) -> tuple[WipeEvidence, WipeWork]:
        """As the agent does: the order first, then the disk."""
        home = Home(Surroundings.LIVE, "http://10.77.0.1:8080", self.station.public, self.machine)
        order = accept(sealed, home, self.used)
        assert isinstance(order.work, WipeWork)
        return wipe(order.work, Journey(steps(order.work))), order.work


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    made = Workshop(tmp_path_factory.mktemp("disks"))
    environment = dict(os.environ)
    os.environ |= ENVIRONMENT
    try:
        with own_mounts():
            yield made
    except NoNamespaceError as error:
        pytest.skip(f"no mount namespace here: {error}")
    finally:
        os.environ.clear()
        os.environ |= environment
        made.close()


def refuse(workshop: Workshop, devices: list[Shown], sealed: str, said: str) -> None:
    """The order must be refused with these disks, and not one byte may change."""
    before = workshop.digests()
    with workshop.standing(devices), pytest.raises(ProvisionerError, match=said):
        workshop.carry_out(sealed)
    assert workshop.digests() == before


def test_the_wiped_disk_is_the_one_that_was_meant_in_every_topology(workshop: Workshop) -> None:
    assert len(SEEN) >= 64
    before = workshop.digests()
    for order in SEEN:
        (meant,) = (part for part in order if PARTS[part].may)
        sealed = workshop.give(order)
        later = order[1:] + order[:1]  # it was started again, and found its disks differently
        with workshop.standing(workshop.show(later)):
            evidence, work = workshop.carry_out(sealed)
        after = workshop.digests()
        assert judge_wipe(evidence, work) == []
        assert evidence.disk.serial == serial_of(meant)
        assert not any(workshop.files[meant].read_bytes())
        assert [part for part in PARTS if after[part] != before[part]] == [meant], order
        workshop.refill(meant)
        before = {**before, meant: workshop.digest(meant)}


def test_all_six_at_once(workshop: Workshop) -> None:
    orders = [CORE[turn:] + CORE[:turn] for turn in range(6)]
    orders += [tuple(reversed(order)) for order in orders]
    for order, again in itertools.pairwise(orders):
        sealed, before = workshop.give(order, DiskRule.SOLID_STATE), workshop.digests()
        with workshop.standing(workshop.show(again)):
            workshop.carry_out(sealed)
        after = workshop.digests()
        assert [part for part in PARTS if after[part] != before[part]] == ["nvme"]
        workshop.refill("nvme")


def test_a_disk_that_was_exchanged_or_taken_out_is_not_replaced(workshop: Workshop) -> None:
    for order in SEEN[::9]:
        (meant,) = (part for part in order if PARTS[part].may)
        sealed, devices = workshop.give(order), workshop.show(order)
        rest = [one for one in devices if one.part != meant]
        (its,) = (one for one in devices if one.part == meant)
        other = Shown(its.part, its.name, its.minor, "SERIAL-OTHER", its.size)
        smaller = Shown(its.part, its.name, its.minor, its.serial, its.size - 512)
        refuse(workshop, rest, sealed, "not here now")
        refuse(workshop, [*rest, other], workshop.give(order), "not here now")
        refuse(workshop, [*rest, smaller], workshop.give(order), "not here now")


def test_two_disks_with_one_serial_are_a_question(workshop: Workshop) -> None:
    sealed, (its,) = workshop.give(("sata",)), workshop.show(("sata",))
    twin = Shown("sata", "sdb", workshop.minors["ssd"], its.serial, its.size)
    refuse(workshop, [its, twin], sealed, "2 disks look the same")


def test_a_name_that_leads_to_another_disk_is_found_on_the_open_device(workshop: Workshop) -> None:
    """udev is late, or somebody made a node by hand: sda in /dev is not sda in /sys."""
    order = ("sata", "ssd")
    sealed = workshop.give(("sata",))
    devices, before = workshop.show(order), workshop.digests()
    build(workshop.root, devices)
    (workshop.root / "dev/sda").unlink()
    os.mknod(workshop.root / "dev/sda", 0o60600, os.makedev(7, workshop.minors["ssd"]))
    with living_in(workshop.root), pytest.raises(DiskChoiceError, match="in truth sdb"):
        workshop.carry_out(sealed)
    assert workshop.digests() == before


def test_a_disk_in_use_is_not_written(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is mounted may be the live medium, whatever it is attached to."""
    sealed = workshop.give(("sata",))
    run(["mkfs.ext4", "-q", "-F", workshop.files["sata"]], timeout_s=60)
    node = Path(f"/dev/loop{workshop.minors['sata']}")
    run(["mount", node, tmp_path], timeout_s=20)
    try:
        run(["sync"], timeout_s=60)
        refuse(workshop, workshop.show(("sata", "stick")), sealed, "must not be written")
        monkeypatch.setattr(lsblk, "_is_used", lambda _part: False)  # and if lsblk were silent
        refuse(workshop, workshop.show(("sata", "stick")), workshop.give(("sata",)), "is in use")
    finally:
        run(["umount", tmp_path], timeout_s=20)


def test_another_machines_order_and_a_used_one_touch_nothing(workshop: Workshop) -> None:
    sealed, devices = workshop.give(("sata",)), workshop.show(("sata", "nvme"))
    with workshop.standing(devices):
        (target, _) = (DiskRef.of(disk) for disk in read_disks())
    foreign = workshop.seal(target, PrivateKey.generate().public)
    refuse(workshop, devices, foreign, "for another machine")
    forged = PrivateKey.generate().seal(
        Order(
            id="0" * 32, machine_key=workshop.machine.public, machine="T-1", batch="test",
            station_url="http://10.77.0.1:8080", work=wipe_work(target, Policy()),
        )
    )  # fmt: skip
    before = workshop.digests()
    with workshop.standing(devices), pytest.raises(UntrustedError):
        workshop.carry_out(forged)
    assert workshop.digests() == before
    with workshop.standing(devices):
        workshop.carry_out(sealed)
    workshop.refill("sata")
    refuse(workshop, devices, sealed, "carried out once")
