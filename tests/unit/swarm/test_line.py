"""The closed line from a school: one certificate counts, and neither names nor dates."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from provisioner.agent.client import StationClient
from provisioner.agent.memory import Counter
from provisioner.agent.shelf import Shelf
from provisioner.agent.surroundings import Home, Line
from provisioner.errors import NotFoundError, UnreachableError, UntrustedError
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.settings import Settings
from provisioner.swarm.fetch import HttpCarrier
from provisioner.swarm.line import open_pool, pinned, plain
from provisioner.tls import field_certificate

OTHER = "ab" * 32


def give_up(error: UnreachableError, _pause_s: float) -> None:
    raise error


@pytest.fixture
def door(tmp_path: Path) -> Iterator[str]:
    """A station's door for schools; its address with the certificate."""
    papers = field_certificate(Settings(state_dir=tmp_path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    (tmp_path / "vmlinuz").write_bytes(b"kernel")
    with Shelf(tmp_path) as shelf:
        server = shelf._server
        server.socket = context.wrap_socket(server.socket, server_side=True)
        yield pinned(shelf.url.replace("http:", "https:"), papers.fingerprint)


def test_the_address_carries_the_certificate_and_nobody_sees_it(door: str) -> None:
    assert plain(door).startswith("https://127.0.0.1:")
    assert plain("http://10.77.0.1:8080/x") == "http://10.77.0.1:8080/x"
    assert HttpCarrier(f"{door}/", give_up).read("vmlinuz", 100) == b"kernel"
    with pytest.raises(NotFoundError):
        HttpCarrier(door, give_up).read("nothing", 100)


def test_somebody_with_another_certificate_is_not_spoken_to(door: str) -> None:
    other = pinned(plain(door), OTHER)
    with pytest.raises(UnreachableError):
        HttpCarrier(other, give_up).read("vmlinuz", 100)
    with pytest.raises(urllib3.exceptions.SSLError):
        open_pool(other).request("GET", f"{plain(door)}/vmlinuz")


@pytest.mark.parametrize("url", ["https://station.example", "https://me@station.example"])
def test_an_https_address_without_a_certificate_is_none(url: str) -> None:
    with pytest.raises(UntrustedError):
        open_pool(url)


def test_the_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert field_certificate(settings) == field_certificate(settings)
    assert (tmp_path / "tls/field.key").stat().st_mode & 0o077 == 0


def test_where_nobody_answers_the_other_way_is_tried_next(door: str) -> None:
    home = Home(
        Surroundings.INSTALLED, "http://127.0.0.1:9", PrivateKey.generate().public,
        PrivateKey.generate(), line=Line("http://127.0.0.1:9", door),
    )  # fmt: skip
    client = StationClient(home, Counter())
    with pytest.raises(UnreachableError):
        client.poll(None)
    assert home.line.url == door
    with pytest.raises(Exception, match="403"):  # a shelf, which is no station
        client.poll(None)
    assert home.line.url == "http://127.0.0.1:9"


def test_a_machine_without_another_way_stays_where_it_is() -> None:
    home = Home(Surroundings.INSTALLED, "http://10.77.0.1:8080", "", PrivateKey.generate())
    home.line.turn()
    assert home.line.url == "http://10.77.0.1:8080"
