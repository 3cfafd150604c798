"""`provisioner serve --tls`: the real program with the certificate that it makes, seen by a TLS
client that trusts that certificate and nothing else, and by Chromium."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3
from playwright.sync_api import Browser, Error, expect

from provisioner.model.release import ReleaseKind
from provisioner.release.manifest import list_files, write_manifest
from provisioner.run import run
from provisioner.settings import PROJECT, Settings
from provisioner.workshop.station import open_station
from tests import factories
from tests.people import PASSWORD

pytestmark = [
    pytest.mark.web,
    pytest.mark.skipif(os.geteuid() != 0, reason="the station serves as root"),
]
START_S, STOP_S = 240.0, 60.0


@dataclass(frozen=True)
class Secure:
    """A station that serves over TLS on loopback."""

    state: Path
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def certificate(self) -> Path:
        return self.state / "tls/dashboard.pem"


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("tls")
    state, ports = folder / "state", [_free_port(), _free_port()]
    _publish_live(state)
    words = [sys.executable, "-m", "provisioner", "--state-dir", str(state), "serve", "--tls",
             "--interface", "lo", "--address", "127.0.0.1/8", "--dhcp", "off",
             "--machine-port", str(ports[0]), "--operator-port", str(ports[1])]  # fmt: skip
    made = Secure(state, ports[1], folder / "log")
    environment = {**os.environ, "PROVISIONER_SERVE_TIME": "false"}
    with made.log.open("wb") as log:
        served = subprocess.Popen(words, cwd=PROJECT, stdout=log, stderr=log, env=environment)
    try:
        until = time.monotonic() + START_S
        while "log in once" not in made.log.read_text():
            assert served.poll() is None and time.monotonic() < until, made.log.read_text()
            time.sleep(0.1)
        yield made
    finally:
        served.send_signal(signal.SIGTERM)
        served.wait(STOP_S)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def _publish_live(state: Path) -> None:
    """A live environment of a few bytes, signed: machines are not what is tested here."""
    station = open_station(Settings(state_dir=state))
    manifest = factories.make_manifest(name="live", kind=ReleaseKind.LIVE)
    folder = station.settings.releases_dir / manifest.id
    (folder / "netboot").mkdir(parents=True)
    for name in ("vmlinuz", "initrd.img", "netboot/undionly.kpxe"):
        (folder / name).write_bytes(name.encode())
    files = {"files": list_files(folder)}
    write_manifest(folder, manifest.model_copy(update=files), station.key)
    station.database.close()


def test_a_client_that_trusts_the_stations_certificate_comes_in(secure: Secure) -> None:
    trusting = ssl.create_default_context(cafile=str(secure.certificate))
    with urllib3.PoolManager(ssl_context=trusting, retries=False) as pool:
        for host in ("127.0.0.1", "localhost"):
            answer = pool.request("GET", f"https://{host}:{secure.port}/healthz", timeout=30)
            assert answer.status == 200
    with (
        urllib3.PoolManager(retries=False) as stranger,
        pytest.raises(urllib3.exceptions.SSLError, match="self-signed"),
    ):
        stranger.request("GET", f"{secure.url}/healthz", timeout=30)


def test_curl_comes_in_with_the_certificate_and_not_without(secure: Secure) -> None:
    words = ["curl", "--silent", "--fail", f"{secure.url}/healthz"]
    done = run([*words, "--cacert", str(secure.certificate)], timeout_s=60)
    assert "ok" in done.stdout or "{" in done.stdout
    refused = subprocess.run(words, capture_output=True, timeout=60, check=False)
    assert refused.returncode == 60  # curl's own number for a certificate that is not trusted


def test_the_console_prints_what_a_browser_shows(secure: Secure) -> None:
    served = ssl.get_server_certificate(("127.0.0.1", secure.port), timeout=30)
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(served)).digest().hex(":").upper()
    said = secure.log.read_text()
    assert f"certificate has the SHA-256 {digest}" in said
    assert "PRIVATE" not in said


def test_nothing_is_answered_without_tls(secure: Secure) -> None:
    with (
        urllib3.PoolManager(retries=False) as pool,
        pytest.raises(urllib3.exceptions.HTTPError),
    ):
        pool.request("GET", f"http://127.0.0.1:{secure.port}/healthz", timeout=30)


def test_the_first_administrator_comes_in_with_chromium(chromium: Browser, secure: Secure) -> None:
    said = secure.log.read_text()
    address = said.partition("administrator at ")[2].split()[0]
    assert address.startswith(f"{secure.url}/login#")
    stranger = chromium.new_page()
    with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
        stranger.goto(secure.url)
    stranger.close()
    # As after the warning, when somebody has compared the SHA-256.
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(address)
    page.wait_for_url("**/account")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    expect(page.locator("h1")).to_have_text("Today")
    assert page.evaluate("window.isSecureContext")
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert all(cookie["secure"] and cookie["httpOnly"] for name, cookie in cookies.items()
               if name == "provisioner_session")  # fmt: skip
    assert "provisioner_session" in cookies
    context.close()
