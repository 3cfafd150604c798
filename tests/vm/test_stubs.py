"""Tools that exit 0 and do nothing: a real machine must not get past them.

The live environment is the released one; a layer over it puts a stub in front of every external
tool that the agent uses, but for lsblk, without which it would see no disk and stop at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.workshop import VirtualWorkshop
from provisioner.lifecycle import Milestone
from provisioner.release.live import append_layer
from provisioner.run import run
from provisioner.settings import load_settings

pytestmark = pytest.mark.vm

STUBBED = ("sfdisk", "mkfs.vfat", "mkfs.ext4", "mount", "umount", "udevadm", "smartctl", "ethtool",
           "systemctl", "blkdiscard", "nwipe", "hdparm", "nvme", "dmidecode", "lshw")  # fmt: skip
STUBS = "usr/local/lib/stubs"
TIMEOUT_S = 900.0


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What became of one machine, and the first bytes of its disk."""
    with VirtualWorkshop(load_settings(), machines=1) as workshop:
        served = workshop.station.state_dir / "netboot" / "live" / "initrd.img"
        layer = make_layer(tmp_path_factory.mktemp("stubs"))
        append_layer(served, layer, served)
        workshop.open_batch()
        workshop.power_on()
        tile = wait_for_a_hand(workshop)
        machine = workshop.station.get(f"machines/{tile['asset_tag']}")
        disk = workshop.machines[0].pc.disks[0].path
        yield {**machine, "first_bytes": disk.open("rb").read(64 * 1024)}


def make_layer(folder: Path) -> Path:
    """A squashfs with the stubs, and the agent's PATH that finds them first.

    Only the agent's: systemd finds udevadm by name as well, and without it there is no network.
    """
    tools = folder / "tree" / STUBS
    tools.mkdir(parents=True)
    unit = folder / "tree/etc/systemd/system/classroom-agent.service.d"
    unit.mkdir(parents=True)
    (unit / "stubs.conf").write_text(f"[Service]\nEnvironment=PATH=/{STUBS}:/usr/sbin:/usr/bin\n")
    for name in STUBBED:
        (tools / name).write_text("#!/bin/sh\nexit 0\n")
        (tools / name).chmod(0o755)
    layer = folder / "stubs.squashfs"
    words = ["-all-root", "-noappend", "-quiet", "-no-progress"]
    run(["mksquashfs", folder / "tree", layer, *words], timeout_s=60)
    return layer


def wait_for_a_hand(workshop: VirtualWorkshop) -> dict[str, Any]:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for tile in workshop.station.get("machines"):
            if tile["needs_hand"]:
                return dict(tile)
            assert tile["milestone"] != Milestone.IMAGED, "an image without a single tool"
        time.sleep(1)
    raise AssertionError("the machine neither went on nor asked for a hand")


def test_the_machine_stops_at_imaging_and_says_why(story: dict[str, Any]) -> None:
    latest = {run["verb"]: run for run in story["runs"]}
    assert latest["image"]["state"] == "failed"
    assert latest["image"]["evidence"] is None
    assert story["tile"]["needs_hand"]["message"]


def test_no_tool_bound_stage_claims_success(story: dict[str, Any]) -> None:
    # Wiping needs no external tool: it writes and reads the disk itself, so its proof is real.
    done = {run["verb"] for run in story["runs"] if run["state"] == "succeeded"}
    assert done <= {"discover", "enrol", "diagnose", "wipe"}
    assert story["tile"]["milestone"] == Milestone.WIPED


def test_health_that_was_not_read_is_unknown(story: dict[str, Any]) -> None:
    diagnose = next(run for run in story["runs"] if run["verb"] == "diagnose")
    checks = {check["id"]: check["outcome"] for check in diagnose["evidence"]["checks"]}
    assert checks["disk-health"] == "unknown"


def test_the_disk_cannot_be_started(story: dict[str, Any]) -> None:
    assert not any(story["first_bytes"])
