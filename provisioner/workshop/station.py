"""What the parts of a running station share: settings, database, key, catalogue, board."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from provisioner.model.signed import PrivateKey
from provisioner.release.catalog import Catalog
from provisioner.secret_file import secret_file
from provisioner.settings import Settings
from provisioner.store.database import Database
from provisioner.workshop.board import Board

STATION_KEY = "station.key"
SSH_KEY = "ssh_ed25519"
OPERATOR_TOKEN = "operator.token"  # noqa: S105 - the file's name


@dataclass(frozen=True)
class Station:
    """One station. `url` is where machines reach it."""

    settings: Settings
    database: Database
    key: PrivateKey
    catalog: Catalog
    url: str = ""
    board: Board = field(default_factory=Board)
    # Grades as they were computed, by machine and by what they rest on (workshop.grades).
    letters: dict[int, tuple[tuple[int, int], str]] = field(default_factory=dict)
    # Which disk of which machine a wipe has erased, by run; its evidence never changes
    # (documents.impact).
    erased: dict[int, tuple[int, str]] = field(default_factory=dict)

    @property
    def ssh_key_path(self) -> Path:
        return self.settings.state_dir / SSH_KEY

    @property
    def ssh_public_key(self) -> str:
        return self.ssh_key_path.with_suffix(".pub").read_text().strip()


def open_station(settings: Settings, url: str = "") -> Station:
    """Open a station's state folder, making keys and tables the first time."""
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    settings.releases_dir.mkdir(exist_ok=True)
    settings.logs_dir.mkdir(exist_ok=True)
    secret_file(settings.state_dir / STATION_KEY, lambda: PrivateKey.generate().to_hex())
    secret_file(settings.state_dir / OPERATOR_TOKEN, lambda: secrets.token_urlsafe(32))
    _ensure_ssh_key(settings.state_dir / SSH_KEY)
    database = Database(settings.sqlalchemy_url)
    database.migrate()
    key = PrivateKey.from_hex((settings.state_dir / STATION_KEY).read_text())
    return Station(settings, database, key, Catalog(settings.releases_dir), url)


def _ensure_ssh_key(path: Path) -> None:
    def make() -> str:
        key = Ed25519PrivateKey.generate()
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        path.with_suffix(".pub").write_text(f"{public} classroom-provisioner\n")
        return key.private_bytes(
            Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()
        ).decode().rstrip()  # fmt: skip

    secret_file(path, make)
