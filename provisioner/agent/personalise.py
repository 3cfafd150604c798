"""What makes one installed machine itself: names and keys that no other machine has.

Written into the overlay's upper layer on the state partition, so that they lie over the release
from its first start. A pure list of files first; writing them is one short function.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from provisioner.agent.surroundings import AgentFile
from provisioner.model.order import ImageWork
from provisioner.model.signed import PrivateKey

# Directories of the upper layer hide the mode of the release's own: they must be the same.
FOLDERS = {"etc": 0o755, "etc/ssh": 0o755, "etc/classroom": 0o755, "root": 0o700,
           "root/.ssh": 0o700}  # fmt: skip
HOST_KEY = "etc/ssh/ssh_host_ed25519_key"


@dataclass(frozen=True)
class OwnFile:
    """A file of this machine alone; `secret` ones never appear in the evidence."""

    path: str
    data: bytes
    mode: int = 0o644
    secret: bool = False


@dataclass(frozen=True)
class Identity:
    """The files, and what the station is told about them."""

    files: tuple[OwnFile, ...]
    ssh_host_key: str
    installed_key: str


def make_identity(work: ImageWork, station_url: str, station_key: str) -> Identity:
    """New keys and names for the machine that `work` installs."""
    key, host_key = PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = host_key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = host_key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    agent = AgentFile(
        station_url=station_url, station_key=station_key, machine_key=key.to_hex(),
        asset_tag=work.asset_tag, release=work.release, field_url=work.field_url,
    )  # fmt: skip
    files = [
        OwnFile("etc/machine-id", f"{secrets.token_hex(16)}\n".encode(), 0o444),
        OwnFile("etc/hostname", f"{work.hostname}\n".encode()),
        OwnFile("etc/hosts", hosts(work.hostname).encode()),
        OwnFile(HOST_KEY, private, 0o600, secret=True),
        OwnFile(f"{HOST_KEY}.pub", f"{public} root@{work.hostname}\n".encode()),
        OwnFile("etc/classroom/agent.json", _json(agent), 0o600, secret=True),
    ]
    if work.authorized_key:
        keys = f"{work.authorized_key}\n".encode()
        files.append(OwnFile("root/.ssh/authorized_keys", keys, 0o600))
    return Identity(tuple(files), public, key.public)


def hosts(hostname: str) -> str:
    """/etc/hosts, so that a machine without a network still knows itself."""
    return f"127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost ip6-loopback\n"


def upper_folder(release: str) -> str:
    """Where a release's changes lie on the state partition."""
    return f"overlays/{release}/upper"


def write_identity(state: Path, release: str, identity: Identity) -> None:
    """Make the folders of the state partition and write the machine's own files."""
    upper = state / upper_folder(release)
    for folder in (upper, upper.with_name("work"), state / "home", state / "agent"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
    (state / "agent").chmod(0o700)
    for name, mode in FOLDERS.items():
        (upper / name).mkdir(exist_ok=True)
        (upper / name).chmod(mode)
    for file in identity.files:
        write_file(upper / file.path, file.data, file.mode)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A small file, flushed to the disk; never readable by others even for a moment."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())


def _json(agent: AgentFile) -> bytes:
    return agent.model_dump_json(indent=2).encode() + b"\n"
