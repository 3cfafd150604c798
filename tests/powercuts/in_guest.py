"""What runs inside the virtual PC: the agent's own code images its disk and renews it.

The kernel, its FAT and ext4 and the block layer are those of a real machine; what is left out is
the start in between, which writes nothing but GRUB's one sector (`grub_lowers`). Between the
phases a sector in a gap of the disk is marked, so that the log tells which write belongs where.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from provisioner.agent import bootstate, installed, mounting, partition, side
from provisioner.agent.hardware import read_hardware
from provisioner.agent.installed import Installed
from provisioner.agent.journey import Journey
from provisioner.agent.renew import STEPS, Applied, Hands, fetched_manifest, renew
from provisioner.agent.surroundings import Home
from provisioner.agent.worker import carry_out
from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork, Order, RenewWork
from provisioner.model.renewal import Check
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.release.bootenv import pack_env, parse_env
from provisioner.release.grubcfg import GRUB_ENV, LEFT
from provisioner.run import run
from provisioner.swarm import choose

MARK_AT = 64 * 512  # behind the partition table, before the first partition
DRAWING = "home/pupil/drawing.txt"


class StartingError(Exception):
    """The machine would start again here."""


@dataclass(frozen=True)
class Job:
    """What the host wants: where the releases are, and their names."""

    url: str
    key: str
    old: str
    new: str
    old_manifest: str
    new_manifest: str
    drawing: str


def say(word: str) -> None:
    Path("/dev/console").write_text(f"[[{word}]]\n")


def mark(disk: Path, phase: str) -> None:
    """A line in the log of writes."""
    os.sync()
    handle = os.open(disk, os.O_WRONLY | os.O_SYNC)
    os.pwrite(handle, f"[[{phase}]]".encode().ljust(512, b"\0"), MARK_AT)
    os.close(handle)
    say(phase)


def the_disk() -> DiskRef:
    found = [disk for disk in read_hardware().disks if disk.serial == "POWERCUT"]
    return DiskRef.of(found[0])


def image_it(job: Job, disk: DiskRef) -> None:
    key = PrivateKey.generate()
    work = ImageWork(
        disk=disk, release=job.old, manifest_sha256=job.old_manifest,
        release_path=f"/releases/{job.old}/", hostname="pc-0001", asset_tag="PC-0001",
        authorized_key="ssh-ed25519 AAAA",
    )  # fmt: skip
    order = Order(id="1" * 32, machine_key=key.public, machine="PC-0001", batch="b",
                  station_url=job.url, work=work)  # fmt: skip
    home = Home(Surroundings.LIVE, job.url, job.key, key)
    carry_out(order, lambda _: None, home, _no_waiting)


def _no_waiting(error: Exception, _pause: float) -> None:
    raise error


@contextlib.contextmanager
def started(disk: Path) -> Iterator[None]:
    """Mounted as scripts/classroom does it."""
    for number, point, mode in ((3, installed.SYSTEM, "ro"), (4, installed.STATE, "rw,noatime")):
        point.mkdir(parents=True, exist_ok=True)
        device = partition.partition_device(disk, number)
        run(["mount", "-t", "ext4", "-o", mode, device, point], timeout_s=60)
    try:
        yield
    finally:
        for point in (installed.ESP, installed.SYSTEM, installed.STATE):
            mounting.unmount(point)


def save_a_drawing(text: str) -> None:
    place = installed.STATE / DRAWING
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.sync()


def grub_lowers() -> None:
    """GRUB writes the block where it lies; so does this, on the same file system."""
    machine = Installed("", False, "")
    with machine.loader() as esp:
        place = esp / GRUB_ENV.lstrip("/")
        said = parse_env(place.read_bytes()) or {}
        with place.open("r+b", buffering=0) as file:
            file.write(pack_env({**said, LEFT: "1"}))
            os.fsync(file.fileno())


def renew_it(job: Job, running: str, work: RenewWork) -> Any:
    station = side.Station(job.url, job.key, _no_waiting)
    uuids = tuple(
        found.uuid
        for number in (3, 4)
        if (found := partition.read_file_system(Path(f"/dev/vda{number}")))
    )

    def fill(envelope: bytes, release: str, roots: Mapping[str, Path], journey: Journey) -> Any:
        return side.fill_side(envelope, release, roots, station, journey)

    def leave(*, at_once: bool = True) -> NoReturn:
        raise StartingError

    hands = Hands(
        fill, lambda work: fetched_manifest(station.http("releases", work.release), work),
        lambda _: True, lambda _: Applied("r1"),
        lambda *_: (Check(id="all", passed=True),), leave, (uuids[0], uuids[1]),
    )  # fmt: skip
    return renew("sealed", work, Installed(running, running == job.new, ""), hands, Journey(STEPS))


def main(url: str) -> None:
    # Bytes come by HTTP alone: how they come makes no difference to the disk.
    for module in (side, choose):
        module.is_available = lambda: False  # type: ignore[attr-defined]
    with urllib.request.urlopen(f"{url}/job.json") as answer:
        job = Job(url=url, **json.load(answer))
    ref, disk = the_disk(), Path("/dev/vda")
    mark(disk, "imaging")
    image_it(job, ref)
    with started(disk):
        save_a_drawing(job.drawing)
    mark(disk, "renewal")
    work = RenewWork(release=job.new, manifest_sha256=job.new_manifest)
    with started(disk), contextlib.suppress(StartingError):
        renew_it(job, job.old, work)
    mark(disk, "trial")
    with started(disk):
        grub_lowers()
        evidence = renew_it(job, job.new, work)
        with Installed(job.new, False, "").loader() as esp:
            state = bootstate.read_state(esp)
    mark(disk, "end")
    assert state.good == evidence.running == job.new
    say("well")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except BaseException:
        say(traceback.format_exc())
    say("over")
    os.sync()
