"""A whole workshop day on the screen: a batch, machines that appear, one that fails and is mended,
papers, and the hand-over; in both languages, on a desktop and on a phone.

The machines are robots that talk to the station as real ones do (tests.unit.workshop.robot) up to
the wipe; what follows needs a real system and is seen in tests/vm, and with the browser before it
in test_virtual_day.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Download, Locator, Page, expect

from provisioner.accounts.roles import Role
from provisioner.lifecycle import Milestone, Verb
from provisioner.store.tables import MachineRow
from provisioner.workshop import desk, runs
from provisioner.workshop.dialogue import Dialogue
from tests import factories
from tests.paper_factory import make_pc, send_through
from tests.web.conftest import Dashboard, OpenPage

pytestmark = pytest.mark.web
NAME = "monday"


@pytest.mark.parametrize(
    ("language", "width"),
    [("en", 1280), ("zh", 360), pytest.param("zh", 1280, marks=pytest.mark.long),
     pytest.param("en", 360, marks=pytest.mark.long)],
)  # fmt: skip
def test_a_workshop_day(
    dashboard: Dashboard, open_page: OpenPage, language: str, width: int
) -> None:
    station = dashboard.station
    with station.database.transaction() as session:
        desk.close_batch(station, session, factories.BATCH, "test")
    page = open_page(language=language, width=width, role=Role.OPERATOR)
    open_a_batch(page)
    for number in (61, 62, 63):
        send_through(Dialogue(station), make_pc(number))
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(3)
    tags = page.locator(".tile h3").all_inner_texts()

    fail(dashboard, tags[1])
    hand = page.locator("#hands .hand")
    expect(hand).to_have_count(1)
    expect(hand.locator(".cause")).to_contain_text("did not keep what was written")
    hand.get_by_role("link").click()
    expect(page.locator("#status.tone-fail")).to_be_visible()
    page.locator("#status form[action$='try-again'] button").click()
    expect(page.locator("#status.tone-fail")).to_have_count(0)

    finish(dashboard, tags)
    page.goto(f"{dashboard.url}/batches/{NAME}", wait_until="commit")
    expect(page.locator("#batches .ready strong")).to_have_text("3")
    for address in ("labels", "hand-over"):
        assert_pdf(download(page, page.locator(f"#papers a[href$='/{address}']")))
    page.fill("#papers input[name=donor]", "ACME <b>Ltd</b>")
    page.locator("#papers form button").click()
    assert_pdf(download(page, page.locator("#papers a[href$='/pdf']").first))

    page.goto(f"{dashboard.url}/machines/{tags[0]}", wait_until="commit")
    page.fill("input[name=received_by]", "李老师")
    page.locator("form[action$='/hand-over'] button").click()
    expect(page.locator("#status")).to_contain_text("使用中" if language == "zh" else "In service")
    page.goto(f"{dashboard.url}/journal?actor=operator", wait_until="commit")
    expect(page.locator(".events tbody tr")).not_to_have_count(0)


def open_a_batch(page: Page) -> None:
    """Three steps: school, release, how."""
    page.locator("#batches a[href='/batches/new']").click()
    page.locator(f"input[value='{factories.SCHOOL}']").check()
    page.locator("main form button").click()
    page.locator("input[value='education@2026.1']").check()
    page.locator("main form button").click()
    page.fill("input[name=name]", NAME)
    page.fill("input[name=size]", "4")
    page.locator("main form button").click()
    page.wait_for_url(f"**/batches/{NAME}")


def fail(dashboard: Dashboard, tag: str) -> None:
    with dashboard.station.database.transaction() as session:
        machine = desk.find_machine(session, tag)
        for run in runs.open_runs(session, machine):
            runs.interrupt(session, machine, run, "test")
        factories.fail(session, machine, Verb.IMAGE, factories.FAULTY)
    dashboard.station.board.clear(machine.id)


def finish(dashboard: Dashboard, tags: list[str]) -> None:
    """Imaged, configured and verified, as tests/vm does it for real."""
    with dashboard.station.database.transaction() as session:
        for tag in tags[:3]:
            machine = session.query(MachineRow).filter_by(asset_tag=tag).one()
            for run in runs.open_runs(session, machine):
                runs.interrupt(session, machine, run, "test")
            machine.milestone, machine.release = Milestone.VERIFIED, "education@2026.1"
    dashboard.station.board.touch()


def download(page: Page, link: Locator) -> Download:
    with page.expect_download() as started:
        link.click()
    return started.value


def assert_pdf(done: Download) -> None:
    assert Path(done.path()).read_bytes().startswith(b"%PDF-")
