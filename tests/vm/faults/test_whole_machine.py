"""One whole PC: firmware, netboot, kernel and agent are the real ones, and its disk is QEMU's.

It lives through its faults one after the other, and ends with a day on which nothing fails but
its clock, on a disk with sectors of 4096 bytes. Several minutes under emulation: `make faults`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab import disks
from provisioner.lab.machine import Bus, Machine, VirtualDisk
from provisioner.lab.workshop import VirtualWorkshop
from provisioner.lifecycle import Milestone
from provisioner.model.release import INITRD, KERNEL, LOADER_GRUB, LOADER_SHIM, SYSTEM
from provisioner.release.catalog import Catalog
from provisioner.settings import load_settings
from tests.vm.faults.ledger import Case, Expected, Ledger, Said
from tests.vm.faults.truth import is_blank, why_not_installed
from tests.vm.waiting import wait

pytestmark = [pytest.mark.vm, pytest.mark.long]
NO, YES = Expected.NO_SUCCESS, Expected.SUCCESS
SILENT_S = 60.0
SIZE = 8_000 * 10**6 // 4096 * 4096
SERIAL = "FAULTS-1"
# In dnsmasq's log, once the loader that fetches all else was sent to a machine.
LOADER = re.compile(r"sent \S+undionly\.kpxe to 10\.77\.0\.(?!1$)\d+$", re.MULTILINE)


# What a machine's write may be by the time it reaches blkdebug: QEMU makes holes of zeroes.
KINDS = {"read": ("read",), "write": ("write", "write-zeroes", "discard")}


def blkdebug(folder: Path, kind: str, byte: int) -> Path:
    """A configuration of QEMU's blkdebug: from now on this sector cannot be read, or written."""
    path = folder / f"{kind}.blkdebug"
    path.write_text(
        "".join(
            f'[inject-error]\nevent = "none"\niotype = "{one}"\nerrno = "5"\n'
            f'sector = "{byte // 512}"\nonce = "off"\nimmediately = "off"\n'
            for one in KINDS[kind]
        )
    )
    return path


class Story:
    """One machine's faults, written down as they happen."""

    def __init__(self, workshop: VirtualWorkshop, folder: Path, ledger: Ledger) -> None:
        self.workshop, self.folder, self.ledger = workshop, folder, ledger
        self.machine: Machine = workshop.machines[0]

    def disk(self, **changes: Any) -> VirtualDisk:
        values = {"path": self.folder / "disk.raw", "size_bytes": SIZE, "bus": Bus.VIRTIO,
                  "serial": SERIAL, "boots": True}  # fmt: skip
        return VirtualDisk.model_validate({**values, **changes})

    def start(self, clock: str | None, **disk: Any) -> None:
        self.machine.kill()
        self.machine.change(disks=(self.disk(**disk),), clock=clock)
        self.machine.start()

    def again(self) -> None:
        """What an operator does who has seen the sentence."""
        tag = self.tile()["asset_tag"]
        self.workshop.station.post(f"machines/{tag}/try-again")

    def tile(self) -> dict[str, Any]:
        found = self.workshop.station.get("machines")
        return dict(found[0]) if found else {}

    def latest(self, verb: str) -> Said:
        """What the station holds about the latest run of a stage."""
        tile = self.tile()
        if not tile:
            return Said(False, "the station has not heard of it")
        runs = self.workshop.station.get(f"machines/{tile['asset_tag']}")["runs"]
        ended = [run for run in runs if run["verb"] == verb]
        if not ended:
            return Said(False, f"no run; the machine is {tile['milestone']}")
        run = max(ended, key=lambda one: str(one["started_at"]))
        problem = run.get("problem") or {}
        return Said(run["state"] == "succeeded", f"{run['state']} {problem.get('message', '')}")

    def book(self, fault: str, stage: str, said: Said, *, true: bool, expected: Expected) -> None:
        case: Case = self.ledger.book(fault, stage, said, true=true, expected=expected)
        assert case.as_expected, case


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, ledger: Ledger) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("whole")
    with VirtualWorkshop(load_settings(), machines=1) as workshop:
        made = Story(workshop, folder, ledger)
        disks.create_donor_disk(folder / "disk.raw", SIZE, SERIAL)
        workshop.open_batch()
        yield made
        (folder / "disk.raw").unlink(missing_ok=True)


