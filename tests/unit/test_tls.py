"""The station's own certificate: for its addresses, kept, and made anew when it must be."""

from __future__ import annotations

import ssl
from ipaddress import IPv4Interface
from pathlib import Path

from cryptography import x509

from provisioner.settings import Settings
from provisioner.tls import station_certificate


def test_it_is_made_once_and_fits_the_addresses(tmp_path: Path) -> None:
    settings = Settings(
        state_dir=tmp_path, operator_host="0.0.0.0", address=IPv4Interface("10.77.0.1/24"),
        public_url="https://bench.local:8443/",
    )  # fmt: skip
    made = station_certificate(settings)
    assert made == station_certificate(settings)
    assert made.key.stat().st_mode & 0o077 == 0
    found = x509.load_pem_x509_certificate(made.certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    dns, numbers = (names.get_values_for_type(kind) for kind in (x509.DNSName, x509.IPAddress))
    assert {"localhost", "bench.local"} <= set(dns)
    assert {"10.77.0.1", "127.0.0.1"} == {str(number) for number in numbers}
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(made.certificate, made.key)


def test_another_address_or_a_broken_file_means_a_new_one(tmp_path: Path) -> None:
    first = station_certificate(Settings(state_dir=tmp_path))
    other = station_certificate(Settings(state_dir=tmp_path, operator_host="10.0.0.9"))
    assert first.fingerprint != other.fingerprint
    other.certificate.write_text("rubbish")
    assert station_certificate(Settings(state_dir=tmp_path)).fingerprint.count(":") == 31
