"""Every error over HTTP is one RFC 9457 document, with our hint and without our inside."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from provisioner import errors
from provisioner.api import problems

ALL_ERRORS = [errors.ProvisionerError, *errors.ProvisionerError.__subclasses__()]


class Body(BaseModel):
    size: int


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.post("/body")
    def body(body: Body) -> int:
        return body.size

    @app.get("/bug")
    def bug() -> int:
        raise RuntimeError("secret inside /var/lib")

    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, raise_server_exceptions=False)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_each_of_our_errors_has_its_own_problem(
    app: FastAPI, client: TestClient, kind: type[errors.ProvisionerError]
) -> None:
    @app.get("/fails")
    def fails() -> None:
        raise kind("The disk is gone.", "Plug it in.")

    answer = client.get("/fails")
    found = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == found["status"] == problems.KINDS[kind][1]
    assert found["type"] == problems.TYPE_PREFIX + problems.KINDS[kind][0]
    assert (found["detail"], found["hint"]) == ("The disk is gone.", "Plug it in.")
    assert found["title"]


def test_slugs_are_distinct() -> None:
    slugs = [slug for slug, _, _ in problems.KINDS.values()]
    assert len(set(slugs)) == len(slugs)


def test_a_further_subclass_is_its_nearest_known_kind() -> None:
    class OldDiskError(errors.DiskFaultError):
        pass

    assert problems.describe(OldDiskError("x")).type.endswith("disk-fault")


@pytest.mark.parametrize("sent", ['{"size": "many"}', "{", "[]", "", '{"size": NaN}', "\xff"])
def test_bad_input_is_never_the_stations_fault(client: TestClient, sent: str) -> None:
    answer = client.post("/body", content=sent.encode("latin-1"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_mistakes_name_their_fields(client: TestClient) -> None:
    found = client.post("/body", json={"size": "<script>"}).json()
    assert found["mistakes"][0]["field"] == "body.size"
    assert "<script>" not in found["detail"]


def test_unknown_addresses_and_methods_are_problems(client: TestClient) -> None:
    nothing, method = client.get("/nothing"), client.get("/body")
    assert (nothing.status_code, method.status_code) == (404, 405)
    assert nothing.json()["detail"] == "There is nothing at /nothing."
    assert method.headers["content-type"] == "application/problem+json"
    assert "POST" in method.headers["allow"]


def test_a_bug_shows_nothing_of_the_inside(client: TestClient) -> None:
    answer = client.get("/bug")
    assert answer.status_code == 500
    assert answer.json()["type"].endswith("unforeseen")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
