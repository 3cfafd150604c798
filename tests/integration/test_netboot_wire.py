"""The real dnsmasq on a real (virtual) wire: TFTP's limits, and the doctor's DHCP question."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import StationError
from provisioner.lab.network import LabNetwork
from provisioner.netboot.dnsmasq import Dnsmasq
from provisioner.netboot.menus import BootAction, BootDecision, grub_config, grub_hello
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.run import run, start

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SECRET = "state that TFTP must not hand out"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabNetwork]:
    with LabNetwork(run_root=tmp_path_factory.mktemp("run")) as made:
        yield made


@pytest.fixture
def settings() -> Iterator[NetbootSettings]:
    """Loaders in place, and beside the TFTP root a file that nobody may read.

    Not in pytest's own folder: dnsmasq's user cannot get into that.
    """
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o755)
    made = NetbootSettings(
        interface="br0",
        station=IPv4Interface("10.77.0.1/24"),
        tftp_root=folder / "tftp",
        state_dir=folder,
    )
    (made.tftp_root / "grub").mkdir(parents=True)
    (made.tftp_root / "grub" / "grub.cfg").write_text(grub_hello(made))
    (made.tftp_root / "undionly.kpxe").write_bytes(os.urandom(100_000))
    (made.tftp_root / "foreign").write_text("not the user's")
    (made.state_dir / "secret").write_text(SECRET)
    run(["chown", "-R", made.user, made.tftp_root], timeout_s=5)
    run(["chown", "root", made.tftp_root / "foreign"], timeout_s=5)
    yield made
    shutil.rmtree(folder)


def tftp(network: LabNetwork, folder: Path, *words: str) -> str:
    """One command of the tftp-hpa client; what it printed."""
    folder.mkdir(exist_ok=True)
    done = run(
        [*network.exec_prefix, "tftp", "-m", "binary", "10.77.0.1", "-c", *words],
        timeout_s=30, cwd=folder, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_loaders_are_handed_out_whole(
    network: LabNetwork, settings: NetbootSettings, tmp_path: Path
) -> None:
    with Dnsmasq(settings, network.exec_prefix):
        tftp(network, tmp_path / "client", "get", "undionly.kpxe")
    wanted = (settings.tftp_root / "undionly.kpxe").read_bytes()
    assert (tmp_path / "client" / "undionly.kpxe").read_bytes() == wanted


@pytest.mark.parametrize(
    "name",
    ["absent.efi", "../secret", "grub/../../secret", "/etc/hostname", "..\\secret", "foreign",
     "grub"],
)  # fmt: skip
def test_everything_else_is_refused(
    network: LabNetwork, settings: NetbootSettings, tmp_path: Path, name: str
) -> None:
    with Dnsmasq(settings, network.exec_prefix):
        said = tftp(network, tmp_path / "client", "get", name, "got")
    got = tmp_path / "client" / "got"
    assert "Error code" in said
    assert not got.exists() or got.read_bytes() == b""


@pytest.mark.parametrize("name", ["new.efi", "undionly.kpxe", "../secret"])
def test_writing_is_refused(
    network: LabNetwork, settings: NetbootSettings, tmp_path: Path, name: str
) -> None:
    before = {path: path.read_bytes() for path in settings.state_dir.rglob("*") if path.is_file()}
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "mine").write_text("mine")
    with Dnsmasq(settings, network.exec_prefix):
        said = tftp(network, tmp_path / "client", "put", "mine", name)
    assert "Error code" in said or "timed out" in said
    assert not (settings.tftp_root / "new.efi").exists()
    assert {path: path.read_bytes() for path in before} == before


def test_a_dnsmasq_that_cannot_work_says_why(
    network: LabNetwork, settings: NetbootSettings
) -> None:
    broken = settings.model_copy(update={"tftp_root": settings.state_dir / "nowhere"})
    with pytest.raises(StationError, match="nowhere"):
        Dnsmasq(broken, network.exec_prefix).start()


def test_a_dnsmasq_that_serves_no_file_does_not_count_as_started(
    network: LabNetwork, settings: NetbootSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.netboot.dnsmasq.START_TIMEOUT_S", 3.0)
    (settings.tftp_root / "grub" / "grub.cfg").unlink()
    with pytest.raises(StationError, match="does not answer"):
        Dnsmasq(settings, network.exec_prefix).start()


def test_a_dead_dnsmasq_is_noticed(network: LabNetwork, settings: NetbootSettings) -> None:
    dnsmasq = Dnsmasq(settings, network.exec_prefix)
    with dnsmasq:
        dnsmasq.check()
        pid = int((settings.state_dir / "dnsmasq.pid").read_text())
        run(["kill", "-KILL", str(pid)], timeout_s=5)
        while dnsmasq.running:
            pass
        with pytest.raises(StationError):
            dnsmasq.check()


@pytest.mark.parametrize("action", BootAction)
def test_grub_accepts_what_we_write(
    settings: NetbootSettings, tmp_path: Path, action: BootAction
) -> None:
    decision = BootDecision(action=action, message="it's 100 % (ready)", arguments=("a=b,c",),
                            esp_uuid="12AB-34CD")  # fmt: skip
    for text in (grub_hello(settings), grub_config(decision, settings, "52:54:00:aa:00:02")):
        (tmp_path / "grub.cfg").write_text(text)
        run(["grub-script-check", tmp_path / "grub.cfg"], timeout_s=10)


def findings(network: LabNetwork, tmp_path: Path, **settings: str) -> dict[str, dict[str, Any]]:
    """What `provisioner doctor` says inside the namespace, by name."""
    done = run(
        [*network.exec_prefix, sys.executable, "-m", "provisioner", "doctor", "--json",
         "--interface", "br0"],
        timeout_s=300, check=False,
        env={"PYTHONPATH": str(ROOT), "PROVISIONER_STATE_DIR": str(tmp_path / "state"),
             **{f"PROVISIONER_{key.upper()}": value for key, value in settings.items()}},
    )  # fmt: skip
    return {finding["name"]: finding for finding in json.loads(done.stdout)}


@contextmanager
def router(network: LabNetwork, folder: Path) -> Iterator[str]:
    """Somebody else's DHCP server on the wire; its network address."""
    with network.neighbour("router", IPv4Interface("10.77.0.254/24")) as inside:
        start(
            [*inside, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
             "--interface=eth0", "--bind-interfaces", "--dhcp-range=10.77.0.50,10.77.0.90,1h",
             f"--dhcp-leasefile={folder}/router.leases", f"--pid-file={folder}/router.pid",
             "--user=root", "--no-ping", "--dhcp-authoritative", "--log-facility=-"],
            log=folder / "router.log",
        )  # fmt: skip
        yield run([*inside, "cat", "/sys/class/net/eth0/address"], timeout_s=5).stdout.strip()


