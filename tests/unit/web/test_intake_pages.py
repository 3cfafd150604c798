"""What a volunteer answers and fetches on the pages while machines come in."""

from __future__ import annotations

import hashlib

import pytest
from fastapi.testclient import TestClient

from provisioner.api import reading
from provisioner.documents.certificates import verify
from provisioner.model.grade import CHECKLIST
from provisioner.model.hardware import Smbios
from provisioner.model.record import Problem
from provisioner.store.tables import MachineKeyRow, MachineRow
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import OPERATOR_TOKEN, Station
from tests import factories
from tests.paper_factory import make_pc, send_through
from tests.unit.workshop.conftest import open_batch, publish, small_manifest


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
    token = (busy.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    answer = browser.post(
        f"/api/v1/waiting/{number}/who", json={"tag": None},
        headers={"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    assert answer.json() == {"id": number, "asset_tag": ""}


@pytest.fixture
def erased(station: Station) -> Station:
    """The same station with a machine that went through diagnosis and wipe, PC-0001."""
    publish(station, small_manifest())
    open_batch(station, "intake")
    send_through(Dialogue(station), make_pc(1))
    return station


@pytest.mark.parametrize("language", ["en", "zh"])
def test_labels_certificates_and_grade_on_the_pages(
    browser: TestClient, erased: Station, secret: dict[str, str], language: str
) -> None:
    browser.get(f"/?lang={language}")
    form = {**secret, "donor": "A & B <Co>", "verified_by": "Chen"}
    for address in ("/machines/PC-0001", "/batches/intake"):
        answer = browser.post(f"{address}/certificate", data=form, follow_redirects=False)
        assert answer.status_code == 303, answer.text
    machine, batch = browser.get("/machines/PC-0001").text, browser.get("/batches/intake").text
    assert '"/certificates/W-000001/pdf"' in machine and "B-000002" not in machine
    assert '"/certificates/B-000002/disks.csv"' in batch
    for address in ("/machines/PC-0001/label", "/batches/intake/labels",
                    "/certificates/W-000001/pdf", "/certificates/B-000002/pdf"):  # fmt: skip
        answer = browser.get(address)
        assert answer.content.startswith(b"%PDF-"), address
        assert "attachment" in answer.headers["content-disposition"]
    assert verify(browser.get("/certificates/W-000001").content, erased.key.public)
    assert "WD-WCC2E000001" in browser.get("/certificates/B-000002/disks.csv").text
    assert browser.get("/certificates/W-000001/disks.csv").status_code == 409
    assert browser.get("/certificates/W-999999/pdf").status_code == 404


def test_a_person_grades_and_fills_in_the_checklist(
    browser: TestClient, erased: Station, secret: dict[str, str]
) -> None:
    page = browser.get("/machines/PC-0001/checklist").text
    assert "USB" in page and "checked" not in page
    answers = dict.fromkeys(CHECKLIST, "good") | {"sound": "none", "evil": "x"}
    browser.post("/machines/PC-0001/checklist", data={**secret, **answers})
    assert "Grade A" in browser.get("/machines/PC-0001").text
    assert browser.get("/machines/PC-0001/checklist").text.count("checked") == len(CHECKLIST)
    change = {**secret, "letter": "C", "reason": "<i>cracked</i>"}
    browser.post("/machines/PC-0001/grade", data=change)
    page = browser.get("/machines/PC-0001").text
    assert "Grade C" in page and "&lt;i&gt;cracked" in page and "<i>cracked" not in page
    refused = browser.post("/machines/PC-0001/grade", data={**change, "letter": "Z"})
    assert refused.status_code == 409


def test_a_form_of_another_site_issues_nothing(browser: TestClient, erased: Station) -> None:
    for path in ("machines/PC-0001/certificate", "batches/intake/certificate",
                 "machines/PC-0001/grade", "machines/PC-0001/checklist"):  # fmt: skip
        assert browser.post(f"/{path}", data={"donor": "x"}).status_code == 403
    assert not (erased.settings.state_dir / "certificates").exists()


def test_the_same_over_the_api(browser: TestClient, erased: Station) -> None:
    token = (erased.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
    ask = {"headers": {"Authorization": f"Bearer {token}"}}
    api = "/api/v1"
    made = browser.post(f"{api}/machines/PC-0001/certificate", json={"donor": "X"}, **ask)
    assert made.status_code == 201
    file = browser.get(f"{api}/certificates/{made.json()['number']}", **ask)
    assert hashlib.sha256(file.content.rstrip(b"\n")).hexdigest() == made.json()["sha256"]
    pdf = browser.get(f"{api}/certificates/W-000001/pdf?language=zh", **ask)
    assert pdf.content.startswith(b"%PDF-")
    assert browser.get(f"{api}/machines/PC-0001/label?form=sheet", **ask).status_code == 200
    change = {"letter": "D", "reason": "burnt"}
    assert browser.post(f"{api}/machines/PC-0001/grade", json=change, **ask).json()["letter"] == "D"
    looked = {"found": {"screen": "bad"}}
    answer = browser.post(f"{api}/machines/PC-0001/checklist", json=looked, **ask).json()
    assert (answer["letter"], answer["looked"]) == ("D", {"screen": "bad"})
    assert browser.get(f"{api}/certificates/W-000001").status_code == 401


def test_a_batch_may_demand_a_purge_and_thorough_tests(
    browser: TestClient, station: Station, secret: dict[str, str]
) -> None:
    form = {**secret, "name": "deep", "school": factories.SCHOOL, "release": "education",
            "size": "3", "disk": "only", "wipe_level": "purge", "diagnose": "thorough"}  # fmt: skip
    assert browser.post("/batches", data=form, follow_redirects=False).status_code == 303
    with station.database.reading() as session:
        policy = reading.batch(session, "deep").policy
    assert (policy.wipe_level, policy.diagnose) == ("purge", "thorough")
    wrong = browser.post("/batches", data={**form, "name": "x", "wipe_level": "perhaps"})
    assert wrong.status_code == 422
