"""Handing in, as a child does it: Debian's Chromium on a pupil's page, services in processes of
their own, a teacher's machine, and a station that is out of reach for a while."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from provisioner.contest import judging
from provisioner.contest.folder import load_contest
from provisioner.contest.intake import Intake
from provisioner.entry.receipt import code_of, read_code
from provisioner.handin import stick
from tests import hostile_entries as hostile
from tests.contest_room import (
    CONTEST,
    PATIENCE_S,
    ContestRoom,
    MachineService,
    contest_yml,
    wait_until,
)

pytestmark = pytest.mark.web
MS = PATIENCE_S * 1000


@pytest.fixture
def room(tmp_path: Path) -> Iterator[ContestRoom]:
    made = ContestRoom.make(tmp_path)
    teacher = made.add("teacher", 1)
    made.add("pupil-01", 2, teacher)
    for machine in made.machines.values():
        machine.start()
    yield made
    made.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    opened = chromium.new_page(locale="zh-CN", accept_downloads=True)
    opened.set_default_timeout(MS)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def games(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A game, a later version of it, one that is cut off, and one of Scratch 2."""
    folder = tmp_path_factory.mktemp("games")
    data = hostile.good_entry(folder)
    project, assets = hostile.contents(data)
    project["targets"][1]["blocks"]["move"]["inputs"]["STEPS"] = [1, [4, "77"]]
    made = {"游戏.sb3": data, "游戏2.sb3": hostile.packed(project, assets), "坏了.sb3": data[:-9]}
    for name, content in made.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in made}


def choose(page: Page, machine: MachineService, game: Path, name: str = "王小明") -> None:
    if not page.url.startswith(machine.page):
        page.goto(machine.page)
        expect(page.locator("h1")).to_have_text("设计一个游戏")
    page.set_input_files("#file", game)
    page.fill("#name", name)
    page.fill("#class", "五年级二班")
    page.select_option("#group", "primary")


def hand_in(page: Page, machine: MachineService, game: Path, name: str = "王小明") -> str:
    choose(page, machine, game, name)
    page.click("#send")
    expect(page.locator("#said.good")).to_be_visible(timeout=MS)
    return page.locator("#said").inner_text().rpartition("：")[2].strip()


def entries(room: ContestRoom) -> dict[str, judging.Entry]:
    found = load_contest(room.station.settings.inventories_dir, CONTEST)
    with room.station.database.reading() as session:
        return {entry.row.code: entry for entry in judging.entries_of(session, found)}


def test_from_the_pupils_page_to_the_organisers_table(
    room: ContestRoom, page: Page, games: dict[str, Path], tmp_path: Path
) -> None:
    pupil, teacher = room.machines["pupil-01"], room.machines["teacher"]
    code = hand_in(page, pupil, games["游戏.sb3"])
    assert read_code(code) == code
    own = list(pupil.box.glob("entries/*.sb3"))
    assert [path.read_bytes() for path in own] == [games["游戏.sb3"].read_bytes()]
    mine = page.locator("#entries li").first
    expect(mine).to_contain_text(
        "老师的电脑：已收到", timeout=60_000
    )  # a minute is what is promised
    expect(mine).to_contain_text("主办方：等待发送")
    kept = list(teacher.box.glob("room/entries/*.sb3"))
    assert [path.read_bytes() for path in kept] == [own[0].read_bytes()]
    assert hand_in(page, pupil, games["游戏.sb3"]) == code  # pressed twice: the same entry
    later = hand_in(page, pupil, games["游戏2.sb3"])
    assert later != code
    check_teacher(page, teacher, [code, later], tmp_path / "all.zip")
    room.door.open()
    # Both the pupil's own machine and the teacher's bring it: each is at home once.
    wait_until(lambda: len(entries(room)) == 2, "the entries to come home", 700)
    found = entries(room)
    assert {code: found[code].standing, later: found[later].standing} == {
        code: "replaced", later: "counts"}  # fmt: skip
    page.goto(f"{teacher.page}/room")
    expect(page.locator("#rows tr").first).to_contain_text("已收到", timeout=700_000)
    check_stick(room, tmp_path / "all.zip", {code, later})


