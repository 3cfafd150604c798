"""Nobody comes in without a login or a token, nor does what is not theirs: over every route."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from starlette.routing import Mount, Route

from provisioner.accounts.roles import RIGHTS, Right, Role
from provisioner.accounts.tokens import TokenPlan, add_token
from provisioner.api import auth
from provisioner.api.auth import SAFE, SESSION_COOKIE
from provisioner.store.tables import EventRow
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import factories, people

OPEN = {"/login", "/healthz"}


@pytest.fixture
def side(busy: Station, station: Station) -> FastAPI:
    return make_operator_side(station)


def all_routes(found: Any) -> Iterator[Route | APIRoute]:
    """Every route of an application, also of the routers that it includes."""
    for route in found.routes:
        if isinstance(route, Mount):
            assert route.path == "/static"
        elif isinstance(route, Route | APIRoute):
            yield route
        else:  # FastAPI keeps included routers as they are
            inner = getattr(route, "original_router", None) or route
            assert inner is not route, route
            yield from all_routes(inner)


def routes(found: Any) -> Iterator[tuple[str, str]]:
    """Method and address of every route, with likely values in the places for names."""
    for route in all_routes(found):
        for method in route.methods or ():
            yield method, _fill(route.path)


def mutating(side: FastAPI) -> list[tuple[str, str, Right | None]]:
    """Method, address and right of every route that may change something."""
    return [
        (method, _fill(route.path), auth.right_of(route) if isinstance(route, APIRoute) else None)
        for route in all_routes(side)
        for method in route.methods or ()
        if method not in SAFE and route.path not in OPEN
    ]


def _fill(path: str) -> str:
    values = {
        "number": "7",
        "certificate": "W-000001",
        "tag": "PC-0001",
        "name": factories.BATCH,
        "release": "education@2026.1",
        "login": "li",
        "school": factories.SCHOOL,
    }
    return re.sub(r"{(\w+)}", lambda match: values.get(match[1], "1"), path)


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


def test_everything_that_changes_something_names_a_right(side: FastAPI) -> None:
    found = mutating(side)
    assert len(found) > 30
    assert [(method, path) for method, path, right in found if right is None] == []
    described = {
        (method.upper(), _fill(path))
        for path, methods in side.openapi()["paths"].items()
        for method in methods
        if method.upper() not in SAFE
    }
    assert described <= {(method, path) for method, path, _ in found}


def test_a_route_that_names_no_right_is_refused_to_everybody(
    side: FastAPI, station: Station
) -> None:
    side.add_api_route("/forgotten", lambda: "done", methods=["POST"])
    browser = TestClient(side, cookies={SESSION_COOKIE: people.log_in(station)})
    assert browser.post("/forgotten").status_code == 403


@pytest.mark.parametrize("role", list(Role))
def test_nobody_does_what_their_role_does_not_allow(
    side: FastAPI, station: Station, role: Role
) -> None:
    cookie = people.log_in(station, role)
    browser = TestClient(side, cookies={SESSION_COOKIE: cookie}, follow_redirects=False)
    token = _token(station, tuple(RIGHTS[role]))
    script = TestClient(side, headers={"Authorization": f"Bearer {token}"})
    before = _events(station)
    refused = 0
    for method, path, right in mutating(side):
        if right in RIGHTS[role]:
            continue
        if path.startswith("/api/"):
            answer = script.request(method, path, json={})
        else:
            answer = browser.request(method, path, data=people.secret_of(cookie))
        assert answer.status_code == 403, (role, path)
        refused += 1
    assert _events(station) == before
    assert (refused == 0) is (role is Role.ADMINISTRATOR)
    assert browser.get("/people").status_code == (200 if role is Role.ADMINISTRATOR else 403)


def test_a_session_does_not_open_the_api_and_a_token_not_the_pages(
    side: FastAPI, station: Station
) -> None:
    browser = TestClient(side, cookies={SESSION_COOKIE: people.log_in(station)})
    assert browser.get("/api/v1/machines").status_code == 401
    token = (station.settings.state_dir / "operator.token").read_text().strip()
    script = TestClient(side, headers={"Authorization": f"Bearer {token}"}, follow_redirects=False)
    assert script.post("/batches/x/close").status_code == 303


def test_every_form_needs_its_own_secret(side: FastAPI, station: Station) -> None:
    browser = TestClient(side, cookies={SESSION_COOKIE: people.log_in(station)})
    other = people.secret_of(people.log_in(station, login="other"))
    forms = {path for _, path, _ in mutating(side) if not path.startswith("/api/")}
    assert len(forms) >= 20
    before = _events(station)
    for path in forms:
        for sent in ({}, {"form_secret": ""}, other):
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


def _events(station: Station) -> int:
    with station.database.reading() as session:
        return session.scalar(select(func.count()).select_from(EventRow)) or 0


def _token(station: Station, rights: tuple[Right, ...]) -> str:
    with station.database.transaction() as session:
        plan = TokenPlan(name="script", scopes=rights)
        return add_token(session, plan, auth.STATION_ITSELF)


def test_the_token_file_is_for_its_owner_only(station: Station) -> None:
    token: Path = station.settings.state_dir / "operator.token"
    assert token.stat().st_mode & 0o077 == 0
