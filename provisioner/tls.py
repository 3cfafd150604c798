"""The station's own certificates: made by itself, for the dashboard and for machines in schools.

There is no authority in a workshop. A browser warns once; whoever compares the SHA-256 that the
console prints with what the browser shows has made sure that it is the station.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from provisioner.secret_file import secret_file
from provisioner.settings import Settings

# Browsers refuse longer ones (CA/Browser Forum ballot 193: 825 days); a new one comes in time.
DAYS, RENEW_BEFORE = 820, 30
FIELD_DAYS = 60 * 365  # machines do not look at it
# Dead clock batteries: what begins today may lie in the future for a phone.
BACKDATED = timedelta(days=2)
FOLDER = "tls"
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Certificate:
    """Where certificate and key lie, and what a person compares."""

    certificate: Path
    key: Path
    fingerprint: str


def station_certificate(settings: Settings) -> Certificate:
    """The certificate for the dashboard's address; made anew when it ends soon or does not fit."""
    key, key_path, path = _own_key(settings, "dashboard")
    names = _names(settings)
    found = _read(path)
    if found is None or not _fits(found, key, names):
        found = _make(key, names, DAYS)
        path.write_bytes(found.public_bytes(serialization.Encoding.PEM))
    return _shown(found, path, key_path)


def field_certificate(settings: Settings) -> Certificate:
    """The certificate that machines in schools know by its SHA-256: made once and kept for good,
    because a machine that is told of another one would have to be told over this very line."""
    key, key_path, path = _own_key(settings, "field")
    made = secret_file(
        path,
        lambda: _make(key, ["station"], FIELD_DAYS).public_bytes(_PEM).decode(),
    )
    return _shown(x509.load_pem_x509_certificate(made.encode()), path, key_path)


def _own_key(settings: Settings, name: str) -> tuple[ec.EllipticCurvePrivateKey, Path, Path]:
    folder = settings.state_dir / FOLDER
    folder.mkdir(exist_ok=True, mode=0o700)
    key_path = folder / f"{name}.key"
    key = serialization.load_pem_private_key(
        secret_file(key_path, _new_key).encode(), password=None
    )
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key, key_path, folder / f"{name}.pem"


def _shown(found: x509.Certificate, path: Path, key_path: Path) -> Certificate:
    return Certificate(path, key_path, found.fingerprint(hashes.SHA256()).hex(":").upper())


def _names(settings: Settings) -> list[str]:
    outside = settings.public_url.partition("://")[2].strip("/").rpartition(":")[0]
    own = [settings.operator_host, "127.0.0.1", "localhost", socket.gethostname()]
    wire = [str(settings.address.ip)] if settings.address else []
    found = [name.strip("[]") for name in (*own, *wire, outside) if name]
    return sorted({name for name in found if name not in ("0.0.0.0", "::")})  # noqa: S104


def _make(key: ec.EllipticCurvePrivateKey, names: list[str], days: int) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Classroom Provisioner")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([_alternative(one) for one in names]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )


def _fits(found: x509.Certificate, key: ec.EllipticCurvePrivateKey, names: list[str]) -> bool:
    kept = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ends = found.not_valid_after_utc - timedelta(days=RENEW_BEFORE)
    return (
        found.public_key() == key.public_key()
        and set(kept) == {_alternative(name) for name in names}
        and datetime.now(UTC) < ends
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _read(path: Path) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return None


def _new_key() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )
