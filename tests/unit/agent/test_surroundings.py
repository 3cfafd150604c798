"""Live or installed: whom the agent belongs to and with which key it signs."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from provisioner.agent.client import StationClient
from provisioner.agent.memory import Counter
from provisioner.agent.personalise import make_identity, upper_folder, write_identity
from provisioner.agent.surroundings import find_home, read_boot
from provisioner.errors import StationError
from provisioner.model.hardware import DiskRef
from provisioner.model.order import ImageWork
from provisioner.model.wire import Surroundings
from tests.unit.agent.conftest import make_disk
from tests.unit.agent.station import StubStation

LIVE = "boot=live station=http://10.77.0.1:8080 BOOTIF=01-52-54-00-12-34-56 console=tty0\n"
INSTALLED = "BOOT_IMAGE=/x boot=classroom release=lab@2026.1 system=UUID=a state=UUID=b\n"


def root_with(folder: Path, command_line: str, station_key: str = "") -> Path:
    (folder / "proc").mkdir()
    (folder / "proc/cmdline").write_text(command_line)
    if station_key:
        (folder / "run/live").mkdir(parents=True)
        (folder / "run/live/station.pub").write_text(station_key + "\n")
    return folder


def test_the_live_environment_makes_a_new_key_each_time(tmp_path: Path) -> None:
    root = root_with(tmp_path, LIVE, "ab" * 32)
    first, second = find_home(root), find_home(root)
    assert first.kind is Surroundings.LIVE
    assert (first.station_url, first.station_key) == ("http://10.77.0.1:8080", "ab" * 32)
    assert first.boot_mac == "52:54:00:12:34:56"
    assert first.key.public != second.key.public
    assert first.memory is None


@pytest.mark.parametrize(
    ("command_line", "key"),
    [
        (LIVE, ""),
        (LIVE, "not a key"),
        ("boot=live", "ab" * 32),
        ("boot=live station=file:///etc/passwd", "ab" * 32),
        ("boot=live station=http://a/b/c", "ab" * 32),
        (INSTALLED, ""),
    ],
)
def test_incomplete_surroundings_are_told(tmp_path: Path, command_line: str, key: str) -> None:
    with pytest.raises(StationError):
        find_home(root_with(tmp_path, command_line, key))


def work() -> ImageWork:
    return ImageWork(
        disk=DiskRef.of(make_disk()), release="lab@2026.1", manifest_sha256="0" * 64,
        release_path="/r/", hostname="t-1", asset_tag="T-1", authorized_key="ssh-ed25519 AAAA s",
    )  # fmt: skip


def test_what_imaging_leaves_is_what_the_installed_agent_reads(
    tmp_path: Path, station: StubStation
) -> None:
    identity = make_identity(work(), station.url, station.key.public)
    write_identity(tmp_path, "lab@2026.1", identity)
    root = root_with(tmp_path / upper_folder("lab@2026.1"), INSTALLED)
    home = find_home(root)
    assert home.kind is Surroundings.INSTALLED
    assert home.key.public == identity.installed_key
    assert (home.asset_tag, home.release) == ("T-1", "lab@2026.1")
    assert home.memory is not None
    reply = StationClient(home, Counter(home.memory / "counter")).poll(None)
    assert reply.to_key == identity.installed_key
    assert read_boot(home, root).release == "lab@2026.1"


def test_secrets_are_readable_by_root_only(tmp_path: Path) -> None:
    identity = make_identity(work(), "http://s", "ab" * 32)
    write_identity(tmp_path, "lab@2026.1", identity)
    upper = tmp_path / upper_folder("lab@2026.1")
    modes = {
        str(path.relative_to(upper)): stat.S_IMODE(path.stat().st_mode) for path in upper.rglob("*")
    }
    assert modes["etc"] == modes["etc/ssh"] == 0o755
    assert modes["root"] == modes["root/.ssh"] == 0o700
    for secret in (own for own in identity.files if own.secret):
        assert modes[secret.path] == 0o600
    assert modes["etc/classroom/agent.json"] == 0o600
    assert json.loads((upper / "etc/classroom/agent.json").read_text())["release"] == "lab@2026.1"


def test_no_two_machines_are_alike(tmp_path: Path) -> None:
    made = [make_identity(work(), "http://s", "ab" * 32) for _ in range(5)]
    for path in ("etc/machine-id", "etc/ssh/ssh_host_ed25519_key", "etc/classroom/agent.json"):
        contents = {own.data for one in made for own in one.files if own.path == path}
        assert len(contents) == 5
