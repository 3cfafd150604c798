"""An entry beside those like it, names for whom they are for, and one entry forgotten."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import people
from tests.unit.web.test_contest_pages import HOSTILE, station

__all__ = ["station"]
CODE = r">([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z])<"


def test_names_are_for_those_who_look_after_schools(station: Station) -> None:
    cookie = people.log_in(station, Role.VOLUNTEER)
    volunteer = TestClient(make_operator_side(station), cookies={SESSION_COOKIE: cookie})
    assert volunteer.get("/contests/contest-2027").status_code == 200
    for name in ("entries.csv", "entries.zip"):
        assert volunteer.get(f"/contests/contest-2027/{name}").status_code == 403


def test_whose_an_entry_is_can_be_forgotten(browser: TestClient, station: Station) -> None:
    code = re.search(CODE, browser.get("/contests/contest-2027?lang=en").text)
    assert code
    page = browser.get(f"/contests/contest-2027/alike/{code[1]}").text
    secret = re.search(r'name="form_secret" value="([^"]+)"', page)
    assert secret
    fields = {"form_secret": secret[1], "code": code[1].lower()}
    assert browser.post("/contests/contest-2027/forget", data={**fields, "form_secret": "x"},
                        ).status_code == 403  # fmt: skip
    assert browser.post("/contests/contest-2027/forget", data={**fields, "code": "0000"},
                        ).status_code == 404  # fmt: skip
    assert HOSTILE.encode() in browser.get("/contests/contest-2027/entries.csv").content.replace(
        b'""', b'"')  # fmt: skip
    browser.post("/contests/contest-2027/forget", data=fields)
    after = browser.get("/contests/contest-2027/entries.csv").content
    assert b"onerror" not in after
    assert code[1].encode() in after
    papers = (station.settings.state_dir / "contests/contest-2027/hand-ins").glob("*.json")
    assert list(papers) == []


def test_an_entry_beside_those_like_it(browser: TestClient) -> None:
    code = re.search(CODE, browser.get("/contests/contest-2027").text)
    assert code
    shown = browser.get(f"/contests/contest-2027/alike/{code[1]}").text
    assert code[1] in shown
    assert "<img src=x" not in shown
    assert browser.get("/contests/contest-2027/alike/0000-0000-0").status_code == 404
