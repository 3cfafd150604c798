"""Rollouts and renewals by script: started, watched, moved; only by who may."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient

from provisioner.accounts.roles import Right
from provisioner.accounts.tokens import TokenPlan, add_token
from provisioner.api.leading import Move
from provisioner.fleet.rollouts import MOVES
from provisioner.lifecycle import Milestone
from provisioner.workshop import releases
from provisioner.workshop.releases import Standing
from provisioner.workshop.station import Station
from tests import factories
from tests.factories import SCHOOL

API = "/api/v1"
NEXT = "education@2027.1"
PLAN = {"name": "summer", "track": "release", "value": NEXT, "former": "education@2026.1",
        "schools": [SCHOOL]}  # fmt: skip


@pytest.fixture(autouse=True)
def country(station: Station) -> None:
    newer = factories.make_manifest().model_copy(update={"version": "2027.1", "number": 2027001})
    factories.publish(station, newer)
    factories.open_batch(station)
    with station.database.transaction() as session:
        factories.add_machine(session, 1, Milestone.HANDED_OVER)


def test_the_words_are_the_engines() -> None:
    assert {str(move) for move in Move} == set(MOVES)


def test_a_rollout_by_script(client: TestClient) -> None:
    made = client.post(f"{API}/rollouts", json=PLAN)
    assert made.status_code == 201, made.text
    assert (made.json()["state"], made.json()["wave"], made.json()["machines"]) == (
        "running", "lab", 1,
    )  # fmt: skip
    assert client.post(f"{API}/rollouts", json=PLAN).status_code == 409
    assert client.post(f"{API}/rollouts/summer/pause").json()["state"] == "paused"
    assert client.post(f"{API}/rollouts/summer/pause").status_code == 409
    assert client.post(f"{API}/rollouts/summer/explode").status_code == 422
    assert client.get(f"{API}/rollouts").json() == [client.get(f"{API}/rollouts/summer").json()]
    assert client.get(f"{API}/rollouts/winter").status_code == 404


def test_no_script_rolls_out_what_was_withdrawn_or_is_no_release(
    client: TestClient, station: Station
) -> None:
    for value, status in (("education@2031.1", 404), ("live@2026.1", 422)):
        assert client.post(f"{API}/rollouts", json={**PLAN, "value": value}).status_code == status
    former = {**PLAN, "former": "education@2020.1"}
    assert client.post(f"{API}/rollouts", json=former).status_code == 404
    with station.database.transaction() as session:
        releases.say(station, session, NEXT, Standing.WITHDRAWN, "screens stay black", "li")
    refused = client.post(f"{API}/rollouts", json=PLAN)
    assert refused.status_code == 409
    assert "screens stay black" in refused.text
    assert client.get(f"{API}/rollouts").json() == []
    back = {**PLAN, "value": PLAN["former"], "former": PLAN["value"]}
    assert client.post(f"{API}/rollouts", json=back).status_code == 201


@pytest.mark.parametrize(
    "change",
    [
        {"silent_hours": 1e308},
        {"freezes": [{"begins": "2027-01-01T00:00:00", "ends": "2027-01-02T00:00:00Z"}]},
        {"lab": ["nobody"]},
    ],
)
def test_a_plan_that_cannot_be_reckoned_with_is_refused(
    client: TestClient, change: dict[str, Any]
) -> None:
    assert client.post(f"{API}/rollouts", json={**PLAN, **change}).status_code == 422


def test_a_renewal_by_script(client: TestClient) -> None:
    answer = client.post(f"{API}/schools/{SCHOOL}/renew", json={"release": "education"})
    assert answer.json() == {"machines": ["PC-0001"]}
    for release, status in (("live", 422), ("nothing", 404)):
        path = f"{API}/schools/{SCHOOL}/renew"
        assert client.post(path, json={"release": release}).status_code == status
    assert client.post(f"{API}/schools/x/renew", json={"release": NEXT}).status_code == 404


def test_a_token_without_the_right_is_refused(client: TestClient, station: Station) -> None:
    from provisioner.api.auth import STATION_ITSELF

    with station.database.transaction() as session:
        plan = TokenPlan(name="looks", scopes=(Right.LOOK, Right.RELEASES), days=1)
        token = add_token(session, plan, STATION_ITSELF)
    headers = {"Authorization": f"Bearer {token}"}
    assert client.post(f"{API}/rollouts", json=PLAN, headers=headers).status_code == 403
    wish = {"release": "education"}
    path = f"{API}/schools/{SCHOOL}/renew"
    assert client.post(path, json=wish, headers=headers).status_code == 403
