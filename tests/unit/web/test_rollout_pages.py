"""Rollouts on their pages: started, watched, paused, let go on, taken back; and said in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from provisioner.fleet import rollouts
from provisioner.fleet.rollout import SchoolFigures, Verdict, decide
from provisioner.lifecycle import Milestone
from provisioner.model.rollout import Freeze, MachineState, RolloutPlan, RolloutState
from provisioner.store.rollout_tables import RolloutMachineRow
from provisioner.store.tables import BatchRow, now
from provisioner.web import make_operator_side, rollout_words
from provisioner.web.speech import Speech
from provisioner.workshop.station import Station
from tests import factories, people
from tests.factories import SCHOOL

Form = dict[str, str]
NEXT = "education@2027.1"
PLAN = {"name": "summer", "value": NEXT, "former": "education@2026.1", f"school-{SCHOOL}": "yes"}
HOSTILE = "</td><script>alert(1)</script>{{7*7}}"


@pytest.fixture
def country(station: Station) -> Station:
    """Two schools with machines in service, and a newer release."""
    newer = factories.make_manifest().model_copy(update={"version": "2027.1", "number": 2027001})
    factories.publish(station, newer)
    factories.open_batch(station)
    with station.database.transaction() as session:
        for number in (1, 2, 3, 4):
            factories.add_machine(session, number, Milestone.HANDED_OVER)
    return station


@pytest.fixture
def going(country: Station, browser: TestClient, secret: Form) -> Station:
    assert browser.post("/rollouts", data={**PLAN, **secret}).url.path == "/rollouts/summer"
    return country


def fail(station: Station, tag: str = "PC-0001") -> None:
    """A machine that was given it says that it is not well."""
    with station.database.transaction() as session:
        row = session.scalars(select(RolloutMachineRow)).first()
        assert row is not None
        row.state, row.told_at, row.problem = MachineState.FAILED, now(), HOSTILE
        rollouts.step(session, now())


def state(station: Station) -> str:
    with station.database.reading() as session:
        return rollouts.find(session, "summer").state


def test_a_release_is_sent_from_the_page(browser: TestClient, country: Station) -> None:
    assert "Nothing has gone to schools" in browser.get("/rollouts").text
    form = browser.get("/rollouts/new").text
    assert f'name="school-{SCHOOL}" value="yes" checked' in form
    assert "high-pasture" not in form  # it has no machine in service
    assert 'href="/rollouts"' in browser.get("/").text


def test_its_page_shows_waves_and_figures(browser: TestClient, going: Station) -> None:
    page = browser.get("/rollouts/summer").text
    assert "under way" in page and "One classroom" in page and SCHOOL in page
    assert re.search(r"<dt>machines take part</dt><dd>4</dd>", page)
    zh = browser.get("/rollouts/summer?lang=zh").text
    assert "等待电脑安装并证实" in zh and "实验室" in zh
    assert browser.get("/rollouts/winter").status_code == 404
    assert "summer" in browser.get(f"/schools/{SCHOOL}").text


def test_a_plan_with_a_mistake_comes_back_filled_in(
    browser: TestClient, country: Station, secret: Form
) -> None:
    for wrong in ({"value": "nonsense"}, {"former": NEXT}, {"name": "Ä"}):
        answer = browser.post("/rollouts", data={**PLAN, **wrong, **secret})
        assert answer.status_code in (404, 409, 422), wrong
        assert f'name="school-{SCHOOL}" value="yes" checked' in answer.text
    nobody = {key: text for key, text in PLAN.items() if not key.startswith("school-")}
    assert browser.post("/rollouts", data={**nobody, **secret}).status_code == 422
    browser.post(f"/releases/{NEXT}/standing",
                 data={"standing": "withdrawn", "reason": "no sound", **secret})  # fmt: skip
    assert browser.post("/rollouts", data={**PLAN, **secret}).status_code == 409


def test_a_rollout_that_stops_is_seen_on_today(browser: TestClient, going: Station) -> None:
    assert "Nobody needs a hand" in browser.get("/").text
    fail(going)
    today = browser.get("/").text
    assert 'data-count="1"' in today and 'href="/rollouts/summer"' in today
    assert "1 of 1 machines failed in the wave “Lab”." in today
    page = browser.get("/rollouts/summer").text
    assert HOSTILE not in page and "&lt;script&gt;" in page
    assert "这一批中，1 台有 1 台失败" in browser.get("/?lang=zh").text


def test_two_people_pause_it_and_one_is_told(
    browser: TestClient, going: Station, secret: Form
) -> None:
    assert browser.post("/rollouts/summer/pause", data=secret).status_code == 200
    assert state(going) == RolloutState.PAUSED
    told = browser.post("/rollouts/summer/pause", data=secret)
    assert told.status_code == 409 and "paused" in told.text
    assert browser.post("/rollouts/summer/resume", data=secret).status_code == 200
    assert state(going) == RolloutState.RUNNING


def test_taking_back_wants_the_name(browser: TestClient, going: Station, secret: Form) -> None:
    assert browser.post("/rollouts/summer/take-back", data=secret).status_code == 409
    assert state(going) == RolloutState.RUNNING
    form = {"confirm": "summer", **secret}
    assert browser.post("/rollouts/summer/take-back", data=form).status_code == 200
    assert state(going) == RolloutState.TAKEN_BACK  # nobody had it yet
    assert browser.post("/rollouts/summer/explode", data=secret).status_code == 409


def test_a_silent_school_is_accounted_for(
    browser: TestClient, going: Station, secret: Form
) -> None:
    with going.database.transaction() as session:
        row = session.scalars(select(RolloutMachineRow)).first()
        assert row is not None
        row.state, row.told_at = MachineState.TOLD, now()
        row.heard_at = now() - timedelta(days=5)
    assert "I know why it is silent" in browser.get("/rollouts/summer").text
    form = {"school": SCHOOL, **secret}
    page = browser.post("/rollouts/summer/account-for", data=form)
    assert page.status_code == 200 and "I know why it is silent" not in page.text


def test_only_who_leads_rollouts_and_looks_after_all_their_schools(
    going: Station, secret: Form
) -> None:
    for role, schools, allowed in (
        (Role.VOLUNTEER, (), False), (Role.ORGANISER, ("high-pasture",), False),
        (Role.ORGANISER, (SCHOOL,), True),
    ):  # fmt: skip
        cookie = people.log_in(going, role, login=f"{role}-{int(allowed)}", schools=schools)
        own = people.secret_of(cookie)
        with TestClient(make_operator_side(going), cookies={SESSION_COOKIE: cookie}) as other:
            assert other.get("/rollouts/summer").status_code == 200
            answer = other.post("/rollouts/summer/pause", data=own)
            assert answer.status_code == (200 if allowed else 403), (role, schools)


def made_reasons() -> Iterator[tuple[Verdict, str]]:
    """Every reason that the engine can give, from the engine itself."""
    names = tuple(f"s{number}" for number in range(40))
    at = datetime(2027, 3, 1, 9, tzinfo=UTC)

    def decided(wave: int, figures: list[SchoolFigures], **changes: object) -> tuple[Verdict, str]:
        values = {"name": "r", "track": "release", "value": "a@1", "former": "a@0",
                  "schools": names, **changes}  # fmt: skip
        decision = decide(RolloutPlan.model_validate(values), wave, figures, at)
        return decision.verdict, decision.reason

    fresh = [SchoolFigures(name, None, 25, waiting=25) for name in names]

    def of(wave: int, **counts: int) -> list[SchoolFigures]:
        return [SchoolFigures(names[0], wave, 25, waiting=25 - sum(counts.values()), **counts),
                *fresh[1:]]  # fmt: skip

    yield decided(0, fresh)
    yield decided(0, fresh, freezes=(Freeze(begins=at, ends=at + timedelta(days=1)),))
    yield decided(0, of(0, healthy=3), lab=(names[0],))
    yield decided(0, of(0, told=1), lab=(names[0],))
    yield decided(0, of(0, healthy=2, failed=1))
    yield decided(1, of(1, healthy=24, failed=1))
    done = [SchoolFigures(name, 3, 25, healthy=25) for name in names]
    yield decided(3, done)
    old = [SchoolFigures(names[0], 0, 25, failed=3, waiting=22), *fresh[1:]]
    yield decided(2, old)
    spread = [SchoolFigures(name, 3, 25, healthy=24, failed=1) for name in names]
    yield decided(3, spread, halt_share=0.99, exposed_share=0.01)


def test_every_reason_of_the_engine_is_said_in_chinese() -> None:
    found = list(made_reasons())
    assert {verdict for verdict, _ in found} == set(Verdict)
    texts = {rollout_words.reason_text(reason)[0] for _, reason in found}
    assert len(texts) == len(rollout_words._REASONS), texts
    for _, reason in found:
        said = Speech("zh").rollout_reason(reason)
        assert re.search("[\u4e00-\u9fff]", said), reason
        assert Speech("en").rollout_reason(reason) not in (reason, "")


def test_words_for_every_state_and_an_unknown_reason() -> None:
    assert set(rollout_words.STATES) == set(RolloutState)
    assert set(rollout_words.VERDICTS) == set(Verdict)
    assert Speech("zh").rollout_reason("{wave} <b>") == "{wave} <b>"


def test_the_journal_says_what_was_decided(browser: TestClient, going: Station) -> None:
    fail(going)
    page = browser.get("/journal?lang=zh").text
    assert "停下" in page and "让更多学校加入" in page and "已开始" in page
    with going.database.reading() as session:
        assert session.query(BatchRow).count() == 1


def test_schools_of_a_country_fit_into_one_form(
    browser: TestClient, country: Station, secret: Form, tmp_path: Path
) -> None:
    many = {f"school-{number:04d}": "yes" for number in range(300)}
    assert browser.post("/rollouts", data={**PLAN, **many, **secret}).status_code == 200
