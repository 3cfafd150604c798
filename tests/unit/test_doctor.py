"""The doctor: what it concludes from what it sees, and its cures."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from provisioner.doctor import station, wire
from provisioner.doctor.dhcp_probe import Offer, discover, parse_offer, parse_options
from provisioner.doctor.finding import Level
from provisioner.doctor.sockets import listening, parse_sockets
from provisioner.doctor.wire import Link, judge_interface, judge_offers, parse_links, wanted_ports
from provisioner.settings import DhcpMode, Settings

ROOT = Path(__file__).parents[2]
MAC = bytes.fromhex("525400aa0002")
ROUTER = Offer(server="10.77.0.254", mac="00:11:22:33:44:55", address="10.77.0.60")
PXE_ONLY = Offer(server="10.77.0.9", mac="00:11:22:33:44:66", address="")
NOBODY = "0" * 32
# Columns: number, local and remote address, state, then four that do not matter, time-out, inode
UDP = """  sl  local_address rem_address   st tx_queue …
  1: 00000000:0043 00000000:0000 07 0:0 0:0 0 0 0 4711
  2: 0100007F:007B 00000000:0000 07 0:0 0:0 0 0 0 4712
"""
TCP6 = f"""  sl  local_address remote_address st tx_queue …
  0: {NOBODY}:1F90 {NOBODY}:0000 0A 0:0 0:0 0 0 0 81
  1: {NOBODY}:1F91 {NOBODY}:0000 01 0:0 0:0 0 0 0 82
  2: {"0" * 24}01000000:1F92 {NOBODY}:0000 0A 0:0 0:0 0 0 0 83
