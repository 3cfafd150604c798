"""The dashboard in a real browser: what happens on the station is seen without loading again."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from provisioner.lifecycle import Verb
from provisioner.model.record import Problem
from provisioner.store.tables import MachineRow
from provisioner.workshop import desk, runs
from tests import factories
from tests.people import PASSWORD
from tests.web.conftest import Dashboard, OpenPage

pytestmark = pytest.mark.web


def number_of(dashboard: Dashboard, tag: str) -> int:
    with dashboard.station.database.transaction() as session:
        return desk.find_machine(session, tag).id


def loaded_once(page: Page) -> None:
    """Leave a mark that would be gone if the page were loaded again."""
    page.evaluate("window.mark = true")


def still_the_same_page(page: Page) -> bool:
    return bool(page.evaluate("window.mark === true"))


def order_of_tiles(page: Page) -> list[str]:
    return page.locator(".tile h3").all_inner_texts()


def hands(page: Page) -> list[str]:
    return page.locator("#hands .hand-head a").all_inner_texts()


def test_the_first_administrator_comes_in_and_chooses_a_password(
    chromium: Browser, dashboard: Dashboard
) -> None:
    page = chromium.new_page()
    address = dashboard.login
    page.goto(address)
    page.wait_for_url(f"{dashboard.url}/account")
    assert address.partition("#")[2] not in page.content()
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Keep this password").click()
    expect(page.locator("h1")).to_have_text("Today")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Login", exact=True).fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(page.locator("h1")).to_have_text("Today")
    page.close()


def test_the_code_leaves_the_address_at_once(chromium: Browser, dashboard: Dashboard) -> None:
    page = chromium.new_page()
    address = dashboard.login
    token = address.partition("#")[2]

    def keep_the_page(route: Route) -> None:
        if route.request.method == "POST":
            route.fulfill(status=204)
        else:
            route.continue_()

    page.route("**/login", keep_the_page)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.goto(address, wait_until="commit")
    assert token in (sent.value.post_data or "")
    assert page.evaluate("location.href") == f"{dashboard.url}/login"
    page.close()


def test_a_tile_changes_live(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page()
    loaded_once(page)
    number = number_of(dashboard, "PC-0002")
    tile = page.locator(f"#tile-{number}")
    expect(tile.locator(".figures")).to_contain_text("42 %")
    dashboard.station.board.show(number, "Reading the disk back", 0.93, 90_000_000)
    expect(tile.locator(".figures")).to_contain_text("93 %")
    expect(tile.locator(".step")).to_have_text("Reading the disk back")
    assert still_the_same_page(page)


def test_a_machine_that_fails_comes_to_the_front_in_red(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page(language="zh")
    loaded_once(page)
    assert hands(page) == ["PC-0004", "PC-0005", "PC-0008"]
    with dashboard.station.database.transaction() as session:
        machine = desk.find_machine(session, "PC-0003")
        run = runs.open_runs(session, machine)[0]
        problem = Problem(kind="ImageMismatchError", message="<b>system.squashfs</b> differs.")
        runs.fail(session, machine, run, problem)
    dashboard.station.board.clear(machine.id)
    tile = page.locator(f"#tile-{machine.id}")
    expect(tile).to_have_class("tile tone-fail")
    expect(tile.locator(".headline")).to_contain_text("硬盘上的内容与系统版本不一致")
    first = page.locator("#hands .hand").first
    expect(first.locator(".cause")).to_have_text("<b>system.squashfs</b> differs.")
    assert hands(page) == ["PC-0003", "PC-0004", "PC-0005", "PC-0008"]
    assert order_of_tiles(page)[:3] == ["PC-0001", "PC-0002", "PC-0003"]
    assert page.title().startswith("(4)")
    expect(page.locator("#batches")).to_contain_text("3 台需要帮助")
    assert still_the_same_page(page)


def test_machines_come_and_go(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page()
    loaded_once(page)
    expect(page.locator(".tile")).to_have_count(9)
    with dashboard.station.database.transaction() as session:
        factories.add_machine(session, 10)
    dashboard.station.board.touch()
    expect(page.locator(".tile")).to_have_count(10)
    assert "PC-0010" in order_of_tiles(page)
    with dashboard.station.database.transaction() as session:
        desk.hand_over(dashboard.station, session, "PC-0001", "test", "Ms Li")
    expect(page.locator(".tile")).to_have_count(9)
    expect(page.locator("#batches .ready")).to_contain_text("2")
    assert still_the_same_page(page)


def test_the_keyboard_stays_where_it_is(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page()
    number = number_of(dashboard, "PC-0002")
    page.locator(f"#tile-{number} a").focus()
    dashboard.station.board.show(number, "Reading the disk back", 0.95)
    expect(page.locator(f"#tile-{number} .figures")).to_contain_text("95 %")
    focused = page.evaluate("document.activeElement.getAttribute('href')")
    assert focused == "/machines/PC-0002"


def test_a_machines_page_follows_it_and_keeps_what_is_typed(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page("/machines/PC-0005")
    loaded_once(page)
    page.fill("details[open] input[name=confirm]", "PC-00")
    with dashboard.station.database.transaction() as session:
        machine = desk.try_again(dashboard.station, session, "PC-0005", "test")
        factories.start(session, machine, Verb.DIAGNOSE, 0.1)
    dashboard.station.board.show(machine.id, "Testing the memory", 0.3)
    expect(page.locator("#status .headline")).to_have_text("Testing its parts")
    expect(page.locator("#stages .run").first).to_contain_text("running")
    assert page.input_value("details[open] input[name=confirm]") == "PC-00"
    assert still_the_same_page(page)


def test_a_disk_is_chosen_by_hand(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page("/machines/PC-0005")
    page.get_by_label("WDC WD10EZEX").check()
    page.get_by_label("Type PC-0005 to confirm").first.fill("PC-0005")
    page.get_by_role("button", name="Erase and use this disk").click()
    expect(page.locator(".disks .chosen")).to_contain_text("WDC WD10EZEX")
    with dashboard.station.database.transaction() as session:
        target = session.get_one(MachineRow, number_of(dashboard, "PC-0005")).target
    assert target is not None
    assert target["serial"] == "WCC3F7"


def test_a_station_that_stops_is_noticed_and_found_again(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page()
    lost = page.locator("#lost")
    expect(lost).to_be_hidden()
    dashboard.stop()
    expect(lost).to_be_visible()
    dashboard.start()
    expect(lost).to_be_hidden(timeout=30_000)
    number = number_of(dashboard, "PC-0002")
    dashboard.station.board.show(number, "Reading the disk back", 0.97)
    expect(page.locator(f"#tile-{number} .figures")).to_contain_text("97 %")


def test_without_script_pages_show_the_same(open_page: OpenPage) -> None:
    page = open_page(script=False)
    assert hands(page)[:2] == ["PC-0004", "PC-0005"]
    page.goto(page.url.partition("?")[0] + "machines/PC-0004")
    page.get_by_role("button", name="Try again").click()
    assert "The disk is faulty" not in page.content()
