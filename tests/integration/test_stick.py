"""A stick in a school that has no line at all: the release comes from it, and not one byte from
anywhere else (a network namespace without a card, without a route)."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from provisioner.fleet.bundle import export_bundle
from provisioner.model.bundle import Bundle
from provisioner.model.release import MANIFEST
from provisioner.run import run
from tests.integration.side_world import NEW, SideWorld, Sizes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]
ROOT = Path(__file__).parents[2]
SIZES = Sizes(texts=30, new_bytes=300_000, kernel=100_000, initrd=200_000)


@pytest.mark.parametrize("patched", [False, True])
def test_a_release_from_a_stick_without_any_network(tmp_path: Path, patched: bool) -> None:
    world = SideWorld(tmp_path, SIZES)
    patch = world.publish_patch() if patched else 0
    envelope = (world.catalog.folder(NEW) / MANIFEST).read_bytes()
    bundle = Bundle(
        school="high-pasture", number=1, machines=("PC-0001",), release=NEW,
        manifest_sha256=hashlib.sha256(envelope).hexdigest(),
    )  # fmt: skip
    stick = tmp_path / "stick"
    stick.mkdir()
    export_bundle(bundle, world.catalog, world.station.key, stick)
    disk = world.machine("machine")
    words = ["unshare", "--net", sys.executable, "-m", "tests.integration.stick_machine"]
    done = run([*words, stick, disk, world.key], timeout_s=600, cwd=ROOT,
               env={"PYTHONPATH": str(ROOT)})  # fmt: skip
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["routes"] == ""
    assert said["cards"] == ["lo"]
    assert world.arrived(disk)
    assert (said["bytes"] < world.image_bytes) or not patched
    assert not patched or patch