# The tests below follow one another.


def test_the_link_is_lost_at_dhcp(story: Story) -> None:
    story.start(None)
    story.machine.plug(connected=False)
    time.sleep(SILENT_S)
    said = story.latest("discover")
    story.book("link lost: at DHCP", "discover", said, true=False, expected=NO)


def test_the_link_is_lost_at_the_boot_file(story: Story) -> None:
    """Right after the loader came, before it has fetched anything. With the cable back the machine
    asked for nothing more in ten minutes (SeaBIOS): a person has to switch it on again."""
    log = story.workshop.station.state_dir / "netboot/dnsmasq.log"
    before = len(LOADER.findall(log.read_text(errors="replace")))
    story.start(None)
    wait(lambda: len(LOADER.findall(log.read_text(errors="replace"))) > before, "the boot file")
    story.machine.plug(connected=False)
    time.sleep(SILENT_S)
    said = story.latest("discover")
    story.book("link lost: at the boot file", "discover", said, true=False, expected=NO)


@pytest.mark.parametrize(("kind", "byte"), [("write", SIZE // 2 // 4096 * 4096), ("read", 65536)])
def test_blocks_that_fail(story: Story, kind: str, byte: int) -> None:
    """QEMU's blkdebug; the machine's clock is in 2099 and in 1970 meanwhile."""
    year = {"write": "2099", "read": "1970"}[kind]
    known = story.tile().get("needs_hand")
    story.start(f"{year}-01-01T00:01:00", faults=blkdebug(story.folder, kind, byte))
    if known:
        story.again()
    wait(lambda: bool(story.tile().get("needs_hand")), f"a hand to be asked for ({kind} error)")
    done = [verb for verb in ("wipe", "diagnose") if not story.latest(verb).success]
    true = not disks.donor_data(story.folder / "disk.raw", SERIAL) if kind == "write" else False
    story.book(f"{kind} error, QEMU: clock {year}", "wipe", story.latest("wipe"), true=true,
               expected=NO)  # fmt: skip
    assert done


def test_a_day_on_which_only_the_clock_is_wrong(story: Story) -> None:
    """Power fails once in the middle; sectors have 4096 bytes, and it is 2038."""
    clock = "2038-01-19T03:13:00"
    story.start(clock, sector_bytes=4096)
    if story.tile().get("needs_hand"):
        story.again()
    wait(lambda: story.tile().get("running") == "wipe" and story.tile()["fraction"] > 0.3, "wiping")
    story.machine.kill()
    blank = is_blank(story.folder / "disk.raw", SIZE)
    story.book("power cut, QEMU: while wiping", "wipe", story.latest("wipe"), true=blank,
               expected=NO)  # fmt: skip
    story.start(clock, sector_bytes=4096)
    wait(lambda: _at_least(story, Milestone.WIPED), "it to be wiped")
    assert not disks.donor_data(story.folder / "disk.raw", SERIAL)
    wait(lambda: _at_least(story, Milestone.IMAGED), "it to be imaged")
    story.machine.kill()
    catalog = Catalog(story.workshop.station.state_dir / "releases")
    release = catalog.folder(catalog.get("lab").id)
    esp = f"releases/{release.name}"
    wanted = {
        ("system", f"releases/{release.name}/{SYSTEM}"): SYSTEM,
        ("ESP", f"{esp}/{KERNEL}"): KERNEL, ("ESP", f"{esp}/{INITRD}"): INITRD,
        ("ESP", "EFI/BOOT/BOOTX64.EFI"): LOADER_SHIM, ("ESP", "EFI/BOOT/grubx64.efi"): LOADER_GRUB,
    }  # fmt: skip
    files = {place: release / name for place, name in wanted.items()}
    wrong = why_not_installed(story.folder / "disk.raw", story.folder, files, 4096)
    story.book("clock 2038, sectors of 4096 bytes, QEMU", "image", story.latest("image"),
               true=wrong == [], expected=YES)  # fmt: skip


def _at_least(story: Story, milestone: Milestone) -> bool:
    tile = story.tile()
    assert not tile.get("needs_hand"), tile["needs_hand"]
    return Milestone(tile["milestone"]).rank >= milestone.rank
