"""The station's settings: one typed object, from environment variables and one file.

Each field can be set as PROVISIONER_NAME in the environment, or under its name in
`/etc/classroom-provisioner/settings.yaml` (another file with PROVISIONER_SETTINGS); the
environment wins. `provisioner settings` shows what is in force.
"""

from __future__ import annotations

import os
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from provisioner import asset_tag, yaml_file
from provisioner.errors import ConfigError, nearest

SETTINGS_FILE = Path("/etc/classroom-provisioner/settings.yaml")
# In a checkout the data lies beside the package; an installed package carries it inside.
PROJECT = Path(__file__).resolve().parent.parent


class DhcpMode(StrEnum):
    """Who hands out addresses on the workshop's wire."""

    SERVER = "server"  # we do
    PROXY = "proxy"  # another server does; we add only how to start
    OFF = "off"  # nothing of ours answers DHCP


class Settings(BaseSettings):
    """Everything that differs between two stations."""

    model_config = SettingsConfigDict(env_prefix="PROVISIONER_", frozen=True, extra="forbid")

    state_dir: Path = Field(
        Path("/var/lib/classroom-provisioner"),
        description="database, keys, releases, logs: what must be backed up",
    )
    cache_dir: Path = Field(
        Path("/var/cache/classroom-provisioner"),
        description="downloads and built trees, kept by content; may be deleted",
    )
    parts_dir: Path | None = Field(
        None, description="parts of images beside Debian's; empty means parts/ in the cache"
    )
    images_dir: Path = Field(PROJECT / "images", description="recipes")
    inventories_dir: Path = Field(PROJECT / "inventories", description="one folder a school")
    playbooks_dir: Path = Field(PROJECT / "playbooks", description="Ansible playbooks and roles")
    database_url: str = Field(
        "", description="SQLAlchemy URL; empty means SQLite in the state folder"
    )
    interface: str = Field("", description="the wire the machines hang on, for example enp3s0")
    address: IPv4Interface | None = Field(
        None, description="the station's address on that wire; empty means ask the interface"
    )
    dhcp: DhcpMode = Field(DhcpMode.SERVER, description="server, proxy or off")
    dhcp_first: IPv4Address | None = Field(
        None, description="first address to hand out; empty means the upper half of the network"
    )
    dhcp_last: IPv4Address | None = Field(None, description="last address to hand out")
    machine_port: int = Field(8080, ge=1, le=65535, description="HTTP for machines")
    operator_host: str = Field("127.0.0.1", description="where the dashboard listens")
    operator_port: int = Field(8000, ge=1, le=65535, description="HTTP for people")
    operator_tls: bool = Field(
        False, description="HTTPS for people, with a certificate that the station makes itself"
    )
    operator_fd: int | None = Field(
        None, ge=3, description="an open listening socket for people, passed by who started us"
    )
    language: str = Field("en", pattern="^(en|zh)$", description="first language on screens")
    asset_tag_pattern: Annotated[str, AfterValidator(asset_tag.validated)] = Field(
        "PC-{number:04d}",
        description="how new asset tags are written; {check} at the end adds a check character",
    )
    workshop_name: str = Field(
        "", max_length=80, description="who refurbishes, as printed on labels and certificates"
    )
    workshop_contact: str = Field(
        "", max_length=200, description="telephone or e-mail, as printed on the hand-over pack"
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://[A-Za-z0-9.:\[\]-]{1,200}/?)?$",
        description="the dashboard's address as phones reach it; stands in the labels' QR codes",
    )
    kernel_arguments: str = Field(
        "", pattern=r"^[ -~]*$", description="added to the kernel's command line on machines"
    )
    mirror: str = Field("", description="Debian mirror; empty means the station's own apt sources")
    field_poll_s: float = Field(
        300.0, ge=1, le=3600, description="seconds between two words from a machine in its school"
    )
    field_url: str = Field(
        "",
        pattern=r"^(https://[A-Za-z0-9.:\[\]-]{1,120})?$",
        description="where machines in their schools reach this station, https://NAME:PORT; "
        "empty: only on the workshop's wire",
    )
    field_host: str = Field("0.0.0.0", description="on which address it listens for schools")  # noqa: S104
    field_port: int = Field(8443, ge=1, le=65535, description="HTTPS for machines in schools")
    serve_time: bool = Field(True, description="answer NTP, for machines with a dead clock battery")

    @property
    def releases_dir(self) -> Path:
        return self.state_dir / "releases"

    @property
    def parts_folder(self) -> Path:
        return self.parts_dir or self.cache_dir / "parts"

    @property
    def logs_dir(self) -> Path:
        return self.state_dir / "logs"

    @property
    def packs_dir(self) -> Path:
        """Content packs that were imported: `provisioner.education.packs`."""
        return self.state_dir / "packs"

    @property
    def sqlalchemy_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state_dir / 'station.sqlite3'}"

    @property
    def jobs_url(self) -> str:
        """Where durable jobs are kept: beside our tables, or in the same PostgreSQL."""
        return self.database_url or f"sqlite:///{self.state_dir / 'jobs.sqlite3'}"


def load_settings(**overrides: Any) -> Settings:
    """File, then environment, then `overrides`. Raises ConfigError naming the setting."""
    path = Path(os.environ.get("PROVISIONER_SETTINGS", SETTINGS_FILE))
    values: dict[str, Any] = {}
    if path.exists():
        data, _ = yaml_file.load_plain(path)
        if not isinstance(data, dict):
            raise ConfigError("Settings are “name: value” lines.", file=path)
        values = {k: v for k, v in data.items() if f"PROVISIONER_{k.upper()}" not in os.environ}
    try:
        return Settings(**{**values, **overrides})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        hint = nearest(name, Settings.model_fields) if first["type"] == "extra_forbidden" else ""
        raise ConfigError(first["msg"] + ".", hint, file=path, field=name) from error
