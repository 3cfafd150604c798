"""What a school may wish: each field takes what makes sense, and nothing that could do harm."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from provisioner.model.classroom import (
    FixedAddresses,
    Hours,
    OpenTime,
    Printer,
    Proxy,
    Sponsor,
    Weekday,
    Wifi,
)

ROOM = {"network": "192.168.10.0/24", "first": "192.168.10.101", "gateway": "192.168.10.1"}


def test_addresses_by_seat() -> None:
    fixed = FixedAddresses.model_validate(ROOM)
    assert fixed.address(1) == "192.168.10.101/24"
    assert fixed.address(25) == "192.168.10.125/24"
    assert list(fixed.problems(154)) == []
    assert "do not fit" in next(fixed.problems(155))


def test_a_gateway_among_the_seats() -> None:
    fixed = FixedAddresses.model_validate({**ROOM, "gateway": "192.168.10.110"})
    assert list(fixed.problems(9)) == []
    assert "gateway" in next(fixed.problems(10))


@pytest.mark.parametrize(
    "wrong",
    [{"network": "192.168.10.1/24"}, {"network": "192.168.10.0"}, {"network": "x"},
     {"first": "192.168.11.1"}, {"first": "192.168.10.0"}, {"first": "192.168.10.255"},
     {"gateway": "10.0.0.1"}, {"dns": ["router"]}, {"dns": ["1.1.1.1\\nx"]}, {"first": "{{ x }}"}],
)  # fmt: skip
def test_addresses_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FixedAddresses.model_validate({**ROOM, **wrong})


@pytest.mark.parametrize(
    ("written", "read"), [("07:30", "07:30"), (1080, "18:00"), (480, "08:00"), ("23:59", "23:59")]
)
def test_a_time_of_day_is_read_as_yaml_gives_it(written: object, read: str) -> None:
    """YAML 1.1 makes a number of base 60 from 18:00 without quotes."""
    time = OpenTime.model_validate({"days": ["mon"], "open": "00:00", "close": written})
    assert time.close == read


@pytest.mark.parametrize("wrong", ["24:00", "7:30", 1440, True, "noon", 18.5])
def test_times_that_are_none(wrong: object) -> None:
    with pytest.raises(ValidationError):
        OpenTime.model_validate({"days": ["mon"], "open": "00:00", "close": wrong})


@pytest.mark.parametrize(
    "wrong",
    [{"days": []}, {"days": ["mon", "mon"]}, {"days": ["monday"]},
     {"open": "18:00"}, {"open": "19:00"}],
)  # fmt: skip
def test_hours_that_are_none(wrong: dict[str, Any]) -> None:
    good = {"days": [Weekday.MON], "open": "08:00", "close": "18:00"}
    assert Hours.model_validate({"times": [good]}).switch_off
    with pytest.raises(ValidationError):
        Hours.model_validate({"times": [{**good, **wrong}]})


@pytest.mark.parametrize(
    "uri",
    ["ipp://192.168.1.9/ipp/print", "socket://printer.local:9100", "usb://HP/LaserJet%201020?serial=X",
     "lpd://10.0.0.1/queue"],
)  # fmt: skip
def test_printers(uri: str) -> None:
    assert Printer(name="Office", address=uri).address == uri


@pytest.mark.parametrize(
    "uri",
    ["file:///dev/sda", "http://x/", "ipp://", "ipp://x y", "ipp://x'; reboot", "ipp://$(id)",
     "ipp://x`id`", "ipp://x|y", "socket:/x", "ipp://x\\ny"],
)  # fmt: skip
def test_what_is_no_printer(uri: str) -> None:
    with pytest.raises(ValidationError):
        Printer(name="Office", address=uri)
    with pytest.raises(ValidationError):
        Printer(name=uri, address="ipp://x/y")


@pytest.mark.parametrize(
    "url",
    ["https://x:1", "http://x", "http://x:1/", "http://u:p@x:1", "http://x:1; id", "socks5://x:1"],
)
def test_what_is_no_proxy(url: str) -> None:
    assert Proxy(url="http://10.0.0.1:3128").without == ()
    with pytest.raises(ValidationError):
        Proxy(url=url)


@pytest.mark.parametrize("past", ["a b", "a,b", "$(id)", '"', "x/999999"])
def test_what_cannot_go_past_the_proxy(past: str) -> None:
    Proxy(url="http://x:1", without=("192.168.0.0/16", ".school.example", "*.local"))
    with pytest.raises(ValidationError):
        Proxy(url="http://x:1", without=(past,))


@pytest.mark.parametrize("name", ["", "x" * 33, "a\nb", "a\x00"])
def test_what_is_no_wireless_network(name: str) -> None:
    assert Wifi(name="学校 5G").name == "学校 5G"
    with pytest.raises(ValidationError):
        Wifi(name=name)


@pytest.mark.parametrize("logo", ["../x.png", "x.svg", "/x.png", "a b.png", ".x.png"])
def test_a_logo_stays_in_the_folder(logo: str) -> None:
    with pytest.raises(ValidationError):
        Sponsor(en="x", zh="x", logo=logo)
