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
from typing import Any

from provisioner.agent import growing, image, mounting, partition
from provisioner.agent.disk import opened_exclusively
from provisioner.agent.journey import Journey
from provisioner.agent.layout import Slot
from provisioner.agent.surroundings import Home
from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork, Order
from provisioner.model.release import MANIFEST
from provisioner.model.signed import MAX_ENVELOPE_BYTES, PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.swarm.fetch import HttpCarrier
from provisioner.swarm.session import is_available
from provisioner.swarm.watcher import Nobody
from tests.bench.loops import attach, detach, kernel_knows
from tests.unit.agent.conftest import make_disk


class Partitions:
    """What the kernel does by itself on a real disk."""

    def __init__(self) -> None:
        self.nodes: dict[int, Path] = {}
        self._slots: tuple[Slot, ...] = ()

    def seen(self, disk: Path, slots: tuple[Slot, ...], sector: int, *_: object) -> partition.Seen:
        if slots != self._slots:
            self.close()
            for slot in slots:
                span = (slot.start * sector, slot.length * sector)
                self.nodes[slot.number] = attach(disk, *span)
            self._slots = slots
        return {slot.number: (slot.start, slot.length) for slot in slots}

    def close(self) -> None:
        for node in self.nodes.values():
            detach(node)
        self.nodes.clear()


class Timed(Journey):
    """Notes when each step began."""

    def __init__(self) -> None:
        super().__init__(image.STEPS)
        self.began: dict[str, float] = {}

    def enter(self, step: str) -> None:
        self.began[step] = time.monotonic()
        super().enter(step)


class _NoProof(Nobody):
    """Lets the carrier look at the whole file itself, in memory, as a system without proof."""

    grown: dict[str, object] = {}  # noqa: RUF012


def stand_in(disk: Path, folder: Path, partitions: Partitions) -> DiskRef:
    """Have the agent find this file as its disk."""
    found = make_disk(disk.name, disk.stat().st_size)
    opened = functools.partial(opened_exclusively, find=lambda _ref: found, dev=disk.parent)
    changes: dict[Any, dict[str, Any]] = {
        image: {"opened_exclusively": opened},
        mounting: {"ROOT": folder / "mnt"},
        partition: {
            "wait_for_kernel": partitions.seen,
            "partition_device": lambda _disk, number: partitions.nodes[number],
        },
    }
    for module, names in changes.items():
        vars(module).update(names)
    if not kernel_knows("vfat"):  # a small kernel
        partition.KINDS["ESP"] = "ext4"
    return DiskRef.of(found)


def no_proof() -> None:
    """As the others do it: written and flushed, and never looked at again."""
    changes: dict[str, Any] = {"GrowingProof": _NoProof, "read_back": lambda *_: {}}
    vars(image).update(changes)
    vars(growing).update({"still_there": lambda *_: True})


def main(disk: str, url: str, release: str, key: str, folder: str, *more: str) -> None:
    partitions = Partitions()
    try:
        ref = stand_in(Path(disk), Path(folder), partitions)
        if "--no-proof" in more:
            no_proof()
        is_available()
        print("ready", flush=True)
        sys.stdin.readline()
        print(json.dumps(_image(ref, url, release, key)), flush=True)
    finally:
        mounting.release_leftovers()
        partitions.close()


def _image(ref: DiskRef, url: str, release: str, key: str) -> dict[str, object]:
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
    journey = Timed()
    home = Home(Surroundings.LIVE, url, key, own)
    evidence = image.image(order, work, home, journey, lambda *_: None)
    ended = time.monotonic()
    starts = [*journey.began.items(), ("end", ended)]
    steps = {
        name: round(after - start, 2) for (name, start), (_, after) in itertools.pairwise(starts)
    }
    return {
        "seconds": ended - began,
        "steps": steps,
        "fetched": evidence.bytes_fetched,
        "from_peers": evidence.bytes_from_peers,
        "direct_io": evidence.direct_io,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
