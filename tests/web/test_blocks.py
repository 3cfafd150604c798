"""Block programming as a pupil meets it: a real window, real files, no network, power cuts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Playwright

from provisioner.education.blocks import build_blocks, ensure_blocks
from provisioner.pupil.sb3 import check_sb3
from provisioner.release.cache import Cache, key_of
from provisioner.release.recipe import folder_digest
from provisioner.settings import Settings
from tests import blocks_factory
from tests.web.blocks_window import Window, virtual_screen

pytestmark = pytest.mark.web
NODE = Path(__file__).parents[1] / "node"
# What a power cut may cost at most, in seconds.
A_MINUTE = 60


@pytest.fixture(scope="session")
def cache() -> Cache:
    """Kept from run to run, outside the tree: the editor is 150 MB to fetch."""
    return Cache(Settings().cache_dir / "education")


@pytest.fixture(scope="session")
def application(cache: Cache) -> Path:
    with cache.locked():
        return ensure_blocks(cache)


@pytest.fixture(scope="session")
def parser(cache: Cache) -> Path:
    """The folder with Scratch's own parser, installed by the lock file beside the test."""
    lock = (NODE / "package-lock.json").read_text()

    def make(out: Path) -> None:
        out.mkdir()
        for name in ("package.json", "package-lock.json"):
            (out / name).write_text((NODE / name).read_text())
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"],
                       cwd=out, check=True, timeout=600)  # fmt: skip

    with cache.locked():
        return cache.entry("node", key_of(lock), make) / "node_modules"


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with virtual_screen(tmp_path_factory.mktemp("screen") / "xvfb.log") as display:
        yield display


MakeWindow = Callable[..., Window]


