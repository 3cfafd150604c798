"""The contest's layer on a real trixie: merged and taken off, by itself and by the playbook."""

from __future__ import annotations

import datetime
import shutil
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
from tests.integration.classroom_target import Target, booted, system_squashfs
from tests.unit.contest.conftest import write_contest

pytestmark = [pytest.mark.integration, pytest.mark.long]

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0
# What a contest must leave as it was: everything but what a running system writes by itself.
TREE = (
    "find /usr /etc /opt /home /var/lib/extensions /var/lib/classroom* /root -xdev "
    "! -path '/etc/mtab' -printf '%p %y %m %u %s %l\\n' 2>/dev/null | sort"
)
# Netfilter is not in the target; that the rules load is seen on a real machine only.
NFT = """#!/bin/sh
case "$1" in
--file) cp "$2" /run/nft ;;
list) test -e /run/nft ;;
delete) rm /run/nft ;;
esac
"""


@dataclass(frozen=True)
class Room:
    target: Target
    layer: Path
    manifest: Manifest

    def bring(self, state: str, folder: Path) -> HostRecap:
        """Run the playbook for one state; what Ansible counted."""
        inventory = {
            "all": {"hosts": {"machine": {"ansible_host": self.target.address,
                                          "ansible_user": "root",
                                          "ansible_python_interpreter": "/usr/bin/python3"}},
                    "vars": {"contest_state": state, "contest_layer": str(self.layer),
                             "contest_layer_sha256": self.manifest.file(IMAGE).sha256,
                             "contest_seat": {"school": "new-shoots", "seat": "pupil-01"},
                             "contest_room": ["192.0.2.1"], "contest_pupil": "root",
                             "contest_pupil_home": "/home/pupil"}}
        }  # fmt: skip
        play = Play(ROOT / "playbooks/contest.yml", inventory)
        with shared_connections(self.target.ssh_key, self.target.known_hosts) as access:
            recap = run_play(play, folder, access=access, timeout_s=TIMEOUT_S)
        assert unproved(recap, ["machine"]) == []
        return recap.hosts["machine"]

    def tree(self) -> list[str]:
        return self.target.shell(TREE).splitlines()


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("contest")
    settings = load_settings()
    inventories = Path(shutil.copytree(settings.inventories_dir, folder / "inventories"))
    write_contest(inventories)
    catalog = Catalog(folder / "releases")
    manifest = publish_layer(load_contest(inventories, "contest-2027"), catalog,
                             PrivateKey.generate(), datetime.date(2027, 4, 1))  # fmt: skip
    (folder / "disk").mkdir()
    with booted(system_squashfs(settings.cache_dir), folder / "disk") as target:
        # As on a machine: in a container systemd leaves it to others to share the root's mounts.
        target.shell("mount --make-rshared /")
        words = NFT.replace("'", "'\\''")
        target.shell(
            f"mkdir -p /home/pupil; printf '%s' '{words}' >/usr/local/sbin/nft; "
            "chmod 755 /usr/local/sbin/nft; ln -sf /usr/local/sbin/nft /usr/sbin/nft"
        )
        # The agent's own files and what Debian's packages bring it are not in the target.
        target.shell(
            "mkdir -p /etc/systemd/system/classroom-hand-in.service.d; printf "
            "'[Service]\\nExecStart=\\nExecStart=/bin/sleep infinity\\n"
            "LoadCredential=\\n' "
            ">/etc/systemd/system/classroom-hand-in.service.d/test.conf"
        )
        yield Room(target, catalog.folder(manifest.id) / IMAGE, manifest)


def test_prepared_on_off_removed_and_nothing_left(room: Room, tmp_path: Path) -> None:
    before = room.tree()
    assert room.bring("prepared", tmp_path / "1").changed > 0
    prepared = room.tree()
    assert room.bring("prepared", tmp_path / "2").changed == 0
    assert room.bring("on", tmp_path / "3").changed > 0
    assert room.target.shell("cat /usr/share/classroom/contest/contest.json").startswith("{")
    assert room.target.shell("systemctl is-active classroom-hand-in.service").strip() == "active"
    assert "policy drop" in room.target.shell("cat /run/nft")
    room.target.shell("echo mine >/home/pupil/比赛/mine.sb3")
    again = room.bring("on", tmp_path / "4")
    assert (again.changed, again.changed_tasks) == (0, ())
    assert room.bring("off", tmp_path / "5").changed > 0
    assert room.target.shell("cat /home/pupil/比赛/mine.sb3").strip() == "mine"
    room.target.shell("rm -r /home/pupil/比赛")
    assert room.tree() == prepared
    assert room.bring("off", tmp_path / "6").changed == 0
    assert room.bring("removed", tmp_path / "7").changed > 0
    assert room.tree() == before
    assert room.bring("removed", tmp_path / "8").changed == 0
