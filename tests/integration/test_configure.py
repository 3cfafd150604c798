"""Configure and verify against a real trixie with systemd, over SSH, as the station does it."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provisioner.checks.catalog import CATALOG, expected_checks
from provisioner.checks.promises import Promises, promises_for
from provisioner.errors import UnreachableError, UntrustedError
from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import Vault, open_vault, read_secrets
from provisioner.model.school import School, SeatedMachine
from provisioner.settings import load_settings
from provisioner.stages.ansible import known_hosts_text
from provisioner.stages.configure import (
    ConfigureEvidence,
    Workplace,
    configure_machine,
    judge_configure,
    revision,
)
from provisioner.stages.verify import Outcome, VerifyEvidence, judge_verify, verify_machine
from tests.integration.classroom_target import Target, booted, system_squashfs

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Room:
    """One machine of one school, and what the station knows about both."""

    school: School
    vault: Vault
    target: Target
    machine: SeatedMachine
    promises: Promises

    def configure(self, folder: Path, **other: Path) -> ConfigureEvidence:
        return configure_machine(
            self.school, self.machine,
            workplace=Workplace(
                PLAYBOOKS, self.target.ssh_key, StationFacts(time_servers=(self.target.station,))
            ),
            vault=self.vault,
            known_hosts=other.get("known_hosts", self.target.known_hosts),
            folder=folder, timeout_s=TIMEOUT_S,
        )  # fmt: skip

    def verify(self, folder: Path, **other: Path) -> VerifyEvidence:
        return verify_machine(
            self.school.id, self.machine, self.promises, ssh_key=self.target.ssh_key,
            known_hosts=other.get("known_hosts", self.target.known_hosts),
            folder=folder, timeout_s=TIMEOUT_S,
        )  # fmt: skip

    def judge_configure(self, evidence: ConfigureEvidence) -> list[str]:
        expected = revision(self.school, self.vault, PLAYBOOKS)
        return judge_configure(evidence, school=self.school.id, revision=expected)

    def judge_verify(self, evidence: VerifyEvidence) -> list[str]:
        return judge_verify(evidence, expected_checks(self.promises))


@contextlib.contextmanager
def opened(example: str, folder: Path) -> Iterator[Room]:
    """A machine of one of the example schools, as imaging leaves it."""
    copied = shutil.copytree(ROOT / "inventories" / example, folder / example)
    school = load_school(Path(copied))
    (folder / "disk").mkdir()
    with booted(system_squashfs(load_settings().cache_dir), folder / "disk") as target:
        yield Room(
            school, open_vault(school, folder), target,
            SeatedMachine(asset_tag="PC-0001", seat=2, address=target.address),
            promises_for(school, 2, release=target.release, ssh_host_keys=(target.host_key,),
                         station_time_servers=(target.station,)),
        )  # fmt: skip


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with opened("new-shoots", tmp_path_factory.mktemp("room")) as room:
        yield room


def failed(evidence: VerifyEvidence) -> set[str]:
    return {check.id for check in evidence.checks if check.outcome is not Outcome.PASSED}


# The tests below follow one another on one machine, as its day in the workshop does.


def test_a_machine_fresh_from_imaging_keeps_no_promise(room: Room, tmp_path: Path) -> None:
    evidence = room.verify(tmp_path)
    assert room.judge_verify(evidence)
    about_the_system = {"host-key", "release", "home-persistent", "clock", "agent", "services"}
    expected = {check.id for check in expected_checks(room.promises)} - about_the_system
    assert failed(evidence) == expected


def test_configured_and_then_nothing_left_to_change(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A station lives in some time zone; a clock that is right must be seen as right from there.
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    evidence = room.configure(tmp_path / "run")
    assert room.judge_configure(evidence) == []
    assert evidence.first.changed > 0
    assert evidence.again is not None
    assert evidence.again.changed == 0
    secrets = read_secrets(room.vault).account_passwords.values()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert not [s for s in secrets if s.get_secret_value().encode() in written]


def test_then_every_promise_is_kept(room: Room, tmp_path: Path) -> None:
    evidence = room.verify(tmp_path)
    assert room.judge_verify(evidence) == []
    assert [check.id for check in evidence.checks if check.outcome is Outcome.PASSED]
    assert evidence.exit_code == 0


def test_the_passwords_open_the_accounts(room: Room) -> None:
    teacher = room.promises.accounts[0].login
    lines = room.target.shell("getent shadow").splitlines()
    stored = next(line.split(":")[1] for line in lines if line.startswith(f"{teacher}:"))
    assert stored.startswith("$y$")
    password = next(iter(read_secrets(room.vault).account_passwords.values())).get_secret_value()
    program = "print crypt($ARGV[0], $ARGV[1])"
    again = room.target.shell(f"perl -e '{program}' '{password}' '{stored}'")
    assert again == stored


# What each breakage must be noticed by.
DAMAGE = {
    "hostname": "hostname somebody",
    "time-zone": "ln -sf /usr/share/zoneinfo/Europe/Paris /etc/localtime",
    "language": "sed -i s/UTF-8/GBK/ /etc/locale.conf",
    "keyboard": "sed -i s/XKBLAYOUT=.*/XKBLAYOUT=fr/ /etc/default/keyboard",
    "time-servers": "echo NTP=evil.example >> /etc/systemd/timesyncd.conf.d/school.conf",
    "accounts": "chmod 755 /home/{pupil}",
    "passwords": "passwd --delete {pupil}",
    "no-administrators": "gpasswd --add {pupil} sudo",
    "banner": "echo hello > /etc/motd",
    "network-login": "echo PasswordAuthentication yes > /etc/ssh/sshd_config.d/00-x.conf;"
    " systemctl reload ssh",
    "agent": "systemctl stop classroom-agent",
    "services": "systemd-run --quiet --unit=broken false; sleep 1",
    "home-persistent": "mount -t tmpfs tmpfs /home",
    "release": "mount --bind /etc/hostname /proc/cmdline",
    "host-key": "ssh-keygen -q -t ed25519 -N '' -f /tmp/k;"
    " cp /tmp/k.pub /etc/ssh/ssh_host_ed25519_key.pub",
    "wallpaper": "rm -f /usr/local/share/classroom-wallpaper.png",
}
REPAIR = (
    "rm /etc/ssh/sshd_config.d/00-x.conf; systemctl reload ssh; umount /home /proc/cmdline;"
    " systemctl start classroom-agent; systemctl reset-failed; chmod 700 /home/{pupil};"
    " ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key > /etc/ssh/ssh_host_ed25519_key.pub"
)


def test_every_check_notices_its_damage_and_configuring_repairs(room: Room, tmp_path: Path) -> None:
    pupil = room.promises.accounts[1].login
    # The clock of a machine in namespaces is ours; the virtual classroom sets it wrong.
    assert set(DAMAGE) == {check.id for check in CATALOG} - {"clock"}
    for damage in DAMAGE.values():
        room.target.shell(damage.replace("{pupil}", pupil))
    evidence = room.verify(tmp_path / "damaged")
    expected = {check.id for check in expected_checks(room.promises)} - {"clock"}
    assert failed(evidence) == expected
    assert len(room.judge_verify(evidence)) == len(expected)

    room.target.shell(REPAIR.replace("{pupil}", pupil))
    assert room.judge_configure(room.configure(tmp_path / "again")) == []
    assert room.judge_verify(room.verify(tmp_path / "repaired")) == []


def test_another_host_key_is_refused(room: Room, tmp_path: Path) -> None:
    wrong = tmp_path / "known_hosts"
    wrong.write_text(known_hosts_text(room.machine, ["ssh-ed25519 " + "A" * 68]))
    with pytest.raises(UntrustedError, match="PC-0001"):
        room.verify(tmp_path / "verify", known_hosts=wrong)
    with pytest.raises(UntrustedError, match="PC-0001"):
        room.configure(tmp_path / "configure", known_hosts=wrong)


def test_nobody_there(room: Room, tmp_path: Path) -> None:
    away = Room(
        room.school, room.vault, room.target,
        room.machine.model_copy(update={"port": 9}), room.promises,
    )  # fmt: skip
    with pytest.raises(UnreachableError):
        away.verify(tmp_path / "verify")
    with pytest.raises(UnreachableError):
        away.configure(tmp_path / "configure")


def test_another_school_gets_its_own(tmp_path: Path) -> None:
    with opened("high-pasture", tmp_path) as room:
        assert room.judge_configure(room.configure(tmp_path / "run")) == []
        evidence = room.verify(tmp_path / "verify")
        assert room.judge_verify(evidence) == []
        assert "laoshi" in room.target.shell("cat /etc/passwd")