@pytest.fixture
def window(
    application: Path, playwright: Playwright, screen: str, tmp_path: Path
) -> Iterator[MakeWindow]:
    made: list[Window] = []

    def make(**options: Any) -> Window:
        made.append(Window(playwright, screen, application, tmp_path / "pupil", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def parsed(parser: Path, *files: Path) -> list[dict[str, Any]]:
    """The projects as Scratch's own parser reads them; a file that it refuses fails."""
    done = subprocess.run(
        ["node", NODE / "parse.js", *files], capture_output=True, text=True, check=True,
        timeout=120, env={**os.environ, "NODE_PATH": str(parser)},
    )  # fmt: skip
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row.get("error") for row in said] == [None] * len(files)
    return [row["project"] for row in said]


def wait_until(look: Callable[[], bool], limit_s: float, what: str) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < limit_s, what
        time.sleep(0.1)
    return time.monotonic() - began


def sprite_names(path: Path) -> list[str]:
    if not path.exists():
        return []
    project = check_sb3(path.read_bytes())
    return [target["name"] for target in project["targets"] if not target["isStage"]]


def call_sprite(page: Page, name: str) -> None:
    """An edit as a pupil makes it: the sprite gets another name."""
    field = page.locator("input[class*=sprite-info_sprite-input]").first
    field.fill(name)
    field.press("Enter")


def save_by_hand(page: Page) -> None:
    page.keyboard.press("Control+s")
    wait_until(lambda: "已保存" in page.locator("#saved").inner_text(), 60, "not saved by hand")


def variables(page: Page) -> dict[str, Any]:
    return dict(page.evaluate(
        "() => Object.fromEntries(Object.values(vm.runtime.getTargetForStage().variables)"
        ".map(v => [v.name, v.value]))"
    ))  # fmt: skip


def test_a_lesson_in_chinese_survives_a_power_cut(
    window: MakeWindow, tmp_path: Path, parser: Path
) -> None:
    stick = tmp_path / "stick"
    stick.mkdir()
    given = blocks_factory.make_project("scratch-2024", stick / "接苹果.sb3")
    before = given.read_bytes()
    pupil = window(double_click=True)
    page = pupil.open(given)

    # In Chinese, with the work's name, and with a stage that is drawn without a GPU.
    assert page.title() == "接苹果 – 积木编程"
    for word in ("代码", "造型", "运动", "设置", "文件"):
        assert page.get_by_text(word, exact=True).first.is_visible(), word
    assert not page.get_by_text("WebGL").is_visible()
    assert not page.locator("#logo_img").is_visible()
    assert page.evaluate("[...libraryReplaced].sort()") == [
        "backdrops", "costumes", "sounds", "sprites"]  # fmt: skip

    # The green flag runs it.
    page.locator("[class*=green-flag_green-flag]").first.click()
    wait_until(lambda: variables(page).get("词语") == blocks_factory.EXPECTED_LIST, 60,
               f"the program did not run: {variables(page)}")  # fmt: skip
    assert variables(page) | blocks_factory.EXPECTED == variables(page)
    assert page.evaluate("vm.runtime.targets[1].x") == 50

    # It saves by itself into the pupil's folder; the stick is left alone.
    saved = pupil.works / "接苹果.sb3"
    call_sprite(page, "第一次")
    wait_until(lambda: sprite_names(saved) == ["第一次"], A_MINUTE, "the first change was lost")
    # A pupil who never stops for breath is saved as well.
    began, count = time.monotonic(), 0
    while sprite_names(saved) == ["第一次"]:
        count += 1
        call_sprite(page, f"改动{count}")
        time.sleep(1)
        assert time.monotonic() - began < A_MINUTE, "a minute's work would have been lost"

    pupil.pull_the_plug()
    assert given.read_bytes() == before
    assert sprite_names(saved)[0].startswith("改动")
    assert not list(pupil.works.glob(".*.part"))
    assert pupil.outside() == []
    assert pupil.complaints == []

    # After the power cut a click on the icon brings the work back.
    again = window()
    page = again.open()
    assert page.title() == "接苹果 – 积木编程"
    assert page.evaluate("vm.runtime.targets[1].getName()") == sprite_names(saved)[0]
    save_by_hand(page)
    (one,) = parsed(parser, saved)
    (two,) = parsed(parser, given)
    meaning = blocks_factory.meaning(one, saved)
    expected = blocks_factory.meaning(two, given)
    # What the run has left is part of the work, as in every editor.
    assert meaning[0]["variables"]["v-score"] == ["得分", 10]
    expected[0] |= {name: meaning[0][name] for name in ("variables", "lists")}
    expected[1] |= {"name": sprite_names(saved)[0], "x": 50, "y": 0}
    assert meaning == expected


@pytest.mark.parametrize(
    "kinds",
    [["scratch-2019", "turbowarp"],
     pytest.param(["scratch-2021", "scratch-2024", "scratch-2026"], marks=pytest.mark.long)],
    ids=lambda kinds: "-".join(kinds),
)  # fmt: skip
def test_works_of_all_years_stay_what_they_are(
    window: MakeWindow, parser: Path, kinds: list[str]
) -> None:
    """Opened, saved and opened again without an edit: the same to Scratch's own parser."""
    pupil = window()
    pupil.works.mkdir(parents=True)
    page = pupil.open()
    for kind in kinds:
        work = blocks_factory.make_project(kind, pupil.works / f"{kind}.sb3")
        given = parsed(parser, work)[0]
        before = blocks_factory.meaning(given, work)
        for _ in range(2):
            page.goto(opened(page, work))
            page.wait_for_selector("body[data-ready]", timeout=180_000, state="attached")
            save_by_hand(page)
        after = parsed(parser, work)[0]
        assert blocks_factory.meaning(after, work) == before, kind
        assert after["meta"]["agent"] != given["meta"]["agent"], f"{kind} was not written anew"
    assert pupil.outside() == []
    assert pupil.complaints == []


def opened(page: Page, work: Path) -> str:
    """The address that the application gives for a file that is double-clicked."""
    key = page.evaluate("sessionStorage.getItem('key')")
    said = page.evaluate(
        "async ([path, key]) => (await fetch('/open', {method: 'POST', "
        "headers: {'X-Blocks-Key': key}, body: JSON.stringify({path})})).json()",
        [str(work), key],
    )
    return str(said["address"])


@pytest.mark.long
def test_new_works_chosen_files_and_names(window: MakeWindow, tmp_path: Path) -> None:
    """What the file menu does, and that no work overwrites another."""
    pupil = window()
    page = pupil.open()
    assert page.title() == "我的作品 – 积木编程"
    assert not pupil.works.joinpath("我的作品.sb3").exists(), "nothing to save yet"
    call_sprite(page, "一号")
    first = pupil.works / "我的作品.sb3"
    wait_until(lambda: sprite_names(first) == ["一号"], A_MINUTE, "the new work was not saved")

    # Another name at the top of the window is another name of the file.
    title = page.locator("input[class*=project-title-input]").first
    title.fill("飞机")
    title.press("Enter")
    renamed = pupil.works / "飞机.sb3"
    wait_until(renamed.exists, 20, "the file was not renamed")
    assert not first.exists()

    # “New” leaves the old work as it is, with its last change.
    page.on("dialog", lambda dialog: dialog.accept())
    call_sprite(page, "二号")
    page.get_by_text("文件", exact=True).first.click()
    page.get_by_text("新作品", exact=True).first.click()
    page.wait_for_selector("body[data-ready='2']", timeout=120_000, state="attached")
    wait_until(lambda: sprite_names(renamed) == ["二号"], 20, "the last change was lost")
    call_sprite(page, "三号")
    wait_until(lambda: sprite_names(first) == ["三号"], A_MINUTE, "the second work was not saved")
    assert sprite_names(renamed) == ["二号"]

    # A file from a stick that has a name which is taken here becomes a work of its own.
    stick = tmp_path / "stick"
    stick.mkdir()
    chosen = blocks_factory.make_project("turbowarp", stick / "飞机.sb3")
    before = chosen.read_bytes()
    with page.expect_file_chooser() as chooser:
        page.get_by_text("文件", exact=True).first.click()
        page.get_by_text("从电脑中打开", exact=True).first.click()
    chooser.value.set_files(chosen)
    page.wait_for_selector("body[data-ready='3']", timeout=120_000, state="attached")
    call_sprite(page, "四号")
    third = pupil.works / "飞机 2.sb3"
    wait_until(lambda: sprite_names(third) == ["四号"], A_MINUTE, "the chosen work was not saved")
    assert sprite_names(renamed) == ["二号"]
    assert chosen.read_bytes() == before
    assert pupil.complaints == []


@pytest.mark.long
def test_speech_contrast_and_extensions(window: MakeWindow, tmp_path: Path) -> None:
    """What helps pupils who see or read badly, and what a classroom without Internet offers."""
    speaking = blocks_factory.make_speaking_project(tmp_path / "说话.sb3", "你好，同学们")
    pupil = window(environment={"CLASSROOM_CONTRAST": "high", "CLASSROOM_SCALE": "1"})
    page = pupil.open(speaking)
    colours = page.evaluate("[...document.querySelectorAll('path.blocklyPath')]"
                            ".map(path => getComputedStyle(path).fill)")  # fmt: skip
    assert "rgb(128, 181, 255)" in colours, "motion blocks are in high contrast's light blue"
    page.locator("button[aria-label='选择一个角色']").first.click()
    page.get_by_text("蝙蝠1", exact=True).wait_for(timeout=60_000)
    page.keyboard.press("Escape")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.locator("[class*=extension-button]").first.click()
    page.get_by_text("选择一个扩展").wait_for(timeout=30_000)
    shown = [name for name in ("音乐", "画笔", "视频侦测", "文字朗读", "翻译", "Makey Makey",
                               "micro:bit", "LEGO BOOST")
             if page.locator("[class*=library-item]",
                             has_text=name).first.is_visible()]  # fmt: skip
    assert shown == ["音乐", "画笔", "视频侦测", "文字朗读", "Makey Makey"]
    page.keyboard.press("Escape")
    page.locator("[class*=green-flag_green-flag]").first.click()
    wait_until(lambda: str(variables(page)["得分"]) == "1", 60, "the sentence did not end")
    spoken = [url for url in asked if "/synth" in url]
    assert spoken and all(url.startswith("http://127.0.0.1:") for url in spoken)
    assert pupil.outside() == []
    assert pupil.complaints == []


@pytest.mark.long
def test_a_damaged_file_is_said_and_english_is_spoken(window: MakeWindow, tmp_path: Path) -> None:
    damaged = tmp_path / "pupil" / "bad.sb3"
    damaged.parent.mkdir()
    damaged.write_bytes(b"PK\x03\x04 not a project")
    pupil = window(language="en_GB.UTF-8")
    page = pupil.open(damaged)
    assert page.get_by_text("This file cannot be opened").is_visible()
    assert page.get_by_text("Code", exact=True).first.is_visible()
    assert page.title() == "My project – Block Coding"
    # A second double click comes to the window that runs, not to a second server.
    other = blocks_factory.make_project("scratch-2021", tmp_path / "pupil" / "other.sb3")
    second = window(language="en_GB.UTF-8").start(other)
    assert second.wait(120) == 0
    assert pupil.browser is not None
    context = pupil.browser.contexts[0]
    wait_until(lambda: any("other" in page.title() for page in context.pages), 120,
               "the second window did not come")  # fmt: skip


@pytest.mark.long
def test_a_full_disk_is_said_in_red(window: MakeWindow, tmp_path: Path) -> None:
    pupil = window()
    pupil.works.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", pupil.works], check=True)
    try:
        page = pupil.open()
        with contextlib.suppress(OSError), (pupil.works / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(1024))
        call_sprite(page, "满了")
        wait_until(lambda: "磁盘满了" in page.locator("#saved").inner_text(), A_MINUTE,
                   "the pupil was not told")  # fmt: skip
        assert "trouble" in (page.locator("#saved").get_attribute("class") or "")
        (pupil.works / "filler").unlink()
        wait_until(lambda: sprite_names(pupil.works / "我的作品.sb3") == ["满了"], A_MINUTE,
                   "it was not tried again")  # fmt: skip
    finally:
        pupil.close()
        subprocess.run(["umount", "--lazy", pupil.works], check=True)


@pytest.mark.long
def test_without_the_switch_a_pc_without_a_gpu_shows_no_stage(
    window: MakeWindow, tmp_path: Path
) -> None:
    """Why the switch is there: the same window without it."""
    wrapper = tmp_path / "chromium-without"
    wrapper.write_text(
        '#!/bin/sh\nfor word; do shift; [ "$word" = --enable-unsafe-swiftshader ] || '
        'set -- "$@" "$word"; done\nexec chromium "$@"\n'
    )
    wrapper.chmod(0o755)
    pupil = window(environment={"CLASSROOM_BROWSER": str(wrapper)})
    pupil.start()
    port = pupil.wait_for(pupil.debugging_port)
    pupil.browser = pupil.playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
    page = pupil.wait_for(pupil.page)
    page.wait_for_function(
        "() => document.body.innerText.includes('WebGL') || document.body.dataset.ready",
        timeout=180_000,
    )
    assert "WebGL" in page.inner_text("body")


@pytest.mark.long
def test_the_same_inputs_give_the_same_application(
    cache: Cache, application: Path, tmp_path: Path
) -> None:
    with cache.locked():
        build_blocks(tmp_path / "again", cache)
    assert folder_digest(tmp_path / "again") == folder_digest(application)
