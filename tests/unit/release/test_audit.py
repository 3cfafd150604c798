"""Each promise, broken once on purpose in a small tree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioner.errors import ProofMissingError
from provisioner.release.audit import BROWSER, audit, findings

SOCKET = "[Socket]\nListenStream={}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree that keeps every promise."""
    write(tmp_path, "etc/passwd", "root:x:0:0::/root:/bin/bash\nlightdm:x:101:101::/:/bin/false\n")
    write(tmp_path, "etc/shadow", "root:*:1::::::\nlightdm:!:1::::::\n")
    write(tmp_path, "etc/group", "root:x:0:\nsudo:x:27:\naudio:x:29:pulse\n")
    write(tmp_path, "etc/sudoers", "# NOPASSWD is not said here\nroot ALL=(ALL) ALL\n")
    write(tmp_path, "etc/machine-id", "")
    write(tmp_path, "usr/bin/chromium", "")
    write(tmp_path, "etc/chromium/policies/managed/a.json", json.dumps(BROWSER))
    start(tmp_path, "ssh.service")
    start(tmp_path, "apparmor.service")
    write(tmp_path, "usr/bin/passwd", "").chmod(0o4755)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    return tmp_path


def write(tree: Path, name: str, text: str) -> Path:
    path = tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def start(tree: Path, unit: str, text: str = "") -> None:
    write(tree, f"usr/lib/systemd/system/{unit}", text)
    link = tree / "etc/systemd/system/multi-user.target.wants" / unit
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(f"/usr/lib/systemd/system/{unit}")


def mask(tree: Path, unit: str) -> None:
    (tree / "etc/systemd/system" / unit).symlink_to("/dev/null")


def open_folder(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


def test_a_good_tree(tree: Path) -> None:
    assert findings(tree) == []
    audit(tree)


BREACHES: dict[str, Callable[[Path], object]] = {
    "the account pupil has an empty password": lambda t: write(t, "etc/shadow", "pupil::1:::::\n"),
    "the account pupil has a password": lambda t: write(t, "etc/shadow", "pupil:$6$x:1:::::\n"),
    "has its password in /etc/passwd": lambda t: write(t, "etc/passwd", "u::5:5::/:/bin/sh\n"),
    "is root under another name": lambda t: write(t, "etc/passwd", "toor:x:0:0::/:/bin/sh\n"),
    "the group sudo has members: pupil": lambda t: write(t, "etc/group", "sudo:x:27:pupil\n"),
    "without a password": lambda t: write(t, "etc/sudoers.d/x", "pupil ALL=(ALL) NOPASSWD: ALL\n"),
    "/root/.ssh/authorized_keys": lambda t: write(t, "root/.ssh/authorized_keys", "ssh-rsa x\n"),
    "/home/pupil does not belong": lambda t: (t / "home/pupil").mkdir(parents=True),
    "runs as root for whoever": lambda t: write(t, "usr/bin/evil", "").chmod(0o4755),
    "/etc/x can be changed by everybody": lambda t: write(t, "etc/x", "").chmod(0o666),
    "the folder /srv can be changed": lambda t: open_folder(t / "srv"),
    "the unit avahi-daemon.service starts": lambda t: start(t, "avahi-daemon.service"),
    "the unit apt-daily.timer starts": lambda t: start(t, "apt-daily.timer"),
    "the unit x.socket listens": lambda t: start(t, "x.socket", SOCKET.format("0.0.0.0:631")),
    "the unit y.socket listens": lambda t: start(t, "y.socket", SOCKET.format("[::]:631")),
    "the unit z.socket listens": lambda t: start(t, "z.socket", SOCKET.format("631")),
    "popularity-contest is installed": lambda t: write(
        t, "var/lib/dpkg/info/popularity-contest.list", ""),
    "ssh_host_rsa_key would be": lambda t: write(t, "etc/ssh/ssh_host_rsa_key", "x"),
    "machine-id would be": lambda t: write(t, "etc/machine-id", "abc\n"),
    "AppArmor is installed and does not start": lambda t: mask(t, "apparmor.service"),
    "policy MetricsReportingEnabled is not false": lambda t: write(
        t, "etc/chromium/policies/managed/z.json", '{"MetricsReportingEnabled": true}'),
    "policy SyncDisabled is not true": lambda t: write(
        t, "etc/chromium/policies/managed/a.json", "{}"),
}  # fmt: skip


@pytest.mark.parametrize("said", BREACHES)
def test_a_breach_is_named(tree: Path, said: str) -> None:
    BREACHES[said](tree)
    with pytest.raises(ProofMissingError) as caught:
        audit(tree)
    assert said in caught.value.message


def test_what_is_masked_does_not_start(tree: Path) -> None:
    start(tree, "avahi-daemon.service")
    mask(tree, "avahi-daemon.service")
    assert findings(tree) == []


def test_a_socket_in_the_file_system_is_no_port(tree: Path) -> None:
    start(tree, "cups.socket", SOCKET.format("/run/cups/cups.sock"))
    assert findings(tree) == []
