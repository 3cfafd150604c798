"""The way in: passwords, codes, guesses, one's own account and the page of people."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from provisioner.accounts import sessions
from provisioner.accounts.people import find_person
from provisioner.accounts.roles import Role
from provisioner.accounts.throttle import BY_BOTH
from provisioner.api.auth import SESSION_COOKIE
from provisioner.web import login_link, make_operator_side
from provisioner.workshop.station import Station
from tests import people
from tests.people import PASSWORD, secret_of


@pytest.fixture
def visitor(station: Station) -> TestClient:
    people.add(station, login="li")
    return TestClient(make_operator_side(station), follow_redirects=False)


def test_login_and_password_open_a_session(visitor: TestClient) -> None:
    sent = visitor.get("/machines/PC-0001")
    assert sent.headers["location"] == "/login?next=/machines/PC-0001"
    form = {"login": " LI ", "password": PASSWORD, "next": "/journal"}
    answer = visitor.post("/login", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/journal")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
    assert visitor.get("/").status_code == 200
    assert "li logged in" in visitor.get("/journal").text


def test_over_tls_the_cookie_stays_on_tls(station: Station) -> None:
    people.add(station, login="li")
    visitor = TestClient(
        make_operator_side(station), follow_redirects=False, base_url="https://station"
    )
    answer = visitor.post("/login", data={"login": "li", "password": PASSWORD})
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("form", [{"login": "li", "password": "wrong"}, {"login": "nobody"},
                                  {"code": "AAAA-BBBB-CCCC"}, {}, {"token": "x"}])  # fmt: skip
def test_what_does_not_fit_opens_nothing(visitor: TestClient, form: dict[str, str]) -> None:
    answer = visitor.post("/login", data=form)
    assert answer.status_code == 403
    assert SESSION_COOKIE not in answer.cookies
    assert visitor.get("/").status_code == 303


def test_the_stations_own_token_is_no_password(visitor: TestClient, station: Station) -> None:
    token = (station.settings.state_dir / "operator.token").read_text().strip()
    for field in ("token", "code", "password"):
        assert visitor.post("/login", data={"login": "li", field: token}).status_code == 403


def test_the_console_lets_the_first_administrator_in_once(station: Station) -> None:
    visitor = TestClient(make_operator_side(station), follow_redirects=False)
    code = login_link(station, "test").partition("#")[2]
    assert visitor.post("/login", data={"code": code}).headers["location"] == "/account"
    page = visitor.get("/account").text
    assert "Choose a password now" in page
    secret = re.search(r'name="form_secret" value="(\w+)"', page)
    assert secret is not None
    form = {"form_secret": secret[1], "new": PASSWORD, "again": PASSWORD}
    assert visitor.post("/account/password", data=form).headers["location"] == "/"
    stranger = TestClient(make_operator_side(station), follow_redirects=False)
    assert stranger.post("/login", data={"code": code}).status_code == 403
    answer = stranger.post("/login", data={"login": "admin", "password": PASSWORD})
    assert answer.headers["location"] == "/"


def test_guessing_is_slowed_down_even_with_the_right_password(visitor: TestClient) -> None:
    for _ in range(BY_BOTH):
        assert visitor.post("/login", data={"login": "li", "password": "x"}).status_code == 403
    answer = visitor.post("/login", data={"login": "li", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 60
    assert "Wait 15 min" in answer.text


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil", "x",
                                    "/a\r\nSet-Cookie: x=y", ""])  # fmt: skip
def test_the_login_leads_nowhere_else(visitor: TestClient, target: str) -> None:
    answer = visitor.post("/login", data={"login": "li", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_logging_out_ends_the_session_at_the_station(
    browser: TestClient, session: str, secret: dict[str, str], station: Station
) -> None:
    browser.post("/logout", data=secret, follow_redirects=False)
    with station.database.reading() as db:
        assert sessions.whose_session(db, session) is None


@pytest.mark.parametrize("form", [{"old": "wrong", "new": PASSWORD + "2", "again": PASSWORD + "2"},
                                  {"old": PASSWORD, "new": PASSWORD + "2", "again": "x"},
                                  {"old": PASSWORD, "new": "short", "again": "short"}])  # fmt: skip
def test_a_password_is_not_changed_by_mistake(
    browser: TestClient, secret: dict[str, str], station: Station, form: dict[str, str]
) -> None:
    answer = browser.post("/account/password", data={**form, **secret})
    assert answer.status_code in (403, 409)
    visitor = TestClient(make_operator_side(station), follow_redirects=False)
    answer = visitor.post("/login", data={"login": "li", "password": PASSWORD})
    assert answer.headers["location"] == "/"


def test_people_are_let_in_changed_and_closed(
    browser: TestClient, secret: dict[str, str], station: Station
) -> None:
    form = {"login": "mei", "name": "<b>Mei</b>", "role": "volunteer", **secret}
    page = browser.post("/people", data=form).text
    code = re.search(r'class="code big">([A-Z0-9-]+)<', page)
    assert code is not None and "<b>Mei" not in page
    mei = TestClient(make_operator_side(station), follow_redirects=False)
    assert mei.post("/login", data={"code": code[1]}).status_code == 303
    assert mei.get("/people").status_code == 403
    change = {"role": "organiser", "schools": "new-shoots, high-pasture", "active": "yes"}
    browser.post("/people/mei", data={**change, **secret})
    assert mei.get("/").status_code == 303  # logged out: what she may has changed
    with station.database.reading() as db:
        row = find_person(db, "mei")
        assert (row.role, row.schools) == ("organiser", ["high-pasture", "new-shoots"])
    assert browser.post("/people", data=form).status_code == 409
    assert browser.post("/people", data={**form, "login": "A B"}).status_code == 422
    assert browser.post("/people/li", data={"role": "volunteer", **secret}).status_code == 409


def test_tokens_are_shown_once(browser: TestClient, secret: dict[str, str]) -> None:
    form = {"name": "backup", "scope-look": "yes", "days": "10", **secret}
    page = browser.post("/tokens", data=form).text
    token = re.search(r"cpt_[\w-]+", page)
    assert token is not None
    header = {"Authorization": f"Bearer {token[0]}"}
    assert browser.get("/api/v1/machines", headers=header).status_code == 200
    assert browser.post("/api/v1/batches/x/close", headers=header).status_code == 403
    assert token[0] not in browser.get("/people").text
    browser.post("/tokens/backup/revoke", data=secret)
    assert browser.get("/api/v1/machines", headers=header).status_code == 401


def test_a_volunteer_sees_no_buttons_that_lead_nowhere(station: Station) -> None:
    cookie = people.log_in(station, Role.VOLUNTEER)
    browser = TestClient(make_operator_side(station), cookies={SESSION_COOKIE: cookie})
    assert 'href="/people"' not in browser.get("/").text
    assert 'action="/batches"' not in browser.get("/batches").text
    assert browser.post("/batches", data=secret_of(cookie)).status_code == 403
