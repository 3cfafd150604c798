"""Renewing a classroom from its page: ordered, seen, withdrawn; a stick made, receipts taken in."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from provisioner.errors import ImageMismatchError
from provisioner.fleet import bundle as sticks
from provisioner.lifecycle import Milestone
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle
from provisioner.model.health import Health
from provisioner.model.renewal import HomesRule
from provisioner.model.signed import open_envelope
from provisioner.model.site_bundle import file_name
from provisioner.store.tables import FieldOrderRow, MachineRow
from provisioner.web import make_operator_side
from provisioner.workshop import bundles, field_orders, sites
from provisioner.workshop.station import Station
from tests import factories, people
from tests.factories import SCHOOL
from tests.unit.workshop.test_bundles import Office

Form = dict[str, str]
SITE = file_name("PC-0001")
PAGE = f"/schools/{SCHOOL}/renewal"
WISH = {"release": "education@2027.1", "seen": "0"}


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    """With one configuration to carry; how it is made is tests/unit/workshop/test_sites.py's."""
    made = Office(tmp_path)
    site = tmp_path / SITE
    site.write_text("what PC-0001 keeps")
    monkeypatch.setattr(sites, "has_site", lambda _machine: True)
    monkeypatch.setattr(sites, "revision_for", lambda _station, _machine: "")
    monkeypatch.setattr(sites, "bundle_for", lambda _station, _session, _tag: site)
    yield made
    made.station.database.close()


@pytest.fixture
def station(office: Office) -> Station:
    return office.station


def orders(station: Station) -> list[FieldOrderRow]:
    with station.database.reading() as session:
        return session.query(FieldOrderRow).all()


def test_a_classroom_is_renewed_from_its_page(
    browser: TestClient, station: Station, secret: Form
) -> None:
    assert f'href="{PAGE}"' in browser.get(f"/schools/{SCHOOL}").text
    assert "nothing ordered" in browser.get(PAGE).text
    page = browser.post(f"/schools/{SCHOOL}/renew", data={**WISH, **secret}).text
    assert "not told yet" in page and "education@2027.1" in page
    assert orders(station)[0].work["homes"] == HomesRule.KEEP
    assert "not told yet" in browser.get(f"/schools/{SCHOOL}").text
    seen = {"seen": str(orders(station)[-1].id), **secret}
    page = browser.post(f"/schools/{SCHOOL}/withdraw", data=seen).text
    assert "withdrawn" in page and orders(station)[0].state == "withdrawn"


def test_two_people_order_and_one_is_told(
    browser: TestClient, station: Station, secret: Form
) -> None:
    path = f"/schools/{SCHOOL}/renew"
    assert browser.post(path, data={**WISH, **secret}).status_code == 200
    told = browser.post(path, data={**WISH, "when": "now", **secret})
    assert told.status_code == 409 and "Meanwhile li has ordered" in told.text
    assert len(orders(station)) == 1


def test_pupils_files_are_erased_only_by_name(
    browser: TestClient, station: Station, secret: Form
) -> None:
    wish = {**WISH, "homes": "erase", **secret}
    for path in ("renew", "bundle"):
        assert browser.post(f"/schools/{SCHOOL}/{path}", data=wish).status_code == 409
    assert orders(station) == []
    browser.post(f"/schools/{SCHOOL}/renew", data={**wish, "confirm": SCHOOL})
    assert orders(station)[0].work["homes"] == HomesRule.ERASE


def test_what_cannot_be_ordered(browser: TestClient, station: Station, secret: Form) -> None:
    path = f"/schools/{SCHOOL}/renew"
    for release, status in (("live@2026.1", 422), ("nothing@1", 404), ("education@2026.1", 409)):
        answer = browser.post(path, data={**WISH, "release": release, **secret})
        assert answer.status_code == status, release
    assert browser.get("/schools/nowhere/renewal").status_code == 404
    assert browser.get("/schools/high-pasture/renewal").status_code == 200  # nobody there yet
    assert browser.post("/schools/high-pasture/renew", data={**WISH, **secret}).status_code == 404


def test_health_and_silence_are_shown_with_their_age(browser: TestClient, station: Station) -> None:
    with station.database.transaction() as session:
        machine = session.query(MachineRow).one()
        words = Health(state_free=12_000_000_000, temperature_c=41, renewing="<b>45 %</b>")
        field_orders.hear(session, machine, words)
        factories.add_machine(session, 2, Milestone.HANDED_OVER)
    page = browser.get(PAGE).text
    assert "12.0 GB free" in page and "41 °C" in page and "within the hour" in page
    assert '<span class="facts">unknown</span>' in page


