"""The machines' wire: our interface on it, who else answers DHCP there, and taken ports."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path

from provisioner.doctor.dhcp_probe import Offer, find_servers
from provisioner.doctor.finding import NOTHING, Level, Observation, Said
from provisioner.doctor.sockets import Socket, listening, owner, parse_sockets
from provisioner.model.base import Model
from provisioner.run import run
from provisioner.settings import DhcpMode, Settings
from provisioner.swarm.packet import PORT as CAROUSEL_PORT

IP_TIMEOUT_S = 10.0
WIRE = Said("Interface", "网络接口")
DHCP = Said("Other DHCP servers on this wire", "同一网络上的其他 DHCP 服务器")
DHCP_PORT, TFTP_PORT, NTP_PORT, PROXY_PORT = 67, 69, 123, 4011


class Link(Model):
    """An interface as `ip -json address show` has it."""

    name: str
    up: bool
    carrier: bool
    addresses: tuple[IPv4Interface, ...] = ()


def parse_links(text: str) -> list[Link]:
    """The interfaces in the output of `ip -json address show`."""
    return [
        Link(
            name=entry["ifname"],
            up="UP" in entry["flags"],
            carrier="LOWER_UP" in entry["flags"],
            addresses=tuple(
                IPv4Interface(f"{address['local']}/{address['prefixlen']}")
                for address in entry.get("addr_info", [])
                if address["family"] == "inet"
            ),
        )
        for entry in json.loads(text or "[]")
        if "ifname" in entry
    ]


def read_links() -> list[Link]:
    """The interfaces of this computer."""
    return parse_links(run(["ip", "-json", "address", "show"], timeout_s=IP_TIMEOUT_S).stdout)


def interface(settings: Settings) -> list[Observation]:
    """Whether the interface is named, exists, is up and has an address."""
    return [judge_interface(settings, read_links())]


def judge_interface(settings: Settings, links: list[Link]) -> Observation:
    """The finding about the machines' interface, from what `ip` says."""
    name = settings.interface
    names = ", ".join(link.name for link in links if link.name != "lo")
    link = next((link for link in links if link.name == name), None)
    address = settings.address or "10.77.0.1/24"
    if not name:
        return _bad("none is named", "未指定", f"Name one of: {names} (--interface NAME).",
                    f"请指定其中一个:{names}(--interface 名称)。")  # fmt: skip
    if link is None:
        return _bad(f"{name} does not exist", f"{name} 不存在", f"Interfaces here: {names}.",
                    f"本机的接口:{names}。")  # fmt: skip
    if not link.up:
        return _bad(f"{name} is down", f"{name} 未启用", f"Run: ip link set {name} up",
                    f"请运行:ip link set {name} up")  # fmt: skip
    if not link.addresses:
        return _bad(f"{name} has no IPv4 address", f"{name} 没有 IPv4 地址",
                    f"Run: ip address add {address} brd + dev {name}",
                    f"请运行:ip address add {address} brd + dev {name}")  # fmt: skip
    words = f"{name} {link.addresses[0]}"
    if not link.carrier:
        return Observation(
            "interface", Level.WARN, WIRE,
            Said(f"{words}, no cable or the switch is off", f"{words},网线未连接或交换机未开"),
            Said("Connect the cable to the workshop's switch.", "请将网线接到车间交换机。"),
        )  # fmt: skip
    return Observation("interface", Level.OK, WIRE, Said(words, words))


def _bad(found_en: str, found_zh: str, cure_en: str, cure_zh: str) -> Observation:
    return Observation(
        "interface", Level.FAIL, WIRE, Said(found_en, found_zh), Said(cure_en, cure_zh)
    )


def dhcp_servers(settings: Settings) -> list[Observation]:
    """Ask for an address on the wire and see who offers one. Nothing is taken."""
    links = read_links()
    link = next((link for link in links if link.name == settings.interface), None)
    if link is None or not link.up or os.geteuid() != 0:
        cure = Said("Put the points above right first.", "请先处理上面的问题。")
        return [Observation("dhcp", Level.WARN, DHCP, Said("not asked", "未检测"), cure)]
    own = {str(address.ip) for one in links for address in one.addresses}
    try:
        offers = [offer for offer in find_servers(link.name) if offer.server not in own]
    except OSError as error:
        words = error.strerror or str(error)
        return [Observation("dhcp", Level.WARN, DHCP, Said(words, words), NOTHING)]
    return [judge_offers(settings.dhcp, offers)]


