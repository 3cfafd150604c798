"""Schools, releases, donors, the journal, a batch in three steps: what people do on their pages."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from provisioner.web import make_operator_side
from provisioner.web.forms import parse_multipart
from provisioner.web.provinces import PROVINCES, province_of
from provisioner.web.schools import next_summer
from provisioner.workshop import giving, school_desk
from provisioner.workshop.station import Station
from tests import factories, people
from tests.factories import BATCH, SCHOOL

Form = dict[str, str]


@pytest.fixture
def own(busy: Station, tmp_path: Path) -> Iterator[tuple[Station, TestClient, Form]]:
    """A station with schools of its own, and somebody who looks after them."""
    shutil.copytree(busy.settings.inventories_dir, tmp_path / "inventories")
    settings = busy.settings.model_copy(update={"inventories_dir": tmp_path / "inventories"})
    station = Station(settings, busy.database, busy.key, busy.catalog, board=busy.board)
    cookie = people.log_in(station, Role.ORGANISER, login="mei", schools=(SCHOOL,))
    with TestClient(make_operator_side(station), cookies={SESSION_COOKIE: cookie}) as client:
        yield station, client, people.secret_of(cookie)


def test_the_map_holds_all_units_once_and_finds_a_schools() -> None:
    assert len(PROVINCES) == len({one.code for one in PROVINCES}) == 34
    assert len({(one.column, one.row) for one in PROVINCES}) == 34
    for name, code in (("Xinjiang", "XJ"), ("北京市", "BJ"), ("inner mongolia", "NM"),
                       ("陕西省", "SN"), ("Shanxi", "SX")):  # fmt: skip
        found = province_of(name)
        assert found is not None and found.code == code
    assert province_of("Atlantis") is province_of("") is None


def test_schools_are_listed_mapped_and_filtered(browser: TestClient, busy: Station) -> None:
    page = browser.get("/schools?lang=zh").text
    assert page.count('class="unit') == 34
    assert "新疆：2 所学校" in page and "高山牧场寄宿学校" in page
    only = browser.get("/schools?province=BJ").text
    assert "New Shoots" not in only  # the language lasts
    assert "新芽学校" in only and "高山牧场" not in only.split("<table")[1]
    assert browser.get("/schools?until=x").status_code == 422


def test_what_must_be_renewed_by_summer(
    own: tuple[Station, TestClient, Form], secret: Form, browser: TestClient
) -> None:
    _, organiser, form = own
    lease = {"begins": "2024-06-01", "ends": "2027-06-01"}
    answer = organiser.post(f"/schools/{SCHOOL}/lease", data={**lease, **form})
    assert answer.status_code == 200 and "2027-06-01" in answer.text
    wrong = {"begins": "2027-06-01", "ends": "2024-06-01"}
    assert organiser.post(f"/schools/{SCHOOL}/lease", data={**wrong, **form}).status_code == 409
    assert organiser.post("/schools/high-pasture/lease", data={**lease, **form}).status_code == 403
    shown = organiser.get("/schools?until=2027-07-31").text.split("<table")[1]
    assert "New Shoots" in shown and "High Pasture" not in shown
    assert "New Shoots" not in organiser.get("/schools?until=2027-01-31").text.split("<table")[1]


def test_the_next_summer() -> None:
    from datetime import date

    assert next_summer(date(2026, 11, 23)) == date(2027, 7, 31)
    assert next_summer(date(2027, 7, 31)) == date(2027, 7, 31)


def test_a_schools_file_is_edited(own: tuple[Station, TestClient, Form]) -> None:
    station, organiser, form = own
    kept = school_desk.read_file(station, SCHOOL)
    page = organiser.get(f"/schools/{SCHOOL}/edit").text
    assert "新芽学校" in page and kept.digest in page
    wrong = {"text": kept.text.replace("layout: cn", "layout: xx"), "digest": kept.digest, **form}
    checked = organiser.post(f"/schools/{SCHOOL}/check", data=wrong)
    assert "xx" in checked.text and "data-line" in checked.text and "/tmp" not in checked.text
    assert organiser.post(f"/schools/{SCHOOL}/compare", data=wrong).status_code == 422
    right = {"text": kept.text.replace("layout: cn", "layout: us"), "digest": kept.digest, **form}
    compared = organiser.post(f"/schools/{SCHOOL}/compare", data=right).text
    assert "<del>-  layout: cn</del>" in compared and "<ins>+  layout: us</ins>" in compared
    assert school_desk.read_file(station, SCHOOL).text == kept.text
    assert organiser.post(f"/schools/{SCHOOL}/edit", data=right).status_code == 200
    assert "layout: us" in school_desk.read_file(station, SCHOOL).text
    assert organiser.post(f"/schools/{SCHOOL}/edit", data=right).status_code == 409
    for address in ("check", "compare", "edit"):
        answer = organiser.post(f"/schools/high-pasture/{address}", data=right)
        assert answer.status_code == 403
    assert organiser.get("/schools/high-pasture/edit").status_code == 403


def test_no_vault_is_ever_shown(own: tuple[Station, TestClient, Form]) -> None:
    station, organiser, _ = own
    (station.settings.inventories_dir / SCHOOL / "vault.yml").write_text("vault_secret: horse\n")
    for address in (f"/schools/{SCHOOL}", f"/schools/{SCHOOL}/edit", f"/schools/{SCHOOL}/vault.yml",
                    f"/schools/{SCHOOL}/school.yml"):  # fmt: skip
        assert "horse" not in organiser.get(address).text


def test_a_batch_in_three_steps(browser: TestClient, station: Station, secret: Form) -> None:
    first = browser.get("/batches/new").text
    assert 'name="school"' in first and 'name="release"' not in first
    second = browser.get(f"/batches/new?school={SCHOOL}").text
    assert 'name="release" value="education@2026.1" required checked' in second
    third = browser.get(f"/batches/new?school={SCHOOL}&release=education@2026.1").text
    assert 'name="size" type="number" min="1" max="1000" required value="25"' in third


def test_a_withdrawn_release_is_not_offered(
    browser: TestClient, station: Station, secret: Form
) -> None:
    path = "/releases/education@2026.1/standing"
    assert browser.post(path, data={"standing": "withdrawn", **secret}).status_code == 409
    said = {"standing": "withdrawn", "reason": "<b>sound</b>", **secret}
    assert "&lt;b&gt;sound" in browser.post(path, data=said).text
    assert 'value="education' not in browser.get(f"/batches/new?school={SCHOOL}").text
    plan = {"name": "b1", "school": SCHOOL, "release": "education@2026.1", "size": "3"}
    answer = browser.post("/batches", data={**plan, **secret})
    assert answer.status_code == 409 and "withdrawn" in answer.text
    browser.post(path, data={"standing": "promoted", **secret})
    assert browser.post("/batches", data={**plan, **secret}).url.path == "/batches/b1"


def test_donors_receipts_and_reports(browser: TestClient, busy: Station, secret: Form) -> None:
    name = "<i>ACME</i>"
    browser.post("/donors", data={"name": name, **secret})
    assert browser.post("/donors", data={"name": name, **secret}).status_code == 409
    browser.post(f"/batches/{BATCH}/donor", data={"donor": name, **secret})
    paper = {"number": "7", "factory": "Green Works", "kilograms": "12.5",
             "weighed_on": "2026-10-02", "donor": name}  # fmt: skip
    browser.post("/receipts", data={**paper, **secret})
    assert browser.post("/receipts", data={**paper, **secret}).status_code == 409
    page = browser.get("/donors").text
    assert "&lt;i&gt;ACME" in page and name not in page and "12.5 kg" in page
    rows = list(csv.reader(io.StringIO(browser.get("/impact.csv").text.removeprefix("\ufeff"))))
    assert rows[1][:2] == [name, "8"]
    book = browser.get("/impact.xlsx", params={"donor": name})
    assert book.content.startswith(b"PK") and "spreadsheetml" in book.headers["content-type"]
    assert browser.get("/impact.csv?donor=nobody").status_code == 404


def test_the_journal_is_exported_as_it_is_filtered(browser: TestClient, busy: Station) -> None:
    text = browser.get("/journal.csv?kind=run-failed&lang=en").text
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row[4] for row in rows[1:]] == ["PC-0004"]
    assert rows[1][6].startswith("image failed: The disk Samsung")
    assert len(browser.get("/journal.csv?actor=station").text.splitlines()) > 5
    assert len(browser.get("/journal.csv?day=2001-01-01").text.splitlines()) == 1
    for day in ("nonsense", "0001-01-01", "9999-12-31"):
        assert browser.get(f"/journal?day={day}").status_code == 200


def test_a_photo_of_the_label(browser: TestClient, busy: Station, secret: Form) -> None:
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "navy").save(out, "PNG")
    files = {"photo": ("label.png", out.getvalue(), "image/png")}
    path = "/machines/PC-0001/photo"
    assert browser.get(path).status_code == 404
    assert browser.post(path, files=files).status_code == 403
    assert browser.post(path, data=secret, files={"photo": ("a", b"<svg>")}).status_code == 409
    assert browser.post(path, data=secret, files=files).status_code == 200
    kept = browser.get(path)
    assert kept.headers["content-type"] == "image/jpeg" and kept.content[:2] == b"\xff\xd8"
    assert 'alt="Photo of the maker' in browser.get("/machines/PC-0001").text


def test_files_come_through_a_form_byte_for_byte() -> None:
    content = bytes(range(256)) * 3 + b"\r\n--X\r\n--"
    body = (b'--XyZ\r\nContent-Disposition: form-data; name="a"\r\n\r\none\r\n'
            b'--XyZ\r\nContent-Disposition: form-data; name="f"; filename="g"\r\n'
            b"Content-Type: image/png\r\n\r\n" + content + b"\r\n--XyZ--\r\n")  # fmt: skip
    fields, files = parse_multipart(body, "multipart/form-data; boundary=XyZ")
    assert fields == {"a": "one"} and files == {"f": content}
    assert parse_multipart(b"", "multipart/form-data; boundary=X") == ({}, {})


def test_two_people_press_the_same_button(browser: TestClient, busy: Station, secret: Form) -> None:
    page = browser.get("/machines/PC-0004").text
    seen = re.search(r'name="seen" value="(\d+)"', page)
    assert seen is not None
    cookie = people.log_in(busy, Role.VOLUNTEER)
    with TestClient(make_operator_side(busy), cookies={SESSION_COOKIE: cookie}) as other:
        path, form = "/machines/PC-0004/try-again", {"seen": seen[1]}
        assert other.post(path, data={**form, **people.secret_of(cookie)}).status_code == 200
        told = browser.post(path, data={**form, **secret})
    assert told.status_code == 409 and "Meanwhile volunteer has done something" in told.text


def test_a_grade_is_on_the_tile_and_donors_on_the_machine(
    browser: TestClient, busy: Station, secret: Form
) -> None:
    assert 'class="grade grade-C"' in browser.get("/").text
    with busy.database.transaction() as session:
        giving.add_donor(session, giving.Donor(name="ACME"), "test")
    browser.post("/machines/PC-0001/donor", data={"donor": "ACME", **secret})
    assert "ACME" in browser.get("/machines/PC-0001").text
    assert factories.SCHOOL in browser.get(f"/batches/{BATCH}").text


def test_a_new_school_is_made_on_the_page(own: tuple[Station, TestClient, Form]) -> None:
    station, organiser, form = own
    wanted = {"id": "clear-water", "name_en": "Clear Water School", "name_zh": "清水学校",
              "province": "贵州", "teachers": "1", "pupils": "12", **form}  # fmt: skip
    assert organiser.post("/schools", data=wanted).status_code == 403  # not one of hers
    cookie = people.log_in(station, Role.OPERATOR)
    with TestClient(make_operator_side(station), cookies={SESSION_COOKIE: cookie}) as operator:
        wanted |= people.secret_of(cookie)
        wrong = operator.post("/schools", data={**wanted, "province": "Atlantis"})
        assert wrong.status_code == 422 and 'value="clear-water"' in wrong.text
        made = operator.post("/schools", data=wanted)
        assert made.url.path == "/schools/clear-water/edit" and "Clear Water School" in made.text
        assert operator.post("/schools", data=wanted).status_code == 409
        for name in ("../x", "new shoots", ""):
            assert operator.post("/schools", data={**wanted, "id": name}).status_code == 422
        assert "清水学校" in operator.get("/schools?lang=zh").text


def test_two_people_judge_a_release_and_one_is_told(
    browser: TestClient, station: Station, secret: Form
) -> None:
    path = "/releases/education@2026.1/standing"
    form = {"standing": "promoted", "seen": "new", **secret}
    assert browser.post(path, data=form).status_code == 200
    told = browser.post(path, data={**form, "standing": "withdrawn", "reason": "no sound"})
    assert told.status_code == 409 and "somebody else has said" in told.text


def test_a_school_whose_file_changes_is_read_anew(own: tuple[Station, TestClient, Form]) -> None:
    station, organiser, _ = own
    assert "New Shoots" in organiser.get("/schools?lang=en").text
    path = station.settings.inventories_dir / SCHOOL / "school.yml"
    path.write_text(path.read_text().replace("New Shoots", "Old Roots", 1))
    assert "Old Roots" in organiser.get("/schools").text
