"""The agent's own imaging on a file in the place of a disk, for the benchmark of one disk.

`python -m tests.bench.imaging DISK STATION_URL RELEASE KEY FOLDER [--no-proof]`, in the mount
namespace that `ip netns exec` gives: says “ready”, waits for a line, images, and prints one line
of JSON: seconds to the last written byte, seconds in all, and the evidence's figures. Its
partitions are loop devices at their offsets, past the page cache, with the elevator that Debian
gives to a turning disk.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import sys
import time
from pathlib import Path

from provisioner.agent import growing, image, mounting, partition, readback
from provisioner.agent.disk import opened_exclusively
from provisioner.agent.journey import Journey
from provisioner.agent.layout import Slot
from provisioner.agent.surroundings import Home
from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork, Order
from provisioner.model.release import MANIFEST
from provisioner.model.signed import MAX_ENVELOPE_BYTES, PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.swarm import part
from provisioner.swarm.fetch import HttpCarrier
from provisioner.swarm.session import is_available
from provisioner.swarm.watcher import Nobody
from tests.bench.loops import attach, detach, kernel_knows
from tests.bench.slow_disk import COUNTS
from tests.unit.agent.conftest import make_disk

OURS = image.__name__.split(".")[0] + "."


class Partitions:
    """What the kernel does by itself on a real disk."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self.nodes: dict[int, Path] = {}
        self._slots: tuple[Slot, ...] = ()

    def seen(self, _disk: Path, slots: tuple[Slot, ...], sector: int, *_: object) -> partition.Seen:
        if slots != self._slots:
            self.close()
            for slot in slots:
                span = (slot.start * sector, slot.length * sector)
                self.nodes[slot.number] = attach(self.disk, *span)
            self._slots = slots
        return {slot.number: (slot.start, slot.length) for slot in slots}

    def close(self) -> None:
        for node in self.nodes.values():
            detach(node)
        self.nodes.clear()


class Timed(Journey):
    """Notes when each step began, and what the disk had counted by then."""

    def __init__(self, counts: Path) -> None:
        super().__init__(image.STEPS)
        self._counts = counts
        self._began: list[tuple[str, float, dict[str, float]]] = []

    def enter(self, step: str) -> None:
        counted = json.loads(self._counts.read_text()) if self._counts.exists() else {}
        self._began.append((step, time.monotonic(), counted))
        super().enter(step)

    def steps(self) -> dict[str, dict[str, float]]:
        """Seconds of each step, bytes and seeks of the disk in it."""
        self.enter(self._began[-1][0])
        return {
            step: {"seconds": round(after - begun, 2)}
            | {name: then[name] - now[name] for name in now}
            for (step, begun, now), (_, after, then) in itertools.pairwise(self._began)
        }


class _NoProof(Nobody):
    """Lets the carrier look at the whole file itself, in memory, as a system without proof."""

    grown: dict[str, object] = {}  # noqa: RUF012


def stand_in(node: Path, size: int, folder: Path, partitions: Partitions) -> DiskRef:
    """Have the agent find this device as its disk."""
    found = make_disk(node.name, size)
    opened = functools.partial(opened_exclusively, find=lambda _ref: found)
    everywhere(opened_exclusively, opened)
    everywhere(partition.wait_for_kernel, partitions.seen)
    everywhere(partition.partition_device, lambda _disk, number: partitions.nodes[number])
    everywhere(mounting.ROOT, folder / "mnt")
    if not kernel_knows("vfat"):  # a small kernel
        partition.KINDS["ESP"] = "ext4"
    return DiskRef.of(found)


def no_proof() -> None:
    """As the others do it: written and flushed, and never looked at again."""
    everywhere(growing.GrowingProof, _NoProof)
    everywhere(readback.read_back, lambda *_: {})
    everywhere(part.check_whole, lambda *_: None)


def everywhere(real: object, other: object) -> None:
    """Put `other` where any of our modules has `real`, under whatever name."""
    modules = [vars(one) for name, one in sys.modules.items() if name.startswith(OURS)]
    places = [(names, key) for names in modules for key, value in names.items() if value is real]
    assert places, f"nothing of ours has {real}"
    for names, key in places:
        names[key] = other


def main(disk: str, url: str, release: str, key: str, folder: str, *more: str) -> None:
    partitions = Partitions(Path(disk))
    node = attach(Path(disk))
    try:
        ref = stand_in(node, Path(disk).stat().st_size, Path(folder), partitions)
        if "--no-proof" in more:
            no_proof()
        is_available()
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(_image(Path(disk), ref, url, release, key)), flush=True)
    finally:
        mounting.release_leftovers()
        partitions.close()
        detach(node)


def _image(disk: Path, ref: DiskRef, url: str, release: str, key: str) -> dict[str, object]:
    began = time.monotonic()
    path = f"/releases/{release}/"
    envelope = HttpCarrier(f"{url}{path}").read(MANIFEST, MAX_ENVELOPE_BYTES)
    work = ImageWork(
        disk=ref, release=release, manifest_sha256=hashlib.sha256(envelope).hexdigest(),
        release_path=path, hostname="t-1", asset_tag="T-1",
        authorized_key="ssh-ed25519 AAAA station", kernel_arguments="quiet",
    )  # fmt: skip
    own = PrivateKey.generate()
    order = Order(
        id="0" * 32, machine_key=own.public, machine="T-001", batch="bench", station_url=url,
        work=work,
    )  # fmt: skip
    journey = Timed(disk.with_name(COUNTS))
    home = Home(Surroundings.LIVE, url, key, own)
    evidence = image.image(order, work, home, journey, lambda *_: None)
    ended = time.monotonic()
    return {
        "seconds": ended - began,
        "steps": journey.steps(),
        "fetched": evidence.bytes_fetched,
        "from_peers": evidence.bytes_from_peers,
        "direct_io": evidence.direct_io,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
