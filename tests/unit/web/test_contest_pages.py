"""The organiser's pages: text is escaped, pictures are ours, files are named by us."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.contest.folder import load_contest
from provisioner.contest.intake import Intake
from provisioner.handin.box import Box, Seat
from provisioner.lifecycle import Milestone
from provisioner.model.entry import Keeper, Limits, Pupil
from provisioner.settings import Settings
from provisioner.store.entry_tables import EntryRow
from provisioner.store.tables import now
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station, open_station
from tests import factories
from tests import hostile_entries as hostile
from tests.unit.contest.conftest import IN_TIME, machine_key, write_contest

HOSTILE = '"><img src=x onerror=alert(1)>{{7*7}}'


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    factories.make_station(tmp_path).database.close()
    inventories = Path(shutil.copytree(Settings().inventories_dir, tmp_path / "inventories"))
    write_contest(inventories)
    settings = Settings(state_dir=tmp_path / "state", inventories_dir=inventories)
    made = open_station(settings, url="http://10.77.0.1:8080")
    factories.open_batch(made)
    with made.database.transaction() as session:
        row = factories.add_machine(session, 1, Milestone.HANDED_OVER)
        row.installed_key = machine_key(1).public
    intake = Intake(load_contest(inventories, "contest-2027"), made.database, made.key,
                    settings.state_dir)  # fmt: skip
    box = Box(tmp_path / "box", machine_key(1), Seat("contest-2027", factories.SCHOOL, "PC-0001"),
              lambda: IN_TIME, Limits(), {Keeper.STATION: made.key.public})  # fmt: skip
    data = hostile.good_entry(tmp_path)
    entry = box.hand_in(data, Pupil(name=HOSTILE, age_group="primary"), HOSTILE)
    intake.begin(entry.sealed)
    intake.take(entry.hand_in.id, 0, data)
    yield made
    made.database.close()


def test_the_pages(browser: TestClient) -> None:
    assert "Design a game" in browser.get("/contests").text
    page = browser.get("/contests/contest-2027?lang=zh")
    assert page.status_code == 200
    assert "<img src=x" not in page.text
    assert "{{7*7}}" in page.text
    assert "计入" in page.text
    picture = re.search(r"/contests/contest-2027/stages/[0-9a-f]{64}\.png", page.text)
    assert picture
    answer = browser.get(picture[0])
    assert answer.headers["content-type"] == "image/png"
    assert answer.content.startswith(b"\x89PNG")


def test_no_entry_and_no_drawing_is_given_to_a_browser(browser: TestClient) -> None:
    for path in ("stages/" + "0" * 64 + ".png", "stages/..%2f..%2fx.png", "entries/x.svg"):
        assert browser.get(f"/contests/contest-2027/{path}").status_code in (404, 422)
    assert browser.get("/contests/contest-2028").status_code == 404


def test_files_to_take_away(browser: TestClient) -> None:
    for name, start in (("entries.csv", "﻿code".encode()), ("entries.zip", b"PK\x03\x04"),
                        ("judges.pdf", b"%PDF-")):  # fmt: skip
        answer = browser.get(f"/contests/contest-2027/{name}")
        assert answer.content.startswith(start), name
        assert "attachment" in answer.headers["content-disposition"]
    assert HOSTILE.encode() not in browser.get("/contests/contest-2027/judges.pdf").content


def test_a_contest_is_switched_on_off_and_on_again(
    browser: TestClient, station: Station, secret: dict[str, str]
) -> None:
    path, seen = "/contests/contest-2027/publish", ""
    for state in ("prepared", "on", "off", "on"):
        answer = browser.post(path, data={"state": state, "seen": seen, **secret})
        assert answer.status_code == 200, answer.text
        seen = answer.url.path.removeprefix("/rollouts/")
        assert seen.startswith("contest-2027-")
    assert seen.endswith("-on-2")
    told = browser.post(path, data={"state": "off", "seen": "", **secret})
    assert told.status_code == 409 and "Meanwhile somebody else" in told.text
    wrong = browser.post(path, data={"state": "exploded", "seen": seen, **secret})
    assert wrong.status_code == 409
    assert seen in browser.get("/contests/contest-2027").text
    assert 'href="/contests"' in browser.get("/").text


def test_names_are_forgotten_when_it_is_time(
    browser: TestClient, station: Station, secret: dict[str, str]
) -> None:
    page = browser.get("/contests/contest-2027").text
    assert "0 entries have been kept long enough" in page and "Forget them" not in page
    with station.database.transaction() as session:
        for row in session.query(EntryRow):
            row.received_at = now() - timedelta(days=400)
    assert "Forget them" in browser.get("/contests/contest-2027").text
    path = "/contests/contest-2027/erase"
    assert browser.post(path, data=secret).status_code == 409
    done = browser.post(path, data={"confirm": "contest-2027", **secret})
    assert done.status_code == 200 and "0 entries have been kept" in done.text
    with station.database.reading() as session:
        assert [row.pupil for row in session.query(EntryRow)] == [None]


def test_only_with_the_token(station: Station) -> None:
    stranger = TestClient(make_operator_side(station), follow_redirects=False)
    for path in ("", "/contest-2027", "/contest-2027/entries.zip"):
        assert stranger.get(f"/contests{path}").status_code in (302, 303, 307, 401, 403)
