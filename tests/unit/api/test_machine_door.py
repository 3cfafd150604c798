"""The machines' door over HTTP: real requests, as the agent and the loaders send them."""

from __future__ import annotations

import json
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.machine import MAX_BODY_BYTES, make_machine_app
from provisioner.model.signed import PrivateKey
from provisioner.netboot.settings import NetbootSettings
from provisioner.settings import Settings
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import open_station
from tests.unit.workshop.conftest import open_batch, publish, small_manifest
from tests.unit.workshop.robot import Robot, hardware

MAC = "02:00:00:00:00:01"


class HttpDialogue(Dialogue):
    """The robot's words, carried by HTTP."""

    def __init__(self, client: TestClient) -> None:
        self._client = client

    def register(self, body: bytes, address: str) -> str:
        return self._post("register", body)

    def poll(self, body: bytes, address: str) -> str:
        return self._post("poll", body)

    def record(self, body: bytes, address: str) -> str:
        return self._post("record", body)

    def _post(self, verb: str, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        answer = self._client.post(f"/machine/v1/{verb}", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.text)


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    station = open_station(Settings(state_dir=tmp_path / "state"))
    publish(station, small_manifest())
    open_batch(station)
    live = tmp_path / "live"
    (live / "netboot").mkdir(parents=True)
    (live / "vmlinuz").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "secret").write_text("secret")
    (live / "link").symlink_to(tmp_path / "secret")
    netboot = NetbootSettings(
        interface="eth0",
        station=IPv4Interface("10.77.0.1/24"),
        tftp_root=tmp_path,
        state_dir=tmp_path,
    )
    return TestClient(make_machine_app(station, netboot, live))


def test_a_machine_goes_its_way_over_http(client: TestClient) -> None:
    robot = Robot(HttpDialogue(client), hardware())
    assert robot.register().asset_tag == "PC-0001"
    assert client.get("/boot/boot.ipxe", params={"mac": MAC}).text.count("boot=live") == 1
    verbs = robot.work_until_imaged(small_manifest())
    assert verbs == ["diagnose", "wipe", "image", "restart"]
    assert "boot=live" not in client.get("/boot/boot.ipxe", params={"mac": MAC}).text
    assert "AB12-CD34" in client.get("/boot/grub.cfg", params={"mac": MAC}).text


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'"x"', b"[" * 100_000])
def test_garbage_is_refused_in_one_form(client: TestClient, body: bytes) -> None:
    for verb in ("register", "poll", "record"):
        answer = client.post(f"/machine/v1/{verb}", content=body)
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"


def test_an_endless_request_is_cut_off(client: TestClient) -> None:
    answer = client.post("/machine/v1/register", content=b"x" * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413
    assert f"{MAX_BODY_BYTES} bytes" in answer.json()["detail"]
    assert "64 disks" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("disks", "status", "limit"), [(65, 403, "at most 64"), (10_000, 403, "at most 64"),
                                   (20_000, 413, f"{MAX_BODY_BYTES} bytes")],
)  # fmt: skip
def test_ten_thousand_disks(client: TestClient, disks: int, status: int, limit: str) -> None:
    """A clear refusal that names the limit, and nothing of what was sent."""
    told = hardware().model_dump(mode="json")
    one = {**told["disks"][0], "serial": "S3cret", "model": ""}
    request = {"counter": 1, "hardware": {**told, "disks": [one] * disks},
               "boot": {"surroundings": "live"}}  # fmt: skip
    sealed = PrivateKey.generate().sign("registerrequest", json.dumps(request).encode())
    answer = client.post("/machine/v1/register", content=sealed)
    assert answer.status_code == status
    assert limit in answer.json()["detail"]
    assert "S3cret" not in answer.text and len(answer.text) < 1000


def test_names_of_a_strangers_fields_are_not_repeated(client: TestClient) -> None:
    told = {"\x1b[2J": 1, "boot": {"surroundings": "\x1b[31m"}, "<b>": 2}
    sealed = PrivateKey.generate().sign("registerrequest", json.dumps(told).encode())
    answer = client.post("/machine/v1/register", content=sealed)
    assert answer.status_code == 403
    assert "boot.surroundings" in answer.json()["detail"] or "more" in answer.json()["detail"]
    assert "u001b" not in answer.text and "<b>" not in answer.text


def test_files_are_served_in_ranges(client: TestClient) -> None:
    answer = client.get("/live/vmlinuz", headers={"Range": "bytes=256-259"})
    assert (answer.status_code, answer.content) == (206, bytes([0, 1, 2, 3]))


@pytest.mark.parametrize(
    "path",
    ["/live/../secret", "/live/%2e%2e/secret", "/live/link", "/live/", "/live/netboot",
     "/releases/lab@2026.1/../../station.key", "/releases/lab@2026.1/%2e%2e/%2e%2e/station.key",
     "/releases/other@2026.1/vmlinuz", "/releases/..%2f/station.key"],
)  # fmt: skip
def test_nothing_outside_the_folders_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert "secret" not in answer.text.replace("/secret", "").replace("“../secret”", "")


@pytest.mark.parametrize("mac", ["x", "02:00:00:00:00:01; reboot", "${net}", ""])
def test_a_loader_that_talks_nonsense_gets_no_script(client: TestClient, mac: str) -> None:
    assert client.get("/boot/boot.ipxe", params={"mac": mac}).status_code >= 400


def test_the_length_is_named_as_grub_reads_it(client: TestClient) -> None:
    """GRUB compares letter by letter; what goes over the wire counts, not what a client shows."""
    answer = client.get("/live/vmlinuz")
    assert (b"Content-Length", b"2560") in answer.headers.raw


@pytest.mark.parametrize("query", ["", "?info_hash=%ff", "?info_hash=x&port=-1", "?" + "a" * 9999])
def test_the_tracker_answers_nonsense_with_a_reason(client: TestClient, query: str) -> None:
    answer = client.get(f"/announce{query}")
    assert answer.status_code == 200
    assert answer.content.startswith(b"d14:failure reason")


def test_machines_of_the_wire_find_each_other(client: TestClient) -> None:
    asked = "/announce?info_hash=" + "%ff" * 20 + "&port=6881"
    for last, told in ((2, b"5:peers0:"), (3, b"5:peers6:\x0a\x4d\x00\x02\x1a\xe1")):
        machine = TestClient(client.app, client=(f"10.77.0.{last}", 50_000))
        answer = machine.get(asked)
        assert answer.status_code == 200
        assert told in answer.content


def test_patches_lie_beside_the_releases(client: TestClient, tmp_path: Path) -> None:
    folder = tmp_path / "state/patches/lab@2029.2"
    folder.mkdir(parents=True)
    (folder / "lab@2029.1.patch").write_bytes(b"0123456789")
    url = "/patches/lab@2029.2"
    answer = client.get(f"{url}/lab@2029.1.patch", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content) == (206, b"234")
    for absent in (f"{url}/lab@2028.1.patch", f"{url}/..%2f..%2f..%2fsecret", "/patches/x/y"):
        assert client.get(absent).status_code in (404, 422)
