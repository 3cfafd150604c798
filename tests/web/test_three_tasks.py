"""Three people's tasks, each in at most three clicks from Today: see docs/dashboard.md."""

from __future__ import annotations

from datetime import date

import pytest
from playwright.sync_api import Locator, Page, expect

from provisioner.accounts.roles import Role
from provisioner.lifecycle import Verb
from provisioner.workshop import desk, giving
from provisioner.workshop.dialogue import Dialogue
from tests import factories
from tests.paper_factory import make_pc, send_through
from tests.web.conftest import Dashboard, OpenPage

pytestmark = pytest.mark.web
MOST_CLICKS = 3


class Person:
    """Somebody with a mouse; counts."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def click(self, what: Locator) -> None:
        self.clicks += 1
        what.click()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_find_why_pc_7_failed(dashboard: Dashboard, open_page: OpenPage, language: str) -> None:
    with dashboard.station.database.transaction() as session:
        machine = factories.add_machine(session, 17)
        factories.fail(session, machine, Verb.DIAGNOSE, factories.FAULTY)
    volunteer = Person(open_page(language=language, role=Role.VOLUNTEER))
    expect(volunteer.page.locator("#hands")).to_contain_text("did not keep what was written")
    volunteer.click(volunteer.page.locator("#hands").get_by_role("link", name="PC-0017"))
    expect(volunteer.page.locator("#status .cause")).to_contain_text("byte 1 203 765 248")
    expect(volunteer.page.locator("#status .next")).to_be_visible()
    assert volunteer.clicks <= MOST_CLICKS


def test_print_the_donors_certificate(dashboard: Dashboard, open_page: OpenPage) -> None:
    station = dashboard.station
    with station.database.transaction() as session:
        desk.close_batch(station, session, factories.BATCH, "test")
    factories.open_batch(station, "gift")
    send_through(Dialogue(station), make_pc(61))
    with station.database.transaction() as session:
        giving.add_donor(session, giving.Donor(name="ACME"), "test")
        giving.gave_batch(session, "gift", "ACME", "test")
    operator = Person(open_page(role=Role.OPERATOR))
    operator.click(operator.page.get_by_role("link", name="gift"))
    operator.click(operator.page.get_by_role("button", name="Issue the donor's certificate"))
    with operator.page.expect_download() as download:
        operator.click(operator.page.locator("#papers").get_by_role("link", name="PDF").last)
    assert download.value.path().read_bytes().startswith(b"%PDF-")
    assert operator.clicks <= MOST_CLICKS


def test_which_classrooms_must_be_renewed_by_summer(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    with dashboard.station.database.transaction() as session:
        soon = giving.Lease(school="high-pasture", begins=date(2024, 2, 1), ends=date.today())
        giving.lease(session, soon, "test")
    organiser = Person(open_page(role=Role.ORGANISER))
    organiser.click(organiser.page.get_by_role("link", name="Schools"))
    due = organiser.page.locator("section", has=organiser.page.locator("#due-title"))
    expect(due).to_contain_text("High Pasture Boarding School")
    assert organiser.clicks <= MOST_CLICKS
