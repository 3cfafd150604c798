"""Where netboot happens: addresses must fit the network, names must be safe in a file."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from provisioner.netboot.settings import NetbootSettings


def make(**changes: Any) -> NetbootSettings:
    values = {
        "interface": "br0",
        "station": "10.77.0.1/24",
        "tftp_root": Path("/srv/tftp"),
        "state_dir": Path("/srv/netboot"),
    }
    return NetbootSettings.model_validate({**values, **changes})


def test_the_range_is_the_upper_part_of_the_network() -> None:
    first, last = make().address_range
    assert (first, last) == (IPv4Address("10.77.0.102"), IPv4Address("10.77.0.250"))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"first_address": "192.168.1.10"}, "not inside"),
        ({"first_address": "10.77.0.200", "last_address": "10.77.0.100"}, "before it begins"),
        ({"station": "10.77.0.150/24"}, "own address"),
        ({"station": "10.77.0.1/30"}, "too small"),
        ({"interface": "br0\nport=53"}, "interface"),
        ({"interface": "a-name-that-is-too-long"}, "interface"),
        ({"user": "dnsmasq\nroot"}, "user"),
        ({"tftp_rot": "/x"}, "tftp_rot"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(ValidationError, match=word):
        make(**changes)


def test_url_has_address_and_port() -> None:
    assert make(http_port=8081).station_url == "http://10.77.0.1:8081"
