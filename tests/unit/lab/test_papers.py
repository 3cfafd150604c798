"""The lab's papers come through the operator's door: here the real one, of a finished workshop."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from provisioner.api.operator import make_operator_app
from provisioner.documents.certificates import verify
from provisioner.lab.papers import DONOR, write_certificates, write_passports
from provisioner.model.certificate import BatchCertificate
from provisioner.workshop.station import OPERATOR_TOKEN
from tests.paper_factory import BATCH, make_workshop


class ClientDoor:
    def __init__(self, client: TestClient) -> None:
        self._client = client

    def get(self, path: str, **query: str) -> Any:
        return self._client.get(f"/api/v1/{path}", params=query).json()

    def get_text(self, path: str) -> str:
        return str(self._client.get(f"/api/v1/{path}").text)

    def get_bytes(self, path: str) -> bytes:
        return bytes(self._client.get(f"/api/v1/{path}").content)

    def post(self, path: str, body: Any = None) -> Any:
        answer = self._client.post(f"/api/v1/{path}", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()


def test_each_machine_and_the_donor_get_what_can_be_checked(tmp_path: Path) -> None:
    station = make_workshop(tmp_path, machines=2)
    token = (station.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    client = TestClient(make_operator_app(station), headers={"Authorization": f"Bearer {token}"})
    door, folder, tags = ClientDoor(client), tmp_path / "papers", ["PC-0001", "PC-0002"]
    write_passports(door, tags, folder)
    papers = write_certificates(door, tags, BATCH, folder)
    assert [paper["about"] for paper in papers] == [*tags, BATCH]
    for paper in papers:
        content = Path(paper["file"]).read_bytes()
        assert hashlib.sha256(content.rstrip(b"\n")).hexdigest() == paper["sha256"]
        assert Path(paper["file"]).with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    donors = verify(content, station.key.public)
    assert isinstance(donors, BatchCertificate) and donors.paper.donor == DONOR
    assert (folder / "PC-0002.json").is_file()
    station.database.close()
