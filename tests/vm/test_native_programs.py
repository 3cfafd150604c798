"""What a pupil opens, in the education image run natively: the pages' own text is what counts.

Not emulated (see `native`): software drawing alone would take minutes under QEMU for each page.
test_school_pc shows the same programs on the screen of an emulated machine.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from provisioner.model.release import SYSTEM
from tests import blocks_factory
from tests.vm.conftest import FindRelease
from tests.vm.native import NATIVELY, NativeImage, settled, wait_for
from tests.vm.relay import relay, through_namespace

pytestmark = NATIVELY
PORT = 9222
DEBUGGING = f"--remote-debugging-port={PORT}"
LESSONS = "/usr/share/classroom/packs/first-lessons-web/content/index.html"
LOAD_MS = 300_000


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def box(
    find_release: FindRelease, tmp_path_factory: pytest.TempPathFactory, pictures: Path
) -> Iterator[NativeImage]:
    """The desktop of a pupil who has logged in at the image's own login screen."""
    folder = tmp_path_factory.mktemp("programs")
    with NativeImage(find_release("education") / SYSTEM, folder / "box", 73, "1280x800") as box:
        box.login_screen(folder / "lightdm.log")
        wait_for(lambda: "lightdm-gtk-greeter" in {p.name for p in box.processes()}, 300, "greeter")
        keep(box, "login", pictures)
        box.press("Return")  # the pupil's picture stands first, and needs no password
        wait_for(lambda: box.runs("xfce4-panel"), 300, "the panel")
        wait_for(lambda: box.windows("xfce4-panel") >= 2, 300, "both panels")
        settled(box)
        keep(box, "desktop", pictures)
        yield box


@contextmanager
def window(
    box: NativeImage, playwright: Playwright, command: list[str], folder: Path
) -> Iterator[Page]:
    """A window of Chromium inside, and its page; closed at the end."""
    with ExitStack() as stack:
        box.start(command, folder / "program.log")
        stack.callback(box.end, "chromium")
        port = stack.enter_context(relay(through_namespace(box.pid, PORT)))
        wait_for(lambda: box.answers(PORT), 120, "Chromium")
        browser = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}", timeout=LOAD_MS)
        stack.callback(browser.close)
        yield wait_for_page(browser)


def wait_for_page(browser: Browser) -> Page:
    pages: list[Page] = []

    def look() -> bool:
        pages[:] = [page for context in browser.contexts for page in context.pages]
        return bool(pages)

    wait_for(look, 60, "a page")
    return pages[0]


def shown_score(page: Page) -> str:
    """What stands in the monitor of the variable 得分 on the stage."""
    return page.locator("[class*=monitor_value]").first.inner_text()


def keep(box: NativeImage, name: str, folder: Path) -> None:
    """A picture for the docs, once the window is painted and stands still."""
    seen = [box.picture()]

    def still() -> bool:
        time.sleep(2)
        seen.append(box.picture())
        middle = seen[-1].crop((200, 150, 1000, 650)).getcolors(500_000)
        return seen[-1].tobytes() == seen[-2].tobytes() and middle is not None and len(middle) > 9

    wait_for(still, 120, f"the picture {name}")
    seen[-1].quantize(96).save(folder / f"{name}.png", optimize=True)


def test_block_programming_runs_a_project(
    box: NativeImage, playwright: Playwright, tmp_path: Path, pictures: Path,
    measured: dict[str, float],
) -> None:  # fmt: skip
    """The command that the menu starts, a pupil's file, the green flag: the right result."""
    work = blocks_factory.make_project("scratch-2024", tmp_path / "接香蕉.sb3")
    inside = box.give(work, "作品/接香蕉.sb3")
    command = ["env", f"CLASSROOM_BLOCKS_SWITCHES={DEBUGGING}", "classroom-blocks", inside]
    with window(box, playwright, command, tmp_path) as page:
        page.wait_for_selector("body[data-ready]", timeout=LOAD_MS, state="attached")
        assert "造型" in page.inner_text("body")  # the editor's own words, in Chinese
        assert shown_score(page) != "10"
        page.locator("[class*=green-flag_green-flag]").first.click()
        wait_for(lambda: shown_score(page) == "10", 120, "the program's result")
        assert page.evaluate("() => !!document.querySelector('canvas').getContext('webgl2') || "
                             "!!document.querySelector('canvas').getContext('webgl')")  # fmt: skip
        settled(box)
        measured["editor_session_mib"] = round(box.memory_mib(), 1)
        keep(box, "blocks", pictures)
        assert "127.0.0.1" in box.listening()
        assert "0.0.0.0" not in box.listening().replace("0.0.0.0:*", "")
    assert measured["editor_session_mib"] < 1400