def test_on_a_quiet_wire_the_doctor_finds_nobody(network: LabNetwork, tmp_path: Path) -> None:
    found = findings(network, tmp_path)
    # A bridge without ports has no carrier, like a station whose switch is off.
    assert found["interface"]["found"].startswith("br0 10.77.0.1/24, no cable")
    assert found["dhcp"]["level"] == "ok"
    assert found["ports"]["level"] == "ok"


def test_another_dhcp_server_is_found_and_named(network: LabNetwork, tmp_path: Path) -> None:
    with router(network, tmp_path) as mac:
        found = findings(network, tmp_path)
        as_proxy = findings(network, tmp_path, dhcp="proxy")
    assert found["dhcp"]["level"] == "fail"
    assert found["dhcp"]["found"] == f"10.77.0.254 ({mac})"
    assert "proxy" in found["dhcp"]["cure"]
    assert as_proxy["dhcp"]["level"] == "ok"


def test_a_running_station_holds_its_ports_and_is_no_stranger(
    network: LabNetwork, settings: NetbootSettings, tmp_path: Path
) -> None:
    with Dnsmasq(settings, network.exec_prefix):
        found = findings(network, tmp_path)
    assert found["dhcp"]["level"] == "ok"
    assert found["port-udp-67"]["level"] == "fail"
    assert "dnsmasq" in found["port-udp-67"]["found"]
    assert found["port-udp-69"]["level"] == "fail"


def test_proxy_mode_is_heard_beside_the_other_server(
    network: LabNetwork, settings: NetbootSettings, tmp_path: Path
) -> None:
    proxy = settings.model_copy(update={"mode": DhcpMode.PROXY})
    ask = (
        "from provisioner.doctor.dhcp_probe import find_servers\n"
        "for offer in find_servers('eth0', 4): print(offer.server, bool(offer.address))"
    )
    with (
        router(network, tmp_path),
        Dnsmasq(proxy, network.exec_prefix),
        network.neighbour("guest", IPv4Interface("10.77.0.99/24")) as inside,
    ):
        words = [*inside, sys.executable, "-c", ask]
        done = run(words, timeout_s=30, env={"PYTHONPATH": str(ROOT)})
    assert sorted(done.stdout.split("\n")[:-1]) == ["10.77.0.1 False", "10.77.0.254 True"]
