"""One stick serves a room that has nothing but a switch: real wires, real multicast."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from provisioner.lab.network import LabNetwork
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle, Receipt
from provisioner.model.release import MANIFEST
from provisioner.model.signed import PrivateKey, open_envelope

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for network namespaces"),
]
ROOT = Path(__file__).parents[2]
STATION = PrivateKey.generate()
TAGS = ("PC-0001", "PC-0002", "PC-0003")
LONG_S = 240.0
RELEASE = "lab@2029.1"


@pytest.fixture
def network() -> Iterator[LabNetwork]:
    with LabNetwork() as made:
        yield made


@pytest.fixture
def stick_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "stick" / FOLDER
    release = folder / "releases" / RELEASE
    release.mkdir(parents=True)
    (release / MANIFEST).write_text("{}")
    bundle = Bundle(school="high-pasture", number=1, machines=TAGS[:2], release=RELEASE,
                    manifest_sha256="0" * 64)  # fmt: skip
    (folder / BUNDLE).write_text(STATION.seal(bundle))
    return folder.parent


def test_neighbours_of_the_school_take_it_and_their_receipts_come_home(
    network: LabNetwork, stick_folder: Path, tmp_path: Path
) -> None:
    """The third machine is of another school: it hears the same and does nothing."""
    running: list[subprocess.Popen[str]] = []
    with contextlib.ExitStack() as stack:
        for number, tag in enumerate(TAGS):
            address = IPv4Interface(f"10.77.0.{11 + number}/24")
            prefix = stack.enter_context(network.neighbour(f"m{number}", address))
            module = "tests.integration.room_stick_machine"
            words = [*prefix, sys.executable, "-W", "ignore", "-m", module, tag, STATION.public]
            words += [str(tmp_path / tag), str(stick_folder) if number == 0 else "-"]
            machine = subprocess.Popen(
                words, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            stack.callback(machine.wait, 30)
            stack.callback(machine.kill)
            running.append(machine)
        for machine in running[:2]:
            assert machine.stdout is not None
            said = json.loads(machine.stdout.readline())
            assert (said["release"], said["there"]) == (RELEASE, True)
        places = [stick_folder / FOLDER / RECEIPTS / f"{tag}.dsse.json" for tag in TAGS]
        until = time.monotonic() + LONG_S
        while not all(place.is_file() for place in places[:2]):
            assert time.monotonic() < until
            time.sleep(0.1)
        receipt, _ = open_envelope(places[1].read_bytes(), Receipt, trusted=None)
        assert receipt.machine == "PC-0002"
        assert not places[2].exists()
        assert not (tmp_path / "PC-0003/bundle.dsse.json").exists()
