"""dnsmasq's configuration: one interface, nothing host-wide, the right file for each firmware."""

from __future__ import annotations

import pytest

from provisioner.netboot.dnsmasq import render_config
from provisioner.netboot.settings import DhcpMode
from tests.unit.netboot.test_settings import make

OURS_ASKS_FOR = "01:03:06:07:0c:0f:11:1a:2a:2b"  # Debian 13's undionly.kpxe, captured


def lines(mode: DhcpMode) -> list[str]:
    text = render_config(make(mode=mode))
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("mode", DhcpMode)
def test_nothing_outside_its_interface_and_folders(mode: DhcpMode) -> None:
    config = lines(mode)
    assert {"port=0", "interface=br0", "except-interface=lo", "bind-interfaces"} <= set(config)
    assert {"enable-tftp=br0", "tftp-root=/srv/tftp", "tftp-secure"} <= set(config)
    assert "pid-file=/srv/netboot/dnsmasq.pid" in config
    assert not [line for line in config if line.startswith(("conf-dir", "dhcp-script", "server="))]


def test_server_gives_addresses_time_and_no_route() -> None:
    config = lines(DhcpMode.SERVER)
    assert "dhcp-range=10.77.0.102,10.77.0.250,255.255.255.0,12h" in config
    assert "dhcp-option=option:ntp-server,10.77.0.1" in config
    assert "dhcp-option=option:router" in config


def test_proxy_gives_no_address() -> None:
    config = lines(DhcpMode.PROXY)
    assert [line for line in config if line.startswith("dhcp-range")] == [
        "dhcp-range=10.77.0.0,proxy,255.255.255.0"
    ]
    assert "dhcp-authoritative" not in config
    assert not [line for line in config if line.startswith(("dhcp-option", "dhcp-leasefile"))]


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        ("bios,tag:!ipxe", "undionly.kpxe"),
        ("efi64,tag:!ipxe", "shimx64.efi"),
        ("efi32,tag:!ipxe", "bootia32.efi"),
        ("http64", "http://10.77.0.1:8080/live/netboot/shimx64.efi"),
        ("ipxe,tag:!oldipxe", "http://10.77.0.1:8080/boot/boot.ipxe"),
    ],
)
def test_each_firmware_gets_its_file(kind: str, file: str) -> None:
    assert f"dhcp-boot=tag:{kind},{file}" in lines(DhcpMode.SERVER)


def test_our_own_ipxe_is_never_taken_for_an_old_one() -> None:
    """Or it would load itself for ever."""
    old = [
        line.rpartition(",")[2]
        for line in lines(DhcpMode.SERVER)
        if line.startswith("dhcp-match=set:oldipxe")
    ]
    assert old and not [signs for signs in old if OURS_ASKS_FOR.startswith(signs)]
