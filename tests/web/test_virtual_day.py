"""A workshop day in the browser with the virtual classroom behind it: real firmware, real disks.

A volunteer comes in, opens a batch in three steps and switches two PCs on; one of them has two
disks and asks, its cause is read and answered on the screen; both go to verified while the page
is only watched; then papers are printed and a machine is handed over. With PICTURES=folder what
was seen is kept there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from provisioner.lab.workshop import SCHOOL, VirtualWorkshop
from provisioner.settings import load_settings
from tests.people import PASSWORD
from tests.web.test_workshop_day import assert_pdf, download

pytestmark = [
    pytest.mark.web,
    pytest.mark.long,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for a network namespace"),
]
BATCH = "monday"
MINUTES = 60_000
APPEAR_MS, VERIFIED_MS = 30 * MINUTES, 90 * MINUTES


@pytest.fixture
def workshop() -> Iterator[VirtualWorkshop]:
    with VirtualWorkshop(load_settings(), machines=2) as made:
        yield made


def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=str(Path(folder) / f"day-{name}.png"), full_page=True)


def test_a_day_with_real_machines(chromium: Browser, workshop: VirtualWorkshop) -> None:
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    station = workshop.station
    come_in(page, f"{station.dashboard}login#{station.login_code()}")
    open_a_batch(page)
    page.goto(f"{station.dashboard}?lang=en", wait_until="commit")
    expect(page.locator("#hands-title")).to_have_text("Nobody needs a hand")
    page.evaluate("window.mark = true")
    workshop.power_on()

    # Both appear by themselves; B has two disks, and the batch says “ask me”.
    hand = page.locator("#hands .hand")
    expect(page.locator(".tile h3", has_text="PC-")).to_have_count(2, timeout=APPEAR_MS)
    expect(hand).to_have_count(1, timeout=APPEAR_MS)
    expect(hand).to_contain_text("Which disk shall be used?")
    expect(hand.locator(".cause")).to_contain_text("WD-WCC6Y7HL2P0N")
    assert page.evaluate("window.mark === true")
    keep(page, "asked")
    before = workshop.classroom.bystander_digests()
    hand.get_by_role("link").click()
    tag = page.locator("h1").inner_text()
    page.locator("input[name=serial][value=S3EUNX0J403129]").check()
    page.get_by_label(f"Type {tag} to confirm").first.fill(tag)
    page.get_by_role("button", name="Erase and use this disk").click()
    expect(page.locator("#status.tone-ask")).to_have_count(0)

    page.goto(station.dashboard, wait_until="commit")
    expect(page.locator(".tile progress").first).to_be_visible(timeout=APPEAR_MS)
    keep(page, "working")
    expect(page.locator("#batches .ready strong")).to_have_text("2", timeout=VERIFIED_MS)
    expect(page.locator("#hands-title")).to_have_text("Nobody needs a hand")
    keep(page, "ready")
    papers(page, station.dashboard)
    hand_over(page, station.dashboard, tag)
    for machine in workshop.machines:
        machine.kill()
    assert workshop.classroom.bystander_digests() == before


def come_in(page: Page, address: str) -> None:
    page.goto(address)
    page.wait_for_url("**/account")
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    expect(page.locator("h1")).to_have_text("Today")


def open_a_batch(page: Page) -> None:
    page.locator("#batches a[href='/batches/new']").click()
    page.locator(f"input[value='{SCHOOL}']").check()
    page.get_by_role("button", name="Next step").click()
    page.locator("input[value^='lab@']").first.check()
    page.get_by_role("button", name="Next step").click()
    page.get_by_label("Name of the batch").fill(BATCH)
    page.get_by_label("How many machines may join").fill("2")
    page.get_by_role("button", name="Open the batch").click()
    page.wait_for_url(f"**/batches/{BATCH}")


def papers(page: Page, address: str) -> None:
    page.goto(f"{address}batches/{BATCH}", wait_until="commit")
    for name in ("Labels (PDF)", "Hand-over pack (PDF)"):
        assert_pdf(download(page, page.get_by_role("link", name=name)))
    page.locator("#papers input[name=donor]").fill("ACME")
    page.get_by_role("button", name="Issue the donor's certificate").click()
    assert_pdf(download(page, page.locator("#papers a[href$='/pdf']").first))


def hand_over(page: Page, address: str, tag: str) -> None:
    page.goto(f"{address}machines/{tag}", wait_until="commit")
    page.locator("input[name=received_by]").fill("Ms Li")
    page.locator("form[action$='/hand-over'] button").click()
    expect(page.locator("#status")).to_contain_text("In service")
    keep(page, "handed-over")
