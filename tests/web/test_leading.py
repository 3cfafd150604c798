"""What an organiser leads by clicking: rollouts, a renewal, a stick, a contest, a school."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from provisioner.accounts.roles import Role
from provisioner.model.release import MANIFEST
from provisioner.model.rollout import MachineState
from provisioner.release.manifest import list_files, write_manifest
from provisioner.store.rollout_tables import RolloutMachineRow
from tests import factories
from tests.full_station import NEWER, make_full_station
from tests.web.conftest import Dashboard, OpenPage, serving

pytestmark = pytest.mark.web


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    """One station for all; each test uses another part of it."""
    with serving(make_full_station(tmp_path_factory.mktemp("full"))) as made:
        yield made


def test_a_rollout_that_has_stopped_goes_on_again(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page(role=Role.ORGANISER)
    hand = page.locator("#hands").get_by_role("link", name="summer-2026")
    expect(hand).to_be_visible()
    hand.click()
    expect(page.locator("#rollout .headline")).to_have_text("stopped by itself")
    expect(page.locator("#rollout .hand")).to_contain_text("did not come up")
    with dashboard.station.database.transaction() as session:
        failed = RolloutMachineRow.state == MachineState.FAILED
        for machine in session.scalars(select(RolloutMachineRow).where(failed)):
            machine.state = MachineState.HEALTHY
    # The figures follow by themselves, without loading the page again.
    expect(page.locator("#rollout .hand")).to_have_count(0)
    page.get_by_role("button", name="Let it go on").click()
    expect(page.locator("#rollout .headline")).to_have_text("under way")
    page.get_by_label("Type summer-2026 to confirm").fill("summer-2026")
    page.get_by_role("button", name="Take the rollout back").click()
    expect(page.locator("#rollout .headline")).to_have_text("being taken back")
    page.get_by_role("link", name="Today").click()
    expect(page.locator("#hands").get_by_role("link", name="summer-2026")).to_have_count(0)


def test_a_release_is_sent_to_two_schools(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(role=Role.OPERATOR, language="zh", width=360)
    page.get_by_role("navigation").get_by_role("link", name="分批发布").click()
    page.get_by_role("link", name="新建分批发布").click()
    page.get_by_label("分批发布的名称").fill("winter-2026")
    page.get_by_role("button", name="开始").click()
    expect(page.locator("h1")).to_have_text("winter-2026")
    expect(page.locator("#rollout .headline")).to_have_text("进行中")
    page.get_by_role("button", name="暂停").click()
    expect(page.locator("#rollout .headline")).to_have_text("已暂停")


def test_a_classroom_is_renewed_and_a_stick_is_made(
    dashboard: Dashboard, open_page: OpenPage, tmp_path: Path
) -> None:
    _with_files(dashboard)
    page = open_page("/schools", role=Role.OPERATOR)
    page.get_by_role("link", name="Listening Hill").first.click()
    page.get_by_role("link", name="Renew, or make a stick").click()
    page.get_by_role("button", name="Renew the classroom").click()
    expect(page.locator("tbody .badge", has_text="not told yet")).to_have_count(11)
    page.get_by_role("button", name="Withdraw what 11 machines").click()
    expect(page.locator("tbody .badge", has_text="withdrawn")).to_have_count(11)
    with page.expect_download() as started:
        page.get_by_role("button", name="Download the stick's content").click()
    assert started.value.suggested_filename == "listening-hill-1.zip"
    with zipfile.ZipFile(started.value.path()) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert f"classroom/releases/{NEWER}/{MANIFEST}" in names
    assert len([name for name in names if name.startswith("classroom/sites/")]) == 11


def _with_files(dashboard: Dashboard) -> None:
    """The newer release with files that can be put on a stick."""
    station = dashboard.station
    folder = station.settings.releases_dir / NEWER
    (folder / "system.squashfs").write_bytes(bytes(range(256)) * 4000)
    newer = {"version": "2026.2", "number": 2026002, "files": list_files(folder)}
    write_manifest(folder, factories.make_manifest().model_copy(update=newer), station.key)


def test_a_contest_is_switched_off_from_its_page(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page(role=Role.ORGANISER)
    page.get_by_role("link", name="Contests").click()
    page.get_by_role("link", name="Design a game").click()
    expect(page.locator("table").last.locator("tbody tr")).to_have_count(3)
    expect(page.locator("img").last).to_have_js_property("complete", True)
    page.get_by_label("Bring every school into the state").select_option("off")
    page.get_by_role("button", name="Send it in waves").click()
    expect(page.locator("#rollout .headline")).to_have_text("under way")
    expect(page.locator("h1")).to_contain_text("-off")


def test_a_school_is_made_and_its_file_opens(dashboard: Dashboard, open_page: OpenPage) -> None:
    page = open_page("/schools", role=Role.OPERATOR)
    page.get_by_role("link", name="New school").click()
    page.get_by_label("Short name").fill("clear-water")
    page.get_by_label("Name in English").fill("Clear Water School")
    page.get_by_label("Name in Chinese").fill("清水学校")
    page.get_by_label("Province").fill("Guizhou")
    page.get_by_role("button", name="Make the school").click()
    expect(page.locator("#text")).to_have_value(re.compile("Clear Water School"))