def test_a_stick_comes_as_an_archive_that_holds(
    browser: TestClient, office: Office, secret: Form
) -> None:
    answer = browser.post(f"/schools/{SCHOOL}/bundle", data={**WISH, **secret})
    assert answer.headers["content-type"] == "application/zip"
    assert f'filename="{SCHOOL}-1.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        bundle, _ = open_envelope(
            archive.read(f"{FOLDER}/{BUNDLE}"), Bundle, trusted=office.station.key.public
        )
        system = f"{FOLDER}/releases/education@2027.1/system.squashfs"
        assert archive.read(system) == (office.release / "system.squashfs").read_bytes()
    assert names[0] == f"{FOLDER}/{RECEIPTS}/" and names[-1] == f"{FOLDER}/{BUNDLE}"
    assert (bundle.number, bundle.machines) == (1, ("PC-0001",))
    assert sorted(names[1:-1]) == sorted([
        f"{FOLDER}/sites/{SITE}",
        *(f"{FOLDER}/releases/education@2027.1/{path.relative_to(office.release)}"
          for path in office.release.rglob("*") if path.is_file()),
    ])  # fmt: skip


def test_a_damaged_release_makes_no_archive_that_opens(office: Office) -> None:
    bundle = office.export()
    (office.release / "vmlinuz").write_bytes(b"something else")
    sent = bytearray()
    with pytest.raises(ImageMismatchError, match="vmlinuz is damaged"):
        for piece in sticks.zipped(bundle, office.station.catalog, office.station.key):
            sent += piece
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(bytes(sent)))


def test_what_was_unpacked_from_the_archive_is_a_stick(office: Office) -> None:
    """The same files as those that the command line writes, byte for byte."""
    bundle = office.export()
    out = io.BytesIO()
    with office.station.database.reading() as session:
        kept = bundles.configurations(office.station, session, SCHOOL)
    for piece in sticks.zipped(bundle, office.station.catalog, office.station.key, kept):
        out.write(piece)
    other = office.stick.with_name("other")
    shutil.unpack_archive(_kept(office, out.getvalue()), other)
    for path in office.folder.rglob("*"):
        if path.is_file():
            same = other / FOLDER / path.relative_to(office.folder)
            assert same.read_bytes() == path.read_bytes()
    assert (other / FOLDER / RECEIPTS).is_dir()


def _kept(office: Office, content: bytes) -> Path:
    path = office.stick.with_name("stick.zip")
    path.write_bytes(content)
    return path


def test_receipts_come_home_through_the_page(
    browser: TestClient, office: Office, secret: Form
) -> None:
    office.answer(office.export())
    good = (office.folder / RECEIPTS / "PC-0001.dsse.json").read_bytes()
    files = [("receipts", ("PC-0001.dsse.json", good)), ("receipts", ("b.json", b"{<i>}"))]
    page = browser.post(f"/schools/{SCHOOL}/receipts", data=secret, files=files)
    assert "has education@2027.1" in page.text
    assert "was changed on the way" in page.text
    assert office.has() == "education@2027.1"
    again = browser.post(f"/schools/{SCHOOL}/receipts", data=secret, files=files[:1])
    assert "was known already" in again.text
    none = browser.post(f"/schools/{SCHOOL}/receipts", data=secret, files=[])
    assert none.status_code == 409


def test_only_who_orders_and_only_their_schools(station: Station) -> None:
    for role, schools in ((Role.VOLUNTEER, ()), (Role.ORGANISER, (SCHOOL,)),
                          (Role.OPERATOR, ("high-pasture",))):  # fmt: skip
        cookie = people.log_in(station, role, login=f"x-{role}", schools=schools)
        own = people.secret_of(cookie)
        with TestClient(make_operator_side(station), cookies={SESSION_COOKIE: cookie}) as other:
            assert other.get(PAGE).status_code == 200
            for path in ("renew", "withdraw", "bundle", "receipts"):
                answer = other.post(f"/schools/{SCHOOL}/{path}", data={**WISH, **own})
                assert answer.status_code == 403, (role, path)
    assert orders(station) == []