def judge_offers(mode: DhcpMode, offers: list[Offer]) -> Observation:
    """Nobody else may give addresses when we do; exactly one must when we do not."""
    givers = [offer for offer in offers if offer.address]
    names = ", ".join(f"{offer.server} ({offer.mac})" for offer in offers)
    if mode is DhcpMode.SERVER:
        if not offers:
            return Observation("dhcp", Level.OK, DHCP, Said("none", "无"))
        return Observation(
            "dhcp", Level.FAIL, DHCP, Said(names, names),
            Said("Unplug it from this wire, or let it give the addresses: set dhcp to “proxy”.",
                 "请将其从该网络断开,或由它分配地址:把 dhcp 设为 “proxy”。"),
        )  # fmt: skip
    if len(givers) == 1:
        return Observation("dhcp", Level.OK, DHCP, Said(names, names))
    if not givers:
        return Observation(
            "dhcp", Level.FAIL, DHCP, Said("nobody gives addresses", "没有服务器分配地址"),
            Said("Set dhcp to “server”, or start the other DHCP server.",
                 "请把 dhcp 设为 “server”,或启动另一台 DHCP 服务器。"),
        )  # fmt: skip
    return Observation(
        "dhcp", Level.WARN, DHCP, Said(names, names),
        Said("Several servers give addresses; machines get mixed ones. Leave only one.",
             "多台服务器同时分配地址,请只保留一台。"),
    )  # fmt: skip


def ports(settings: Settings) -> list[Observation]:
    """Whether somebody else holds a port that the station will use."""
    table = [socket for kind in ("udp", "udp6", "tcp", "tcp6") for socket in _sockets(kind)]
    found: list[Observation] = []
    wanted = list(wanted_ports(settings, _own_address(settings)))
    for kind, host, port in wanted:
        holder = listening(table, kind, host, port)
        if holder is None:
            continue
        who = owner(holder.inode) or "?"
        name = f"{kind.upper()} {port}"
        found.append(
            Observation(
                f"port-{kind}-{port}", Level.FAIL, Said(f"Port {name}", f"端口 {name}"),
                Said(f"held by {who}", f"被 {who} 占用"),
                Said(
                    "Stop that program, or change the port. If it is this station's own, the "
                    "station is already running.",
                    "请停止该程序或更换端口;若它属于本系统,说明本系统已在运行。",
                ),
            )
        )  # fmt: skip
    if found:
        return found
    numbers = ", ".join(str(port) for _, _, port in wanted)
    return [Observation("ports", Level.OK, Said("Ports", "端口"),
                        Said(f"free: {numbers}", f"可用:{numbers}"))]  # fmt: skip


def wanted_ports(settings: Settings, address: str) -> Iterator[tuple[str, str, int]]:
    """Protocol, address and number of every port of the station; no address means all."""
    if settings.dhcp is not DhcpMode.OFF:
        yield "udp", "", DHCP_PORT
        yield "udp", address, TFTP_PORT
    if settings.dhcp is DhcpMode.PROXY:
        yield "udp", "", PROXY_PORT
    if settings.serve_time:
        yield "udp", address, NTP_PORT
    yield "tcp", address, settings.machine_port
    yield "udp", address, CAROUSEL_PORT
    if settings.operator_fd is None:
        yield "tcp", settings.operator_host, settings.operator_port


def _own_address(settings: Settings) -> str:
    """The station's address on the machines' wire, or nothing when it is not known."""
    if settings.address is not None:
        return str(settings.address.ip)
    for link in read_links():
        if link.name == settings.interface and link.addresses:
            return str(link.addresses[0].ip)
    return ""


def _sockets(kind: str) -> list[Socket]:
    try:
        return parse_sockets(Path(f"/proc/net/{kind}").read_text(), kind)
    except OSError:
        return []
