"""The bench: arranged by dragging and by keyboard, kept by the station; and calls for a hand."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from provisioner.accounts.roles import Role
from provisioner.lifecycle import Milestone
from provisioner.model.record import Problem
from provisioner.store.tables import MachineRow
from provisioner.workshop import bench, runs
from tests import factories
from tests.web.conftest import Dashboard, OpenPage

pytestmark = pytest.mark.web
LONGEST_STALL_MS = 400  # on a machine that does other things, too


def expect_first(page: Page, *tags: str) -> None:
    """The first tiles are these, soon: the page may be drawing them anew just now."""
    for place, tag in enumerate(tags):
        expect(page.locator(".tile h3").nth(place)).to_have_text(tag)


def kept(dashboard: Dashboard) -> list[str]:
    with dashboard.station.database.reading() as session:
        places = bench.places(session)
        tag = {row.id: row.asset_tag or "New machine" for row in session.query(MachineRow)}
    return [tag[number] for number in sorted(places, key=lambda number: places[number])]


def test_tiles_are_arranged_by_keyboard_and_stay_there(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page(role=Role.VOLUNTEER)
    other = open_page(language="zh", role=Role.VOLUNTEER)
    page.get_by_role("button", name="Arrange").click()
    handle = page.get_by_role("button", name="Move PC-0003: arrow keys")
    handle.focus()
    with page.expect_response("**/bench"):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#said")).to_have_text("PC-0003 is now at place 2 of 9")
    expect_first(page, "PC-0001", "PC-0003", "PC-0002")
    assert kept(dashboard)[:3] == ["PC-0001", "PC-0003", "PC-0002"]
    expect(other.locator(".tile h3").nth(1)).to_have_text("PC-0003")
    page.reload(wait_until="commit")
    page.wait_for_selector("#tiles")
    expect_first(page, "PC-0001", "PC-0003", "PC-0002")


def test_tiles_are_arranged_by_dragging(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Arrange").click()
    tile, target = (page.locator(".tile").nth(number) for number in (3, 0))
    at, to = tile.bounding_box(), target.bounding_box()
    assert at is not None and to is not None
    page.mouse.move(at["x"] + 60, at["y"] + 40)
    page.mouse.down()
    page.mouse.move(to["x"] + 60, to["y"] + 40, steps=4)
    with page.expect_response("**/bench"):
        page.mouse.up()
    expect_first(page, "PC-0004", "PC-0001")
    assert kept(dashboard)[:2] == ["PC-0004", "PC-0001"]
    with page.expect_response("**/bench"):
        page.get_by_label("Places in a row").select_option("3")
    with dashboard.station.database.reading() as session:
        assert bench.columns(session) == 3
    rows = page.evaluate("[...document.querySelectorAll('.tile')].map(t => t.offsetTop)")
    assert len(set(rows)) == 3


def test_a_machine_that_fails_rings_and_notifies(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page()
    page.evaluate("""() => {
        window.rung = 0; window.told = [];
        window.AudioContext = class {
          constructor() { window.rung++; this.currentTime = 0; this.destination = {}; }
          createOscillator() { return { frequency: {}, connect: x => x, start() {}, stop() {} }; }
          createGain() { return { gain: { setValueAtTime() {}, exponentialRampToValueAtTime() {} },
                                  connect: x => x }; }
          close() {} };
        window.Notification = class { static permission = "granted";
          static requestPermission() { return Promise.resolve("granted"); }
          constructor(title, options) { window.told.push(title + ": " + options.body); } };
    }""")
    page.get_by_role("button", name="Sound").click()
    page.get_by_role("button", name="Notifications").click()
    expect(page.get_by_role("button", name="Notifications")).to_have_attribute(
        "aria-pressed", "true"
    )
    rung = page.evaluate("window.rung")
    with dashboard.station.database.transaction() as session:
        machine = session.query(MachineRow).filter_by(asset_tag="PC-0003").one()
        run = runs.open_runs(session, machine)[0]
        runs.fail(session, machine, run, Problem(kind="DiskFaultError", message="It is broken."))
    dashboard.station.board.clear(machine.id)
    expect(page.locator("#hands-title")).to_have_text("4 need a hand")
    page.wait_for_function("window.told.length === 1")
    assert page.evaluate("window.told[0]") == (
        "A machine needs a hand: PC-0003: The disk is faulty"
    )
    assert page.evaluate("window.rung") == rung + 1


def test_a_thousand_tiles_stay_smooth(dashboard: Dashboard, open_page: OpenPage) -> None:
    """Only what is on the screen is laid out, and changes come together, once a frame."""
    with dashboard.station.database.transaction() as session:
        for number in range(10, 1010):
            factories.add_machine(session, number, Milestone.DISCOVERED, batch=None)
    page = open_page()
    expect(page.locator(".tile")).to_have_count(1009)
    page.wait_for_timeout(1500)  # the first snapshot of the stream has arrived
    number = page.evaluate("document.querySelector('.tile').id.replace('tile-', '')")
    page.evaluate("""() => { window.slow = []; new PerformanceObserver(
        list => window.slow.push(...list.getEntries().map(e => e.duration))
    ).observe({ type: "longtask" }); }""")
    for fraction in (0.1, 0.2, 0.3):
        dashboard.station.board.show(int(number) + 1, "Overwriting the disk", fraction)
        page.wait_for_timeout(700)
    page.mouse.wheel(0, 4000)
    page.wait_for_timeout(300)
    assert page.locator(".tile").count() == 1009
    # A busy test machine may stall once; a page that lays out a thousand tiles would always.
    stalls = sorted(page.evaluate("window.slow"), reverse=True)[1:]
    assert all(stall < LONGEST_STALL_MS for stall in stalls), stalls
