"""The contest's playbook over real SSH on a real trixie: every state, twice, and nothing left."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.contest.folder import load_contest
from provisioner.contest.layer import IMAGE, publish_layer
from provisioner.model.release import Manifest
from provisioner.model.signed import PrivateKey
from provisioner.release.catalog import Catalog
from provisioner.settings import load_settings
from provisioner.stages.ansible import (
    HostRecap,
    Play,
    run_play,
    shared_connections,
    unproved,
)
from tests.contest_machines import CONTEST_PACKAGES, ContestMachine, room_wire, with_agent
from tests.contest_room import CONTEST, contest_yml, make_contest_station
from tests.integration.classroom_target import system_squashfs

pytestmark = [pytest.mark.integration, pytest.mark.long]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0
POLICY = "/etc/chromium/policies/managed/zz-contest.json"
STATES = ("prepared", "on", "off", "removed")


@dataclass(frozen=True)
class Room:
    machine: ContestMachine
    layer: Path
    manifest: Manifest

    def bring(self, state: str, folder: Path) -> HostRecap:
        """Run the playbook for one state; what Ansible counted."""
        seat = {"school": "new-shoots", "seat": "pupil-01"}
        inventory = {
            "all": {"hosts": {"machine": {"ansible_host": self.machine.target.address,
                                          "ansible_user": "root"}},
                    "vars": {"contest_state": state, "contest_layer": str(self.layer),
                             "contest_layer_sha256": self.manifest.file(IMAGE).sha256,
                             "contest_seat": seat, "contest_room": ["192.0.2.1"],
                             "contest_allowed_hosts": ["192.0.2.7"], "contest_pupil": "pupil",
                             "contest_pupil_home": "/home/pupil"}}
        }  # fmt: skip
        play = Play(ROOT / "playbooks/contest.yml", inventory)
        target = self.machine.target
        with shared_connections(target.ssh_key, target.known_hosts) as access:
            recap = run_play(play, folder, access=access, timeout_s=TIMEOUT_S)
        assert unproved(recap, ["machine"]) == []
        return recap.hosts["machine"]

    def twice(self, state: str, folder: Path) -> None:
        """Into a state, which changes something; and once more, which changes nothing."""
        assert self.bring(state, folder / f"{state}-1").changed > 0
        again = self.bring(state, folder / f"{state}-2")
        assert (again.changed, again.changed_tasks) == (0, ())


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("contest")
    station = make_contest_station(folder, contest_yml())
    catalog = Catalog(folder / "releases")
    settings = load_settings()
    contest = load_contest(station.settings.inventories_dir, CONTEST)
    manifest = publish_layer(contest, catalog, PrivateKey.generate(), datetime.date(2027, 4, 1),
                             settings.playbooks_dir)  # fmt: skip
    image = system_squashfs(settings.cache_dir, CONTEST_PACKAGES)
    prepare = with_agent(PrivateKey.generate(), "PC-0001", "http://192.0.2.1:8080",
                         station.key.public, "pupil-01", [], runs=False)  # fmt: skip
    with room_wire(3) as wire:
        machine = ContestMachine("pc", folder / "pc", image, wire.wire(1), prepare)
        machine.start()
        try:
            machine.shell("useradd --uid 2001 --create-home --shell /bin/bash pupil")
            yield Room(machine, catalog.folder(manifest.id) / IMAGE, manifest)
        finally:
            machine.stop()
            station.database.close()


def test_every_state_twice_and_nothing_left(room: Room, tmp_path: Path) -> None:
    machine = room.machine
    before = machine.tree()
    room.twice("prepared", tmp_path)
    prepared = machine.tree()
    room.twice("on", tmp_path)
    it_is_on(machine)
    machine.shell("echo mine >/home/pupil/比赛/mine.sb3")
    room.twice("off", tmp_path)
    assert machine.tree() == prepared
    assert machine.shell("cat /home/pupil/比赛/mine.sb3").strip() == "mine"
    assert not machine.says("nft list table inet contest")
    room.twice("on", tmp_path / "again")
    assert machine.shell("cat /home/pupil/比赛/mine.sb3").strip() == "mine"
    room.twice("removed", tmp_path)  # straight from “on”
    assert machine.tree() == before


def it_is_on(machine: ContestMachine) -> None:
    assert machine.shell("cat /usr/share/classroom/contest/contest.json").startswith("{")
    assert machine.says("systemctl is-active classroom-hand-in.service")
    page = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:8602/contest.json\").read().decode())'"
    assert json.loads(machine.shell(page))["name"] == CONTEST
    rules = machine.shell("nft list chain inet contest output")
    assert "policy drop" in rules
    assert "192.0.2.7" in rules
    policy = json.loads(machine.shell(f"cat {POLICY}"))
    assert policy["URLBlocklist"] == ["*"]
    assert "192.0.2.7" in policy["URLAllowlist"]
    assert "rules.zh.md" in machine.shell("ls /home/pupil/比赛")
    # Something outside of the room is not reached, and the network says so at once.
    assert not machine.says("ping -c1 -W1 198.51.100.9")
