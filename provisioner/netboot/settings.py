"""What netboot needs to know: the wire, the station's address on it, and who gives addresses."""

from __future__ import annotations

from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from provisioner.model.base import Model

# The kernel's own limit is 15 characters (IFNAMSIZ); the alphabet keeps them safe in a file.
InterfaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class DhcpMode(StrEnum):
    """`server`: we give the addresses. `proxy`: another server does, we only add the boot file."""

    SERVER = "server"
    PROXY = "proxy"


class NetbootSettings(Model):
    """One interface of the station, offered for netboot."""

    interface: InterfaceName
    station: IPv4Interface
    mode: DhcpMode = DhcpMode.SERVER
    first_address: IPv4Address | None = None
    last_address: IPv4Address | None = None
    lease_hours: int = Field(default=12, ge=1, le=168)
    http_port: int = Field(default=8080, ge=1, le=65535)
    tftp_root: Path
    state_dir: Path
    user: UserName = "dnsmasq"

    @property
    def station_url(self) -> str:
        """The machine-facing HTTP server, without a slash at the end."""
        return f"http://{self.station.ip}:{self.http_port}"

    @property
    def lease_file(self) -> Path:
        return self.state_dir / "dnsmasq.leases"

    @property
    def address_range(self) -> tuple[IPv4Address, IPv4Address]:
        """First and last address for machines: as set, or the upper part of the network."""
        return (
            self.first_address or _part(self.station, 0.4),
            self.last_address or _part(self.station, 0.98),
        )

    @model_validator(mode="after")
    def _range_is_in_the_network(self) -> NetbootSettings:
        first, last = self.address_range
        network = self.station.network
        if network.num_addresses < 8:
            raise ValueError(f"the network {network} is too small for machines")
        if first not in network or last not in network:
            raise ValueError(f"the range {first} to {last} is not inside {network}")
        if first > last:
            raise ValueError(f"the range ends ({last}) before it begins ({first})")
        if first <= self.station.ip <= last:
            raise ValueError(f"the range {first} to {last} holds the station's own address")
        return self


def _part(station: IPv4Interface, share: float) -> IPv4Address:
    network = station.network
    return network.network_address + max(1, int(network.num_addresses * share))