def test_the_lessons_open_from_the_disk(
    box: NativeImage, playwright: Playwright, tmp_path: Path, pictures: Path
) -> None:
    command = ["chromium", DEBUGGING, f"--app=file://{LESSONS}"]
    with window(box, playwright, command, tmp_path) as page:
        page.wait_for_load_state()
        text = page.inner_text("body")
        assert "第一课：让纸飞机飞起来" in text
        page.click("text=第三课：接香蕉游戏")
        page.wait_for_selector("h1")
        assert "接香蕉" in page.inner_text("h1")
        keep(box, "lesson", pictures)


def test_an_encyclopaedia_is_searched_in_chinese(
    box: NativeImage, playwright: Playwright, tmp_path: Path, pictures: Path
) -> None:
    """kiwix-serve as its unit starts it; systemd is missing in the box."""
    unit = box.run(["cat", "/usr/lib/systemd/system/courseware-kiwix.service"]).stdout
    line = next(row for row in unit.splitlines() if row.startswith("ExecStart="))
    serve = line.removeprefix("ExecStart=/bin/sh -c '").removesuffix("'")
    box.start(["env", "KIWIX_ADDRESS=127.0.0.1", "sh", "-c", serve], tmp_path / "kiwix.log")
    wait_for(lambda: box.answers(8604), 60, "kiwix-serve")
    address = "http://127.0.0.1:8604/search?pattern=%E9%9A%8F%E6%9C%BA%E6%95%B0"  # 随机数
    with window(box, playwright, ["chromium", DEBUGGING, f"--app={address}"], tmp_path) as page:
        page.wait_for_load_state()
        found = page.inner_text("body")
        assert "接香蕉" in found
        assert "第一课" not in found.split("接香蕉")[0]
        keep(box, "kiwix", pictures)


WRITE = """<!doctype html><meta charset=utf-8><title>write</title>
<textarea autofocus rows=5 cols=24 style="font-size:32px"></textarea>"""


def test_pinyin_writes_chinese(
    box: NativeImage, playwright: Playwright, tmp_path: Path, pictures: Path
) -> None:
    """Keys on the screen's own keyboard; what counts is the text that arrives in the page."""
    (tmp_path / "write.html").write_text(WRITE)
    inside = box.give(tmp_path / "write.html", "write.html")
    command = ["chromium", DEBUGGING, f"--app=file://{inside}"]
    with window(box, playwright, command, tmp_path) as page:
        page.click("textarea")
        box.press("ctrl+space", "n", "i", "h", "a", "o")
        keep(box, "pinyin", pictures)
        box.press("space")
        wait_for(lambda: page.input_value("textarea") == "你好", 60, "你好")


def test_menu_entries_lead_to_programs(box: NativeImage) -> None:
    """Every launcher of the panel, and every pack, is an entry whose program is there."""
    panel = box.run(["cat", "/etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml"]).stdout
    wanted = [part.split('"')[0] for part in panel.split('value="')
              if part.split('"')[0].endswith(".desktop")]  # fmt: skip
    assert "classroom-blocks.desktop" in wanted
    for name in [*wanted, "pack-first-lessons-web.desktop", "pack-first-lessons-zim.desktop"]:
        told = box.run(["sh", "-c", "cat /usr/local/share/applications/$0 "
                        "/usr/share/applications/$0 2>/dev/null", name]).stdout  # fmt: skip
        line = next((row for row in told.splitlines() if row.startswith("Exec=")), "")
        program = line.removeprefix("Exec=").split()[:1]
        assert program, name
        assert box.run(["sh", "-c", "command -v $0", *program]).returncode == 0, line


def test_a_double_click_opens_block_programming(box: NativeImage) -> None:
    """What GLib, and with it the file manager, answers for a .sb3."""
    ask = ("from gi.repository import Gio;"
           "f = Gio.File.new_for_path('/home/pupil/作品/接香蕉.sb3');"
           "t = f.query_info('standard::*', 0, None).get_content_type();"
           "print(t, Gio.AppInfo.get_default_for_type(t, False).get_id())")  # fmt: skip
    told = box.ask_as_pupil(["python3", "-c", ask])
    assert told.split() == ["application/x.scratch.sb3", "classroom-blocks.desktop"]