def check_teacher(page: Page, teacher: MachineService, codes: list[str], saved: Path) -> None:
    """The teacher's page: who has handed in and who has not; everything in one file."""
    page.goto(f"{teacher.page}/room")
    for code in codes:
        expect(page.locator("#rows")).to_contain_text(code, timeout=MS)
    expect(page.locator("#rows")).to_contain_text("王小明 五年级二班")
    expect(page.locator("#without")).to_have_text("还没有交的座位：pupil-02")
    page.click("#language")
    expect(page.locator("#without")).to_have_text("Seats without one: pupil-02")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(saved)


def check_stick(room: ContestRoom, saved: Path, codes: set[str]) -> None:
    """What the teacher saved, taken in by a station that has heard nothing of it yet."""
    found = load_contest(room.station.settings.inventories_dir, CONTEST)
    other = Intake(found, room.station.database, room.station.key, saved.parent / "other")
    carried = stick.bring_in_zip(saved, other)
    assert (carried.whole, carried.problems) == (2, ())
    assert {code_of(kept.hand_in) for kept in other.keeping.kept()} == codes


def test_killed_at_any_moment_of_handing_in(
    room: ContestRoom, page: Page, games: dict[str, Path]
) -> None:
    """What the pupil saw a receipt for is there; what was cut off is handed in again, once."""
    pupil = room.machines["pupil-01"]
    page.on("dialog", lambda dialog: dialog.dismiss())
    for number, wait_ms in enumerate((0, 5, 15, 40, 120)):
        name = f"第{number}个"
        choose(page, pupil, games["游戏.sb3"], name)
        page.click("#send")
        page.wait_for_timeout(wait_ms)
        pupil.kill()
        expect(page.locator("#send")).to_be_enabled(timeout=MS)
        shown = page.locator("#said.good")
        seen = shown.inner_text().rpartition("：")[2].strip() if shown.count() else ""
        pupil.start()
        again = hand_in(page, pupil, games["游戏.sb3"], name)
        assert seen in ("", again)
    papers = [json.loads(path.read_text()) for path in pupil.box.glob("hand-ins/*.json")]
    assert len(papers) == 5
    assert not list(pupil.box.glob("*/.*"))


@pytest.mark.parametrize(
    ("game", "said"), [("坏了.sb3", "不完整"), ("游戏.txt", "不是 Scratch 作品")]
)
def test_what_is_no_game_is_said_in_a_childs_words(
    room: ContestRoom, page: Page, games: dict[str, Path], tmp_path: Path, game: str, said: str
) -> None:
    (tmp_path / "游戏.txt").write_text("no game at all, but long enough to be looked at")
    choose(page, room.machines["pupil-01"], games.get(game, tmp_path / game))
    page.click("#send")
    expect(page.locator("#said.bad")).to_contain_text(said, timeout=MS)
    assert not list(room.machines["pupil-01"].box.glob("entries/*"))


def test_too_late_is_refused_where_the_rules_say_so(
    page: Page, games: dict[str, Path], tmp_path: Path
) -> None:
    """A machine whose clock is known refuses; one that does not know the time takes it, for the
    organiser to judge."""
    made = ContestRoom.make(tmp_path, contest_yml(-5, -1, late="refuse"))
    try:
        teacher = made.add("teacher", 1)
        sure = made.add("pupil-01", 2, teacher)
        unsure = made.add("pupil-02", 3, teacher, clock_known=False)
        for machine in (sure, unsure):
            machine.start()
        choose(page, sure, games["游戏.sb3"])
        page.click("#send")
        expect(page.locator("#said.bad")).to_have_text("比赛已经结束，不能再交作品了。", timeout=MS)
        code = hand_in(page, unsure, games["游戏.sb3"])
        made.door.open()
        wait_until(lambda: code in entries(made), "the entry to come home", 700)
        assert entries(made)[code].row.lateness == "doubtful"
    finally:
        made.close()