"""


def settings(**changes: Any) -> Settings:
    return Settings(**{"interface": "enp3s0", "operator_fd": None, **changes})


def link(**changes: Any) -> Link:
    values = {"name": "enp3s0", "up": True, "carrier": True, "addresses": ("10.77.0.1/24",)}
    return Link.model_validate({**values, **changes})


def answer(transaction: int, *, kind: int = 2, given: bytes = b"\x0a\x4d\0\x3c") -> bytes:
    """A server's frame: the question turned round, with type and server's address."""
    frame = bytearray(discover(MAC, transaction))
    frame[6:12] = bytes.fromhex("001122334455")
    frame[26:30] = b"\x0a\x4d\0\xfe"
    frame[34:38] = struct.pack("!HH", 67, 68)
    frame[42] = 2
    frame[58:62] = given
    return bytes(frame[: 42 + 240]) + bytes((53, 1, kind, 54, 4, 10, 77, 0, 254, 255))


def test_the_question_is_a_broadcast_discover_with_a_sound_header() -> None:
    frame = discover(MAC, 0x01020304)
    assert frame[:12] == b"\xff" * 6 + MAC
    words = struct.unpack("!10H", frame[14:34])
    total = sum(words)
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
    options = parse_options(frame[42 + 240 :])
    assert options[53] == b"\x01"
    assert options[60].startswith(b"PXEClient")


def test_an_offer_names_its_server() -> None:
    assert parse_offer(answer(7), 7) == ROUTER


def test_a_proxy_offers_no_address() -> None:
    found = parse_offer(answer(7, given=bytes(4)), 7)
    assert found is not None and found.address == ""


@pytest.mark.parametrize(
    "frame",
    [answer(8), answer(7, kind=5), discover(MAC, 7), b"", bytes(14), answer(7)[:250],
     answer(7)[:12] + b"\x86\xdd" + answer(7)[14:]],
)  # fmt: skip
def test_everything_else_on_the_wire_is_no_offer(frame: bytes) -> None:
    assert parse_offer(frame, 7) is None


def test_options_that_are_cut_off_are_left_out() -> None:
    assert parse_options(b"\x00\x35\x01\x02\x36\x04\x0a") == {53: b"\x02"}


def test_a_second_server_fails_a_station_that_gives_addresses() -> None:
    found = judge_offers(DhcpMode.SERVER, [ROUTER])
    assert found.level is Level.FAIL
    assert "10.77.0.254 (00:11:22:33:44:55)" in found.found.en
    assert "proxy" in found.cure.en and "proxy" in found.cure.zh


@pytest.mark.parametrize(
    ("mode", "offers", "level"),
    [
        (DhcpMode.SERVER, [], Level.OK),
        (DhcpMode.SERVER, [PXE_ONLY], Level.FAIL),
        (DhcpMode.PROXY, [], Level.FAIL),
        (DhcpMode.PROXY, [PXE_ONLY], Level.FAIL),
        (DhcpMode.PROXY, [ROUTER], Level.OK),
        (DhcpMode.PROXY, [ROUTER, ROUTER], Level.WARN),
    ],
)
def test_who_may_answer_depends_on_the_mode(
    mode: DhcpMode, offers: list[Offer], level: Level
) -> None:
    assert judge_offers(mode, offers).level is level


@pytest.mark.parametrize(
    ("links", "level", "word"),
    [
        ([], Level.FAIL, "does not exist"),
        ([link(up=False)], Level.FAIL, "is down"),
        ([link(addresses=())], Level.FAIL, "no IPv4"),
        ([link(carrier=False)], Level.WARN, "no cable"),
        ([link()], Level.OK, "10.77.0.1/24"),
    ],
)
def test_the_interface(links: list[Link], level: Level, word: str) -> None:
    found = judge_interface(settings(), links)
    assert found.level is level
    assert word in found.found.en
    assert level is Level.OK or (found.cure.en and found.cure.zh)


def test_without_an_interface_the_choice_is_listed() -> None:
    found = judge_interface(settings(interface=""), [link(), link(name="wlp2s0")])
    assert found.level is Level.FAIL
    assert "enp3s0, wlp2s0" in found.cure.en


def test_links_as_ip_prints_them() -> None:
    text = (
        '[{"ifname":"enp3s0","flags":["BROADCAST","UP","LOWER_UP"],"addr_info":'
        '[{"family":"inet","local":"10.77.0.1","prefixlen":24},'
        '{"family":"inet6","local":"fe80::1","prefixlen":64}]},{}]'
    )
    assert parse_links(text) == [link()]


def test_a_socket_on_all_addresses_stands_in_every_way() -> None:
    table = parse_sockets(UDP, "udp")
    held = listening(table, "udp", "10.77.0.1", 67)
    assert held is not None and held.inode == 4711
    assert listening(table, "udp", "10.77.0.1", 123) is None
    assert listening(table, "udp", "", 123) is not None
    assert listening(table, "tcp", "", 67) is None


def test_of_tcp_only_listeners_count_and_of_ipv6_only_those_on_all_addresses() -> None:
    assert [(s.port, s.inode) for s in parse_sockets(TCP6, "tcp6")] == [(8080, 81)]


def test_the_ports_follow_the_settings() -> None:
    def numbers(**changes: Any) -> list[int]:
        return [port for _, _, port in wanted_ports(settings(**changes), "10.77.0.1")]

    assert numbers() == [67, 69, 123, 8080, 6772, 8000]
    assert numbers(dhcp=DhcpMode.PROXY) == [67, 69, 4011, 123, 8080, 6772, 8000]
    assert numbers(dhcp=DhcpMode.OFF, serve_time=False) == [8080, 6772, 8000]


def test_a_taken_port_names_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_sockets", lambda kind: parse_sockets(UDP, kind) if kind == "udp"
                        else [])  # fmt: skip
    monkeypatch.setattr(wire, "owner", lambda _inode: "dnsmasq (815)")
    monkeypatch.setattr(wire, "read_links", lambda: [link()])
    found = wire.ports(settings())
    assert [(f.name, f.level, f.found.en) for f in found] == [
        ("port-udp-67", Level.FAIL, "held by dnsmasq (815)")
    ]


@pytest.mark.parametrize(("user", "level"), [(0, Level.OK), (1000, Level.FAIL)])
def test_only_root_may_answer_dhcp(
    monkeypatch: pytest.MonkeyPatch, user: int, level: Level
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    assert station.rights().level is level


def test_a_missing_program_names_its_package() -> None:
    needed, lab = station.programs(lambda name: None if "squashfs" in name else f"/bin/{name}")
    assert (needed.level, lab.level) == (Level.FAIL, Level.OK)
    assert needed.found.en == "missing: mksquashfs"
    assert needed.cure.en == "Run: apt-get install squashfs-tools"


def test_what_only_the_lab_needs_does_not_stop_a_station() -> None:
    _, lab = station.programs(lambda name: None if "qemu" in name else f"/bin/{name}")
    assert lab.level is Level.WARN


def test_every_package_is_in_the_list_that_setup_installs() -> None:
    lines = (ROOT / "packages.txt").read_text().splitlines()
    listed = {line.split("#")[0].strip() for line in lines}
    assert {*station.NEEDED.values(), *station.NEEDED_FOR_LAB.values()} <= listed


@pytest.mark.parametrize(
    ("now", "level"),
    [(1_800_000_000, Level.OK), (0, Level.FAIL), (4_000_000_000, Level.FAIL)],
)
def test_a_clock_before_the_installation_is_wrong(now: float, level: Level) -> None:
    assert station.clock(now, installed=1_790_000_000).level is level


def test_room_is_measured_where_the_folder_will_be(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "yet"
    assert station.room("state", folder, 0, 0).level is Level.OK
    assert station.room("state", folder, 0, 10**18).level is Level.WARN
    assert station.room("state", folder, 10**18, 10**18).level is Level.FAIL


def test_no_live_environment_is_told_with_its_cure(tmp_path: Path) -> None:
    found = station.live_release(settings(state_dir=tmp_path))
    assert found.level is Level.WARN
    assert "image build live" in found.cure.zh


def test_a_finding_is_told_in_the_chosen_language_and_cures_only_ills() -> None:
    found = judge_offers(DhcpMode.SERVER, [ROUTER])
    assert "断开" in found.told_in("zh").cure
    assert "Unplug" in found.told_in("en").cure
    assert judge_interface(settings(), [link()]).told_in("en").cure == ""
