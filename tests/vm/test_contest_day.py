"""The contest's day: two pupils' machines and a teacher's, from prepared to removed.

`make contest RESULTS=contest.json` runs this and writes what was measured. There is no way to the
station from before it is switched on until it is switched off, and one machine loses its power
while a pupil hands in.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Error, Page, Playwright, expect, sync_playwright

from provisioner.api.machine import make_machine_app
from provisioner.contest import judging, publishing
from provisioner.contest.folder import load_contest
from provisioner.fleet import rollouts
from provisioner.lifecycle import Milestone
from provisioner.model.signed import PrivateKey
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.settings import Settings, load_settings
from provisioner.store.tables import now
from provisioner.workshop.station import Station, open_station
from tests import factories
from tests import hostile_entries as hostile
from tests.contest_machines import (
    CONTEST_PACKAGES,
    ContestMachine,
    RoomWire,
    as_upload,
    room_wire,
    with_agent,
)
from tests.contest_room import CONTEST, contest_yml, make_contest_station, wait_until
from tests.integration.classroom_target import system_squashfs

pytestmark = [pytest.mark.vm, pytest.mark.long,
              pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")]  # fmt: skip
PORT = 8080
LONG_S = 900.0
SEATS = (("teacher", "teacher", 1), ("pupil-01", "pupil", 2), ("pupil-02", "pupil", 3))


@dataclass
class Day:
    """The room, its station, and what was measured."""

    folder: Path
    wire: RoomWire
    station: Station
    machines: dict[str, ContestMachine]
    measured: dict[str, Any] = field(default_factory=dict)

    def everyone(self) -> list[ContestMachine]:
        return list(self.machines.values())

    def publish(self, state: str) -> None:
        """As `provisioner contest publish CONTEST --state STATE` does."""
        found = load_contest(self.station.settings.inventories_dir, CONTEST)
        layer = publishing.make_layer(self.station, found)
        with self.station.database.transaction() as session:
            publishing.publish(session, found, layer, state, "test")

    def step(self) -> None:
        with self.station.database.transaction() as session:
            rollouts.step(session, now())

    def until(self, state: str, what: str) -> None:
        """Until every machine's agent says that it is in a state; how long is kept."""
        began = time.monotonic()

        def done() -> bool:
            self.step()
            return all(str(m.state().get("has", "")).endswith(f".{state}")
                       for m in self.everyone())  # fmt: skip

        wait_until(done, f"{state} on every machine", LONG_S)
        self.measured[what] = round(time.monotonic() - began, 1)

    def entries(self) -> dict[str, judging.Entry]:
        found = load_contest(self.station.settings.inventories_dir, CONTEST)
        with self.station.database.reading() as session:
            return {entry.row.code: entry for entry in judging.entries_of(session, found)}


@pytest.fixture(scope="module")
def image() -> Path:
    return system_squashfs(load_settings().cache_dir, CONTEST_PACKAGES)


@pytest.fixture
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture
def day(image: Path, tmp_path: Path) -> Iterator[Day]:
    made = make_contest_station(tmp_path, contest_yml(opens_h=0.9, closes_h=9))
    made.database.close()
    settings = Settings(state_dir=tmp_path / "state", inventories_dir=tmp_path / "inventories",
                        field_poll_s=2)  # fmt: skip
    with room_wire() as wire:
        station = open_station(settings, url=f"http://{wire.station}:{PORT}")
        stop = serve(station, wire, tmp_path)
        machines: dict[str, ContestMachine] = {}
        room = [{"seat": seat, "role": role} for seat, role, _ in SEATS]
        try:
            for seat, _, number in SEATS:
                key, tag = enrolled(station, number)
                prepare = with_agent(key, tag, station.url, station.key.public, seat, room)
                machines[seat] = ContestMachine(seat, tmp_path / seat, image, wire.wire(number),
                                                prepare)  # fmt: skip
                machines[seat].start()
                machines[seat].shell("useradd --uid 2001 --create-home --shell /bin/bash pupil")
            yield Day(tmp_path, wire, station, machines)
        finally:
            for machine in machines.values():
                machine.stop()
            stop()
            station.database.close()


def enrolled(station: Station, number: int) -> tuple[PrivateKey, str]:
    key = PrivateKey.from_hex(f"{number + 900:064x}")
    with station.database.transaction() as session:
        row = factories.add_machine(session, number, Milestone.HANDED_OVER)
        row.installed_key, row.seat = key.public, number
        return key, row.asset_tag or ""


def serve(station: Station, wire: RoomWire, folder: Path) -> Callable[[], None]:
    """The station's door for machines on the room's wire; returns how to close it."""
    netboot = NetbootSettings(interface="lo", station="10.77.0.1/24", mode=DhcpMode.SERVER,
                              tftp_root=folder, state_dir=folder)  # fmt: skip
    app = make_machine_app(station, netboot, folder)
    config = uvicorn.Config(app, host=wire.station, port=PORT, log_level="warning",
                            timeout_graceful_shutdown=1)  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the station's door")

    def stop() -> None:
        server.should_exit = True
        thread.join(timeout=30)

    return stop


def hand_in(page: Page, game: bytes, name: str) -> str:
    page.goto("http://127.0.0.1:8602/")
    expect(page.locator("h1")).to_have_text("设计一个游戏", timeout=120_000)
    page.set_input_files("#file", as_upload("我的游戏.sb3", game))
    page.fill("#name", name)
    page.select_option("#group", "primary")
    page.click("#send")
    expect(page.locator("#said.good")).to_be_visible(timeout=120_000)
    return page.locator("#said").inner_text().rpartition("：")[2].strip()


