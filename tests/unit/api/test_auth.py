"""Nobody without the token comes in: walked over every route there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.routing import Mount, Route

from provisioner.api import auth
from provisioner.api.auth import Doorkeeper
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import factories

OPEN = {"/login", "/healthz"}


@pytest.fixture
def side(busy: Station, station: Station) -> FastAPI:
    return make_operator_side(station)


def routes(found: Any) -> Iterator[tuple[str, str]]:
    """Method and address of every route, with likely values in the places for names."""
    for route in found.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
        elif isinstance(route, Route | APIRoute):
            for method in route.methods or ():
                yield method, _fill(route.path)
        else:  # FastAPI keeps included routers as they are
            inner = getattr(route, "original_router", None) or route
            assert inner is not route, route
            yield from routes(inner)


def _fill(path: str) -> str:
    values = {
        "number": "7",
        "certificate": "W-000001",
        "tag": "PC-0001",
        "name": factories.BATCH,
        "release": "education@2026.1",
    }
    return re.sub(r"{(\w+)}", lambda match: values[match[1]], path)


def test_the_walk_sees_every_route_of_the_description(side: FastAPI) -> None:
    walked = {path for _, path in routes(side)}
    assert {_fill(path) for path in side.openapi()["paths"]} <= walked
    assert {"/batches", "/machines/PC-0001/use-disk", "/live"} <= walked


def test_no_route_is_open(side: FastAPI, station: Station) -> None:
    stranger = TestClient(side, follow_redirects=False)
    walked = set(routes(side))
    assert len(walked) > 30
    for method, path in walked:
        if path in OPEN:
            continue
        answer = stranger.request(method, path, json={})
        if path.startswith("/api/"):
            assert answer.status_code == 401, (method, path)
        else:
            assert answer.status_code == 303, (method, path)
            assert answer.headers["location"].startswith("/login")


def test_a_session_does_not_open_the_api_and_a_token_not_the_pages(
    side: FastAPI, station: Station
) -> None:
    keeper = auth.doorkeeper_of(station)
    browser = TestClient(side, cookies={auth.SESSION_COOKIE: keeper.new_session()})
    assert browser.get("/api/v1/machines").status_code == 401
    token = (station.settings.state_dir / "operator.token").read_text().strip()
    script = TestClient(side, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
    assert script.post("/batches/x/close").status_code == 303


def test_every_form_needs_its_own_secret(side: FastAPI, station: Station) -> None:
    keeper = auth.doorkeeper_of(station)
    browser = TestClient(side, cookies={auth.SESSION_COOKIE: keeper.new_session()})
    forms = {
        path
        for method, path in routes(side)
        if method == "POST" and not path.startswith("/api/") and path not in OPEN
    }
    assert len(forms) >= 7
    before = _events(station)
    for path in forms:
        for sent in ({}, {"form_secret": ""}, {"form_secret": keeper.form_secret("another")}):
            answer = browser.post(path, data=sent, follow_redirects=False)
            assert answer.status_code == 403, path
    assert _events(station) == before


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}",
                                    "bearer {token}x", "{token}", "Bearer \xff"])  # fmt: skip
def test_wrong_tokens_are_refused(stranger: TestClient, station: Station, header: str) -> None:
    token = (station.settings.state_dir / "operator.token").read_text().strip()
    sent = header.format(token=token).encode("latin-1")
    answer = stranger.get("/api/v1/machines", headers={"Authorization": sent})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert token not in answer.text


def test_the_token_is_taken(client: TestClient) -> None:
    assert client.get("/api/v1/machines").status_code == 200


@pytest.mark.parametrize("path", ["/static", "/statics", "/login/", "/healthz/x", "//login"])
def test_only_the_listed_addresses_are_open(path: str) -> None:
    assert not auth.is_open(path)


def test_static_files_stay_in_their_folder(side: FastAPI) -> None:
    stranger = TestClient(side, follow_redirects=False)
    assert stranger.get("/static/style.css").status_code == 200
    for path in ("/static/../pages.py", "/static/%2e%2e/pages.py", "/static/..%2fpages.py"):
        assert stranger.get(path).status_code in (303, 404)


def test_sessions_cannot_be_made_changed_or_kept() -> None:
    time = 1000.0
    keeper = Doorkeeper("token", clock=lambda: time)
    cookie = keeper.new_session()
    assert keeper.is_session(cookie)
    assert "token" not in cookie
    end, nonce, signature = cookie.split(".")
    for forged in ("", ".", "..", f"{int(end) + 9}.{nonce}.{signature}", f"{end}.{nonce}.",
                   f"{end}.{nonce}.{signature[::-1]}", cookie + "0", "9e9.x.\xff"):  # fmt: skip
        assert not keeper.is_session(forged)
    assert not Doorkeeper("changed", clock=lambda: time).is_session(cookie)
    assert not Doorkeeper("token", clock=lambda: time + auth.SESSION_SECONDS).is_session(cookie)


def test_two_sessions_have_different_form_secrets() -> None:
    keeper = Doorkeeper("token")
    one, other = keeper.new_session(), keeper.new_session()
    assert keeper.is_form_of(one, keeper.form_secret(one))
    assert not keeper.is_form_of(one, keeper.form_secret(other))


def _events(station: Station) -> int:
    from provisioner.api import reading

    with station.database.transaction() as session:
        return len(reading.events(session, limit=1000))


def test_the_token_file_is_for_its_owner_only(station: Station) -> None:
    token: Path = station.settings.state_dir / "operator.token"
    assert token.stat().st_mode & 0o077 == 0
