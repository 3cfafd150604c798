"""What a volunteer answers and fetches on the pages while machines come in."""

from __future__ import annotations

from fastapi.testclient import TestClient

from provisioner.model.hardware import Smbios
from provisioner.model.record import Problem
from provisioner.store.tables import MachineKeyRow, MachineRow
from provisioner.workshop.station import Station
from tests import factories


def a_waiting_machine(station: Station) -> int:
    """A board that nobody knows, with the disk of PC-0001."""
    hardware = factories.make_hardware(
        77, disks=factories.make_hardware(1).disks, smbios=Smbios(system_vendor="<b>Maker</b>")
    )
    with station.database.transaction() as session:
        row = MachineRow(
            milestone="unknown", hardware=hardware.model_dump(mode="json"),
            boot={"surroundings": "live"},
            needs_hand=Problem(kind="who", message="PC-0001?").model_dump(),
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(MachineKeyRow(key="k" * 64, machine_id=row.id, surroundings="live", counter=1))
        return row.id


def test_the_question_who_it_is_is_asked_and_answered(
    browser: TestClient, busy: Station, secret: dict[str, str]
) -> None:
    number = a_waiting_machine(busy)
    assert f'href="/waiting/{number}"' in browser.get("/").text
    page = browser.get(f"/waiting/{number}").text
    assert 'value="PC-0001"' in page and "&lt;b&gt;Maker" in page and "<b>Maker" not in page
    answer = browser.post(
        f"/waiting/{number}", data={**secret, "who": "PC-0001"}, follow_redirects=False
    )
    assert answer.status_code == 303
    assert browser.get(f"/waiting/{number}").status_code == 404
    with busy.database.reading() as session:
        assert session.get_one(MachineKeyRow, "k" * 64).machine_id == 1


def test_the_question_over_the_api(browser: TestClient, busy: Station) -> None:
    number = a_waiting_machine(busy)
    from provisioner.workshop.station import OPERATOR_TOKEN

    token = (busy.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    answer = browser.post(
        f"/api/v1/waiting/{number}/who", json={"tag": None},
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.json() == {"id": number, "asset_tag": ""}
