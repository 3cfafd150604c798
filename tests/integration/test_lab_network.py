"""The lab's namespace for real: nothing is left behind, also after its owner was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from provisioner.lab.network import LabNetwork, namespaces, processes_in, remove_leftovers
from provisioner.run import run

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OWNER = """
import sys, time
from pathlib import Path
from provisioner.lab.network import LabNetwork
network = LabNetwork(run_root=Path(sys.argv[1]))
network.create()
network.add_tap(0)
print(network.name, flush=True)
time.sleep(600)
"""


@pytest.fixture
def network(tmp_path: Path) -> Iterator[LabNetwork]:
    with LabNetwork(run_root=tmp_path / "run") as made:
        yield made


def test_the_bridge_has_the_stations_address_and_a_broadcast_address(network: LabNetwork) -> None:
    shown = run(
        [*network.exec_prefix, "ip", "-json", "-4", "address", "show", "br0"], timeout_s=10
    ).stdout
    address = json.loads(shown)[0]["addr_info"][0]
    assert (address["local"], address["broadcast"]) == ("10.77.0.1", "10.77.0.255")


def test_taps_come_and_the_host_does_not_see_them(network: LabNetwork) -> None:
    tap = network.add_tap(7)
    inside = run([*network.exec_prefix, "ip", "-o", "link"], timeout_s=10).stdout
    assert f" {tap}:" in inside
    assert f" {tap}:" not in run(["ip", "-o", "link"], timeout_s=10).stdout


def test_a_neighbour_hears_the_station(network: LabNetwork) -> None:
    with network.neighbour("router", IPv4Interface("10.77.0.254/24")) as inside:
        seen = run([*inside, "ip", "-o", "-4", "address", "show", "eth0"], timeout_s=10).stdout
        assert "10.77.0.254/24" in seen
        other = f"{network.name}-router"
        assert other in namespaces()
    assert other not in namespaces()


def test_leaving_ends_every_process_inside(tmp_path: Path) -> None:
    with LabNetwork(run_root=tmp_path / "run") as network:
        sleeper = subprocess.Popen([*network.exec_prefix, "sleep", "600"])
        while sleeper.pid not in processes_in(network.name):
            time.sleep(0.05)
    assert sleeper.wait(timeout=5) == -signal.SIGKILL
    assert network.name not in namespaces()
    assert not network.run_dir.exists()


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    root = tmp_path / "run"
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(root)],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert owner.stdout is not None
    name = owner.stdout.readline().strip()
    assert name in namespaces()
    assert remove_leftovers(root) == []  # its owner lives
    owner.kill()
    owner.wait()
    assert remove_leftovers(root) == [name]
    assert name not in namespaces()
    assert not (root / name).exists()
