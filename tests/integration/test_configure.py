"""Configure and verify against a real trixie with systemd, over SSH, as the station does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import UnreachableError, UntrustedError
from provisioner.fleet.vault import read_secrets
from provisioner.stages.ansible import known_hosts_text
from provisioner.stages.verify import Outcome
from tests.integration.room import Room, failed, opened

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with opened("new-shoots", tmp_path_factory.mktemp("room")) as room:
        yield room


# The tests below follow one another on one machine, as its day in the workshop does.


def test_a_machine_fresh_from_imaging_keeps_no_promise(room: Room, tmp_path: Path) -> None:
    evidence = room.verify(tmp_path)
    assert room.judge_verify(evidence)
    about_the_system = {"host-key", "release", "home-persistent", "clock", "agent", "services",
                        "disk-reserve"}  # fmt: skip
    assert failed(evidence) == room.expected() - about_the_system


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
    "disk-reserve": "tune2fs -m 0 $(findmnt -nvo SOURCE /home)",
    "home-persistent": "mount -t tmpfs tmpfs /home",
    "release": "mount --bind /etc/hostname /proc/cmdline",
    "host-key": "ssh-keygen -q -t ed25519 -N '' -f /tmp/k;"
    " cp /tmp/k.pub /etc/ssh/ssh_host_ed25519_key.pub",
    "wallpaper": "rm -f /usr/local/share/classroom-wallpaper.png",
    "school": "sed -i s/new-shoots/high-pasture/ /etc/classroom/school.json",
    "homes": "sed -i s/^policy=.*/policy=kept/ /etc/classroom/homes.conf",
    "protected": "rm /etc/cron.allow",
    "input-method": "sed -i s/pinyin/wubi/ /etc/classroom/xdg/fcitx5/profile",
    "start-page": "rm /usr/local/share/classroom/start/index.html",
    "names": "rm /etc/systemd/resolved.conf.d/school.conf",
    "proxy": "sed -i s/3128/3129/ /etc/chromium/policies/managed/school-proxy.json",
    "wifi": "echo > '/var/lib/iwd/Elsewhere.psk'",
    "printer": "lpadmin -x Office",
    "opening-hours": "systemctl stop classroom-close.timer",
    "classroom-control": "mkdir -p /etc/veyon/keys/private/teacher;"
    " echo > /etc/veyon/keys/private/teacher/key",
}
REPAIR = (
    "rm /etc/ssh/sshd_config.d/00-x.conf; systemctl reload ssh; umount /home /proc/cmdline;"
    " systemctl start classroom-agent; systemctl reset-failed; chmod 700 /home/{pupil};"
    " ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key > /etc/ssh/ssh_host_ed25519_key.pub"
)


def test_every_check_notices_its_damage_and_configuring_repairs(room: Room, tmp_path: Path) -> None:
    pupil = room.promises.accounts[1].login
    # The clock of a machine in namespaces is ours; the virtual classroom sets it wrong.
    expected = room.expected() - {"clock"}
    assert set(DAMAGE) == expected
    for damage in DAMAGE.values():
        room.target.shell(damage.replace("{pupil}", pupil))
    evidence = room.verify(tmp_path / "damaged")
    assert failed(evidence) == expected
    assert len(room.judge_verify(evidence)) == len(expected)

    room.target.shell(REPAIR.replace("{pupil}", pupil))
    assert room.judge_configure(room.configure(tmp_path / "again")) == []
    assert room.judge_verify(room.verify(tmp_path / "repaired")) == []


def test_a_service_is_told_though_the_run_that_changed_its_file_was_cut_short(
    room: Room, tmp_path: Path
) -> None:
    """Ansible tells services at the end of a run, and forgets it with a run that has no end."""
    settings = "/etc/ssh/sshd_config.d/10-school.conf"
    room.target.shell(f"echo PasswordAuthentication yes > {settings}; systemctl reload ssh")
    begun: list[str] = []
    cut = room.configure(
        tmp_path / "cut", report=lambda step, _fraction: begun.append(step),
        cancelled=lambda: any("Keep room for the system" in step for step in begun),
    )  # fmt: skip
    assert room.judge_configure(cut)
    assert "PasswordAuthentication no" in room.target.shell(f"cat {settings}")
    assert failed(room.verify(tmp_path / "between")) == {"network-login"}
    assert room.judge_configure(room.configure(tmp_path / "again")) == []
    assert room.judge_verify(room.verify(tmp_path / "whole")) == []


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
