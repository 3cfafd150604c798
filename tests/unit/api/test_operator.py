"""The operator's API: what it answers, what it changes, and what it promises in OpenAPI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from provisioner.lifecycle import Milestone, Verb
from provisioner.model.signed import open_envelope
from provisioner.workshop.passport import Passport
from provisioner.workshop.station import Station
from tests import factories
from tests.factories import BATCH, SCHOOL

API = "/api/v1"
PLAN = {"name": "b1", "school": SCHOOL, "release": "education", "size": 3}


def get(client: TestClient, path: str, **query: Any) -> Any:
    answer = client.get(f"{API}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_batch_is_opened_seen_and_closed(client: TestClient) -> None:
    made = client.post(f"{API}/batches", json=PLAN)
    assert made.status_code == 201
    assert made.json()["release"] == "education@2026.1"
    assert made.json()["open"] is True
    assert get(client, "batches") == [made.json()] == [get(client, "batches/b1")]
    closed = client.post(f"{API}/batches/b1/close").json()
    assert closed["open"] is False
    kinds = [event["kind"] for event in get(client, "events")]
    assert kinds == ["batch-opened", "batch-closed"]
    assert {event["actor"] for event in get(client, "events")} == {"api"}


@pytest.mark.parametrize(
    ("change", "status", "hint"),
    [
        ({"school": "new-shots"}, 404, "new-shoots"),
        ({"school": "../new-shoots"}, 422, ""),
        ({"release": "eduction"}, 404, "education"),
        ({"release": "live"}, 422, ""),
        ({"size": 0}, 422, ""),
        ({"sise": 3}, 422, ""),
        ({"policy": {"disk": "sda"}}, 422, ""),
    ],
)
def test_a_batch_that_cannot_be_is_refused_and_nothing_is_kept(
    client: TestClient, change: dict[str, Any], status: int, hint: str
) -> None:
    answer = client.post(f"{API}/batches", json={**PLAN, **change})
    assert answer.status_code == status
    assert hint in answer.json()["hint"]
    assert get(client, "batches") == []
    assert get(client, "events") == []


def test_a_second_open_batch_is_a_conflict(client: TestClient) -> None:
    client.post(f"{API}/batches", json=PLAN)
    answer = client.post(f"{API}/batches", json={**PLAN, "name": "b2"})
    assert answer.status_code == 409
    assert "Close it" in answer.json()["hint"]


def test_machines_at_a_glance(client: TestClient, busy: Station) -> None:
    tiles = {tile["asset_tag"]: tile for tile in get(client, "machines")}
    assert len(tiles) == 9
    wiping = tiles["PC-0002"]
    assert (wiping["tone"], wiping["running"], wiping["fraction"]) == ("work", "wipe", 0.42)
    # After 4.5 minutes or a little more, 42 % are done.
    assert 270 * 0.58 / 0.42 - 1 < wiping["seconds_left"] < 900
    assert tiles["PC-0004"]["needs_hand"]["kind"] == "DiskFaultError"
    assert [step["state"] for step in tiles["PC-0004"]["path"]][4] == "failed"
    assert tiles["PC-0008"]["silent"] is True
    assert tiles[""]["milestone"] == "discovered"
    assert len(get(client, "machines", batch=BATCH)) == 8


def test_one_machine_with_hardware_runs_and_disks(client: TestClient, busy: Station) -> None:
    machine = get(client, "machines/pc-0005")
    assert [disk["why_not"] for disk in machine["disks"]] == ["", "", "removable"]
    assert machine["starts_from"] == "live"
    assert [run["verb"] for run in machine["runs"]] == ["discover", "enrol"]
    assert get(client, "machines/PC-0001")["starts_from"] == "local"


def test_unknown_names_get_the_nearest_known_one(client: TestClient, busy: Station) -> None:
    answer = client.get(f"{API}/machines/PC-0010")
    assert answer.status_code == 404
    assert "PC-00" in answer.json()["hint"]
    for path in ("batches/x", "releases/x", "schools/x", "schools/..", "summary?batch=x",
                 "live?batch=x", "machines?batch=x", "events?machine=x",
                 "machines/x/passport"):  # fmt: skip
        assert client.get(f"{API}/{path}").status_code == 404, path


def test_try_again_only_where_somebody_waits(client: TestClient, busy: Station) -> None:
    assert client.post(f"{API}/machines/PC-0004/try-again").json()["tile"]["needs_hand"] is None
    assert client.post(f"{API}/machines/PC-0004/try-again").status_code == 409


def test_a_disk_is_chosen_by_its_serial(client: TestClient, busy: Station) -> None:
    path = f"{API}/machines/PC-0005/use-disk"
    assert client.post(path, json={"serial": "4C530001"}).status_code == 404  # the USB stick
    assert client.post(path, json={"serial": ""}).status_code == 422
    chosen = client.post(path, json={"serial": "WCC3F7"}).json()
    assert chosen["model"] == "WDC WD10EZEX"
    assert get(client, "machines/PC-0005")["target"]["serial"] == "WCC3F7"


def test_redo_and_hand_over(client: TestClient, busy: Station) -> None:
    again = client.post(f"{API}/machines/PC-0001/redo", json={"verb": "image"}).json()
    assert again["tile"]["milestone"] == "wiped"
    receipt = {"received_by": "Ms Li"}
    assert client.post(f"{API}/machines/PC-0001/hand-over", json=receipt).status_code == 409
    handed = client.post(f"{API}/machines/PC-0007/hand-over", json=receipt).json()
    assert handed["tile"]["milestone"] == "handed-over"


def test_events_go_on_from_where_one_was(client: TestClient, busy: Station) -> None:
    everything = get(client, "events", limit=1000)
    assert [event["id"] for event in everything] == sorted(event["id"] for event in everything)
    middle = everything[3]["id"]
    assert get(client, "events", after=middle, limit=2) == everything[4:6]
    failed = get(client, "events", kind="run-failed")
    assert [event["machine"] for event in failed] == ["PC-0004"]
    assert get(client, "events", machine="PC-0003")[0]["batch"] == BATCH


ODD_NAMES = ("%00", "a%00b", "%0a", "x" * 200, "%ff%fe", "%ED%A0%80", "..", "'", "{{7*7}}")
# What no database is even asked for: PostgreSQL would fail on NUL.
NEVER_ASKED = ("%00", "a%00b", "%0a", "x" * 200)
ODD_TEXTS = ("\\ud800", "\\u0000", "\\u001b[31m", "'", "../x")


@pytest.mark.parametrize("path", ["batches", "machines", "releases", "schools"])
def test_odd_names_are_not_found_or_refused(client: TestClient, path: str) -> None:
    for name in ODD_NAMES:
        found = client.get(f"{API}/{path}/{name}").status_code
        assert found == (422 if name in NEVER_ASKED else 404), name


@pytest.mark.parametrize("field", ["name", "school", "release"])
def test_odd_text_in_a_body_is_refused(client: TestClient, field: str) -> None:
    for text in ODD_TEXTS:
        body = json.dumps({**PLAN, field: "TEXT"}).replace("TEXT", text)
        answer = client.post(f"{API}/batches", content=body.encode())
        assert answer.status_code in (404, 422), text
        assert answer.json()["detail"]


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=100000", "after=9223372036854775808"]
)
def test_odd_queries_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"{API}/events?{query}").status_code == 422


def test_the_summary_has_the_agreed_form(client: TestClient, busy: Station) -> None:
    summary = get(client, "summary", batch=BATCH)
    assert set(summary) == {"machines"}
    assert [machine["asset_tag"] for machine in summary["machines"]] == [
        f"PC-{number:04d}" for number in range(1, 9)
    ]
    first = summary["machines"][0]
    assert set(first) == {
        "asset_tag", "firmware", "secure_boot", "milestone", "release", "school", "stages",
    }  # fmt: skip
    assert (first["firmware"], first["secure_boot"]) == ("uefi64", True)
    assert (first["milestone"], first["school"]) == ("verified", SCHOOL)
    assert list(first["stages"]) == [str(verb) for verb in list(Verb)[:7]]
    wipe = first["stages"]["wipe"]
    assert set(wipe) == {"outcome", "seconds", "evidence"}
    assert (wipe["outcome"], wipe["evidence"]["nonzero_blocks"]) == ("succeeded", 0)
    bios = summary["machines"][6]
    assert (bios["firmware"], bios["secure_boot"]) == ("bios", False)


def test_a_passport_is_signed_by_the_station(client: TestClient, busy: Station) -> None:
    sealed = client.get(f"{API}/machines/PC-0001/passport")
    passport, _ = open_envelope(sealed.content, Passport, trusted=busy.key.public)
    assert passport.asset_tag == "PC-0001"
    assert passport.milestone == Milestone.VERIFIED


def test_releases_and_schools(client: TestClient) -> None:
    releases = {release["id"]: release for release in get(client, "releases")}
    assert releases["education@2026.1"]["size"] == 569_000_000
    assert get(client, "releases/education")["components"][0]["licence"] == "MPL-2.0"
    schools = {school["id"]: school for school in get(client, "schools")}
    assert schools[SCHOOL]["mistakes"] == []
    assert get(client, f"schools/{SCHOOL}")["name"]["zh"]


def test_hostile_hardware_is_data(client: TestClient, station: Station) -> None:
    factories.open_batch(station)
    nasty = "<script>alert(1)</script>{{7*7}}'\"; DROP TABLE machine;--"
    smbios = factories.make_hardware().smbios.model_copy(update={"system_product": nasty})
    with station.database.transaction() as session:
        hardware = factories.make_hardware(1, smbios=smbios)
        factories.add_machine(session, 1, hardware=hardware)
    answer = client.get(f"{API}/machines")
    assert nasty in answer.json()[0]["model"]
    assert answer.headers["content-type"] == "application/json"


def test_the_description_is_complete(client: TestClient) -> None:
    described = get(client, "openapi.json")
    operations = [
        (path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    assert len(operations) >= 19
    for path, method, operation in operations:
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["tags"], where
        good = next(r for code, r in operation["responses"].items() if code.startswith("2"))
        assert any(good["content"].values()), where
        if path != "/healthz":
            refused = operation["responses"]["401"]["content"]
            assert "application/problem+json" in refused, where
            assert operation["security"], where
        if "{" in path:
            assert "404" in operation["responses"], where
        if method == "post" and "{" in path:
            assert "409" in operation["responses"], where


def test_a_problem_has_the_described_fields(client: TestClient) -> None:
    described = get(client, "openapi.json")["components"]["schemas"]["ProblemDocument"]
    found = client.get(f"{API}/machines/x").json()
    assert set(found) == set(described["properties"])
