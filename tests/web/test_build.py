"""A release is built from the page: a real one, small, with its log seen growing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from provisioner.accounts.roles import Role
from provisioner.release.recipe import LICENCES
from provisioner.settings import Settings
from provisioner.workshop.station import Station
from tests import factories
from tests.integration.test_image_build import TINY
from tests.web.conftest import Dashboard, OpenPage, serving

pytestmark = [
    pytest.mark.web,
    pytest.mark.long,  # it fetches 150 MB of packages and packs them
    pytest.mark.skipif(os.geteuid() != 0, reason="building a tree needs root"),
]
BUILD_MS = 45 * 60 * 1000


@pytest.fixture
def dashboard(tmp_path: Path) -> Iterator[Dashboard]:
    """A station with one recipe: the smallest system that still starts, and one that cannot be."""
    images, own = tmp_path / "images", Settings()
    (images / "tiny").mkdir(parents=True)
    (images / "tiny/recipe.yaml").write_text(TINY.replace("[hello.service]", "[]"))
    shutil.copytree(own.images_dir / "base/initramfs", images / "tiny/initramfs")
    shutil.copyfile(own.images_dir / LICENCES, images / LICENCES)
    (images / "wrong").mkdir()
    (images / "wrong/recipe.yaml").write_text("name: wrong\nkind: spaceship\n")
    station = factories.make_station(tmp_path)
    settings = station.settings.model_copy(update={"images_dir": images})
    with serving(Station(settings, station.database, station.key, station.catalog)) as made:
        yield made


def test_a_release_is_built_with_its_log_and_then_promoted(
    dashboard: Dashboard, open_page: OpenPage
) -> None:
    page = open_page("/releases", role=Role.OPERATOR)
    page.get_by_label("Recipe").select_option("wrong")
    page.get_by_role("button", name="Build it").click()
    expect(page.locator("#build-log .tone-fail")).to_have_text("failed", timeout=BUILD_MS)
    expect(page.locator("#build-log .log")).to_contain_text("spaceship")

    page.get_by_label("Recipe").select_option("tiny")
    page.get_by_role("button", name="Build it").click()
    log = page.locator("#build-log .log")
    expect(log).to_contain_text("packages", timeout=BUILD_MS, ignore_case=True)
    first = log.inner_text()
    page.evaluate("window.mark = true")
    expect(page.locator("#build-log .tone-done")).to_have_text("built", timeout=BUILD_MS)
    assert len(log.inner_text()) > len(first)
    assert page.evaluate("window.mark === true")  # it grew without loading the page again

    page.locator("#build-log").get_by_role("link", name="tiny@").click()
    expect(page.locator("h1")).to_contain_text("tiny@")
    expect(page.get_by_text("libc6", exact=True)).to_have_count(1)
    page.get_by_role("button", name="Promote").click()
    expect(page.locator(".badge.big")).to_have_text("promoted")
    page.get_by_label("Why (stays on record)").fill("no sound")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.locator(".badge.big")).to_have_text("withdrawn")
    built = dashboard.station.catalog.get("tiny")
    dashboard.station.catalog.verify(built.id, trusted=dashboard.station.key.public)