def other(game: bytes, steps: str) -> bytes:
    project, assets = hostile.contents(game)
    project["targets"][1]["blocks"]["move"]["inputs"]["STEPS"] = [1, [4, steps]]
    return hostile.packed(project, assets)


def test_the_day(day: Day, playwright: Playwright, tmp_path: Path) -> None:
    game = hostile.good_entry(tmp_path)
    before = {machine.name: machine.tree() for machine in day.everyone()}
    day.publish("prepared")
    day.until("prepared", "prepared_s")
    prepared = {machine.name: machine.tree() for machine in day.everyone()}
    assert prepared == before  # it lies on the state partition, outside of the system
    day.wire.leave()
    switch_on(day)
    codes = on_the_day(day, playwright, game)
    for machine in day.everyone():
        machine.wish("off")
    day.until("prepared", "off_s")
    after = {machine.name: machine.tree() for machine in day.everyone()}
    assert after == before
    day.measured["tree_identical"], day.measured["tree_files"] = True, len(before["pupil-01"])
    kept = day.machines["pupil-01"].shell("ls /home/pupil/比赛")
    assert "rules.zh.md" in kept
    come_home(day, codes)
    day.publish("removed")
    day.until("removed", "removed_s")
    for machine in day.everyone():
        assert not machine.says("test -e /run/classroom/state/contest/contest-2027")
        assert machine.tree() == before[machine.name]
    write_results(day)


def switch_on(day: Day) -> None:
    for machine in day.everyone():
        assert not machine.says(f"ping -c1 -W2 {day.wire.station}")
        machine.wish("on")
    day.until("on", "on_s")
    for machine in day.everyone():
        assert machine.says("nft list chain inet contest output | grep -q 'policy drop'")
        assert machine.says("systemctl is-active classroom-hand-in.service")
        assert "rules.zh.md" in machine.shell("ls /home/pupil/比赛")


def on_the_day(day: Day, playwright: Playwright, game: bytes) -> list[str]:
    """Two pupils hand in; one machine loses its power while the second entry is written."""
    first, second = day.machines["pupil-01"], day.machines["pupil-02"]
    with first.browser(playwright) as page:
        only_what_the_rules_allow(page)
        codes = [hand_in(page, game, "王小明")]
        began = time.monotonic()
        mine = page.locator("#entries li").first
        expect(mine).to_contain_text("老师的电脑：已收到", timeout=60_000)  # the promised minute
        day.measured["at_the_teachers_s"] = round(time.monotonic() - began, 1)
        expect(mine).to_contain_text("主办方：等待发送")
    with second.browser(playwright) as page:
        codes.append(hand_in(page, other(game, "11"), "李小红"))
        # The receipt is on the screen: from now on it must outlive anything.
        page.set_input_files("#file", as_upload("2.sb3", other(game, "22")))
        page.fill("#name", "李小红")
        page.click("#send", no_wait_after=True)
        second.cut_power()
    began = time.monotonic()
    second.start()
    wait_until(lambda: second.says("systemctl is-active classroom-hand-in.service"),
               "the contest after the power cut", LONG_S)  # fmt: skip
    day.measured["on_again_after_power_cut_s"] = round(time.monotonic() - began, 1)
    assert second.says("nft list chain inet contest output | grep -q 'policy drop'")
    with second.browser(playwright) as page:
        page.goto("http://127.0.0.1:8602/")
        expect(page.locator("#entries")).to_contain_text(codes[1], timeout=120_000)
        codes.append(hand_in(page, other(game, "22"), "李小红"))
        expect(page.locator("#entries li").first).to_contain_text("老师的电脑：已收到",
                                                                  timeout=120_000)  # fmt: skip
    teacher = day.machines["teacher"]
    with teacher.browser(playwright) as page:
        page.goto("http://127.0.0.1:8602/room")
        for code in codes:
            expect(page.locator("#rows")).to_contain_text(code, timeout=120_000)
        expect(page.locator("#without")).to_have_text("每个座位都交了。")
    return codes


def only_what_the_rules_allow(page: Page) -> None:
    """By Chromium's policy, which other pages cannot be reached."""
    for address in ("http://example.com/", "http://192.0.2.7/", "file:///etc/passwd"):
        with pytest.raises(Error, match="ERR_BLOCKED_BY_ADMINISTRATOR"):
            page.goto(address)


def come_home(day: Day, codes: list[str]) -> None:
    """The line is back, the contest is off: every entry that was acknowledged comes home, once."""
    began = time.monotonic()
    day.wire.join()
    wait_until(lambda: set(codes) <= set(day.entries()), "the entries to come home", LONG_S)
    day.measured["home_s"] = round(time.monotonic() - began, 1)
    found = day.entries()
    day.measured["entries"] = len(found)
    assert len(found) == len(set(codes))
    assert [found[code].standing for code in codes] == ["counts", "replaced", "counts"]


def write_results(day: Day) -> None:
    day.measured["machines"] = len(day.machines)
    print(json.dumps(day.measured, indent=1))
    if path := os.environ.get("RESULTS"):
        Path(path).write_text(json.dumps(day.measured, indent=1) + "\n")
