"""The pages as a browser without script gets them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from provisioner.api import reading
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.hardware import Smbios
from provisioner.model.record import Problem
from provisioner.web import make_operator_side
from provisioner.workshop.station import Station
from tests import factories
from tests.factories import BATCH, SCHOOL

PAGES = ("/", "/machines/PC-0001", "/machines/PC-0002", "/machines/PC-0004", "/machines/PC-0005",
         "/batches", "/batches/new", f"/batches/new?school={SCHOOL}",
         f"/batches/new?school={SCHOOL}&release=education@2026.1", f"/batches/{BATCH}", "/journal",
         "/machines/PC-0001/checklist", "/schools", f"/schools/{SCHOOL}", f"/schools/{SCHOOL}/edit",
         "/releases", "/releases/education@2026.1", "/donors", "/people", "/account")  # fmt: skip
VOID = {"meta", "link", "input", "br", "img", "hr"}
Form = dict[str, str]


class Structure(HTMLParser):
    """Tags that are closed in order, and what a reader of the page needs to find its way."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.bare_inputs: list[str] = []
        self.inline: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if (
            tag in ("input", "select")
            and values.get("type") != "hidden"
            and "label" not in self.open
        ):
            self.bare_inputs.append(str(values))
        self.inline += [name for name in values if name == "style" or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_well_built(
    browser: TestClient, busy: Station, path: str, language: str
) -> None:
    answer = browser.get(f"{path}{'&' if '?' in path else '?'}lang={language}")
    assert answer.status_code == 200
    structure = Structure(answer.text)
    assert len(set(structure.ids)) == len(structure.ids)
    assert structure.headings.count(1) == 1
    assert structure.bare_inputs == []
    assert structure.inline == []
    assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in answer.text
    assert ("今日" in answer.text) is (language == "zh")
    assert len(answer.content) < 60_000


@pytest.mark.parametrize("path", [*PAGES, "/login", "/nothing", "/machines/PC-9999"])
def test_nothing_comes_from_outside_and_nothing_is_kept(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text)


def test_today_shows_who_needs_a_hand_first(browser: TestClient, busy: Station) -> None:
    html = browser.get("/").text
    tags = re.findall(r'<h3><a href="/machines/(PC-\d+)">', html)
    assert tags == [f"PC-000{number}" for number in range(1, 9)]
    hands = re.findall(r'<p class="hand-head"><a href="/machines/(PC-\d+)">', html)
    assert hands == ["PC-0004", "PC-0005", "PC-0008"]
    assert html.index('id="hands"') < html.index('id="tiles"')
    assert "<strong>2</strong><span>of 12 ready</span>" in html
    assert "The disk is faulty" in html
    assert "Put in another disk" in html
    assert '<progress max="1" value="0.42"' in html
    assert "118.4 MB/s" in html
    assert re.search(r"about \d+ min left", html)
    assert '<noscript><meta http-equiv="refresh"' in html


def test_red_in_chinese_says_what_to_do_in_chinese(browser: TestClient, busy: Station) -> None:
    html = browser.get("/?lang=zh").text
    assert "硬盘有故障" in html
    assert "请换一块硬盘" in html
    assert '<p class="cause" lang="en">' in html


def test_the_language_lasts(browser: TestClient) -> None:
    browser.get("/?lang=zh")
    assert "今日" in browser.get("/").text


def test_without_a_batch_the_page_says_how_to_begin(browser: TestClient) -> None:
    html = browser.get("/").text
    assert "No batch is open" in html
    assert 'href="/batches/new"' in html


def test_evidence_is_shown_and_long_lists_are_cut(browser: TestClient, busy: Station) -> None:
    html = browser.get("/machines/PC-0001").text
    assert "250.1 GB overwritten; 64 places read back empty" in html
    assert "24 of 24 checks passed" in html
    assert "<li>…56</li>" in html


HOSTILE = "<script>alert(1)</script>{{1234*5678}}{% raw %}\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def hostile(station: Station) -> str:
    """A machine all of whose texts are an attack; its tag."""
    factories.open_batch(station)
    disk = factories.make_disk(model=HOSTILE, serial=HOSTILE, content=(HOSTILE,))
    other = factories.make_disk(model=HOSTILE, serial="2" + HOSTILE)
    hardware = factories.make_hardware(
        1, disks=(disk, other), cpu=HOSTILE,
        smbios=Smbios(system_vendor=HOSTILE, system_product=HOSTILE, system_serial=HOSTILE),
    )  # fmt: skip
    problem = Problem(kind=HOSTILE, message=HOSTILE, hint=HOSTILE)
    with station.database.transaction() as session:
        row = factories.add_machine(session, 1, Milestone.DIAGNOSED, hardware)
        row.boot = {"surroundings": "live", "kernel": HOSTILE}
        factories.fail(session, row, Verb.WIPE, problem)
        other_row = factories.add_machine(session, 2, Milestone.DIAGNOSED, hardware)
        factories.start(session, other_row, Verb.WIPE, 1)
        station.board.show(other_row.id, HOSTILE, 0.5)
    return "PC-0001"


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("path", ["/", "/machines/PC-0001", "/machines/PC-0002", "/journal",
                                  f"/batches/{BATCH}"])  # fmt: skip
def test_what_machines_say_is_text(
    browser: TestClient, hostile: str, path: str, language: str
) -> None:
    html = browser.get(f"{path}?lang={language}").text
    assert "&lt;script&gt;alert(1)" in html
    assert "{{1234*5678}}" in html
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "7006652" not in html
    Structure(html)


@pytest.mark.parametrize("query", ["?kind=%3Cscript%3E", "?machine=PC-0001&before=3"])
def test_the_journal_is_filtered(browser: TestClient, busy: Station, query: str) -> None:
    answer = browser.get(f"/journal{query}")
    assert answer.status_code == 200
    assert "<script>" not in answer.text


def test_the_journal_goes_back_in_time(
    browser: TestClient, busy: Station, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("provisioner.web.journal.EVENTS_ON_A_PAGE", 3)
    seen: list[str] = []
    path: str | None = "/journal"
    while path:
        html = browser.get(path).text
        seen += re.findall(r'<tr class="kind-([\w-]+)">', html)
        older = re.search(r'rel="next" href="([^"]+)"', html)
        path = older[1].replace("&amp;", "&") if older else None
    with busy.database.transaction() as session:
        assert seen == [e.kind for e in reading.events(session, newest=True, limit=1000)]


@pytest.mark.parametrize("path", ["/nothing", "/machines/x", "/batches/x", "/machines/%00"])
def test_errors_are_pages_with_a_way_on(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"].startswith("text/html")
    assert 'href="/"' in answer.text


# The way in


def test_a_form_has_a_limit(station: Station) -> None:
    visitor = TestClient(make_operator_side(station))
    assert visitor.post("/login", data={"token": "x" * 100_000}).status_code == 413
    many = "&".join(f"f{n}=1" for n in range(100))
    assert visitor.post("/login", content=many).status_code == 400
    assert visitor.post("/login", content=b"token=\xff%ff").status_code == 400


def test_logging_out_ends_the_session(browser: TestClient, secret: Form) -> None:
    answer = browser.post("/logout", data=secret, follow_redirects=False)
    assert 'provisioner_session=""' in answer.headers["set-cookie"]


# What a volunteer does


def plan(**changes: str) -> Form:
    return {"name": "b1", "school": SCHOOL, "release": "education@2026.1", "size": "3",
            "open_minutes": "60", "disk": "smallest", **changes}  # fmt: skip


def test_a_batch_is_opened_and_closed(browser: TestClient, station: Station, secret: Form) -> None:
    assert browser.post("/batches", data={**plan(), **secret}).url.path == "/batches/b1"
    with station.database.transaction() as session:
        batch = reading.batch(session, "b1")
        assert (batch.open, batch.size, batch.policy.disk) == (True, 3, "smallest")
        assert [e.actor for e in reading.events(session) if e.kind == "batch-opened"] == ["li"]
    browser.post("/batches/b1/close", data=secret)
    with station.database.transaction() as session:
        assert not reading.batch(session, "b1").open


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [({"name": "B 1"}, 422, "name"), ({"size": "many"}, 422, "size"),
     ({"school": "new-shots"}, 404, "new-shoots"), ({"size": "\0"}, 422, "size"),
     ({"disk": "sda"}, 422, "policy.disk")],
)  # fmt: skip
def test_a_mistake_keeps_what_was_filled_in(
    browser: TestClient, station: Station, secret: Form, change: Form, status: int, says: str
) -> None:
    sent = plan(**change)
    answer = browser.post("/batches", data={**sent, **secret})
    assert answer.status_code == status
    assert says in answer.text
    if "school" not in change:  # else the first question is asked again
        assert f'value="{sent["name"]}"' in answer.text
    with station.database.transaction() as session:
        assert reading.batches(session) == []


def test_try_again(browser: TestClient, busy: Station, secret: Form) -> None:
    html = browser.post("/machines/PC-0004/try-again", data=secret).text
    assert "The disk is faulty" not in html


@pytest.mark.parametrize("confirm", ["", "yes", "PC-0004", "PC-0005x"])
def test_a_disk_is_not_erased_without_the_tag(
    browser: TestClient, busy: Station, secret: Form, confirm: str
) -> None:
    form = {"serial": "WCC3F7", "confirm": confirm, **secret}
    answer = browser.post("/machines/PC-0005/use-disk", data=form)
    assert answer.status_code == 409
    with busy.database.transaction() as session:
        assert reading.machine(busy, session, "PC-0005").target is None


def test_a_disk_is_chosen_with_the_tag(browser: TestClient, busy: Station, secret: Form) -> None:
    form = {"serial": "WCC3F7", "confirm": " pc-0005 ", **secret}
    html = browser.post("/machines/PC-0005/use-disk", data=form).text
    assert "This disk is used" in html
    with busy.database.transaction() as session:
        target = reading.machine(busy, session, "PC-0005").target
        assert target is not None
        assert target.serial == "WCC3F7"


def test_only_disks_that_may_be_used_are_offered(browser: TestClient, busy: Station) -> None:
    offered = re.findall(r'name="serial" value="(\w+)"', browser.get("/machines/PC-0005").text)
    assert offered == ["S3Z8NB0K700005", "WCC3F7"]


def test_redo_needs_the_tag_and_a_known_stage(
    browser: TestClient, busy: Station, secret: Form
) -> None:
    path = "/machines/PC-0001/redo"
    assert browser.post(path, data={"verb": "wipe", **secret}).status_code == 409
    confirmed = {"confirm": "PC-0001", **secret}
    assert browser.post(path, data={"verb": "fly", **confirmed}).status_code == 409
    assert browser.post(path, data={"verb": "verify", **confirmed}).status_code == 200
    with busy.database.transaction() as session:
        assert reading.machine(busy, session, "PC-0001").tile.milestone == "configured"


def test_hand_over_asks_who_received_it(browser: TestClient, busy: Station, secret: Form) -> None:
    path = "/machines/PC-0001/hand-over"
    assert browser.post(path, data={"received_by": " ", **secret}).status_code == 409
    html = browser.post(path, data={"received_by": "<b>Ms Li</b>", **secret}).text
    assert "received by &lt;b&gt;Ms Li&lt;/b&gt;" in html


def test_the_passport_is_a_file(browser: TestClient, busy: Station) -> None:
    answer = browser.get("/machines/pc-0001/passport")
    assert answer.headers["content-disposition"] == 'attachment; filename="PC-0001.json"'
    assert answer.json()["payloadType"].endswith("passport+json")
