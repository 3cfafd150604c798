"""Every page as a picture, to be looked at one by one.

    python -m tests.web.pictures FOLDER [--only NAME …]

English on a desktop in light and Chinese on a phone of 360 px in dark, and the other way round:
FOLDER/NAME-LANGUAGE-WIDTH-SCHEME.png. The station is that of tests/full_station.py.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from provisioner.accounts.roles import Role
from provisioner.api.auth import SESSION_COOKIE
from tests import factories, people
from tests.full_station import CONTEST, NEWER, make_full_station
from tests.web.conftest import Dashboard, launch, serving

S, B, R = factories.SCHOOL, factories.BATCH, "education@2026.1"
PAGES = {
    "today": "/", "machine-verified": "/machines/PC-0001", "machine-wiping": "/machines/PC-0002",
    "machine-failed": "/machines/PC-0004", "machine-asks": "/machines/PC-0005",
    "machine-in-service": "/machines/PC-0104",
    "checklist": "/machines/PC-0001/checklist", "batches": "/batches",
    "batch-new-1": "/batches/new", "batch-new-2": f"/batches/new?school={S}",
    "batch-new-3": f"/batches/new?school={S}&release={R}", "batch": f"/batches/{B}",
    "schools": "/schools", "school": "/schools/high-pasture", "school-new": "/schools/new",
    "school-renewal": "/schools/high-pasture/renewal", "school-edit": f"/schools/{S}/edit",
    "releases": "/releases", "release": f"/releases/{NEWER}?compare={R}",
    "rollouts": "/rollouts", "rollout": "/rollouts/summer-2026", "rollout-new": "/rollouts/new",
    "contests": "/contests", "contest": f"/contests/{CONTEST}", "donors": "/donors",
    "journal": "/journal", "people": "/people", "account": "/account", "nothing": "/nothing",
    "login": "/login",
}  # fmt: skip
LOOKS = (("en", 1280, "light"), ("zh", 360, "dark"), ("zh", 1280, "dark"), ("en", 360, "light"))
LONGEST_PX = 6000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.web.pictures", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=PAGES, default=list(PAGES))
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as aside,
        sync_playwright() as playwright,
        serving(make_full_station(Path(aside))) as dashboard,
    ):
        browser = launch(playwright)
        for language, width, scheme in LOOKS:
            page = _visitor(browser, dashboard, width, scheme)
            for name in asked.only:
                path = f"{name}-{language}-{width}-{scheme}.png"
                _picture(page, dashboard.url + PAGES[name], language, asked.folder / path)
        browser.close()


def _visitor(browser: Browser, dashboard: Dashboard, width: int, scheme: str) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    cookie = people.log_in(dashboard.station, Role.ADMINISTRATOR, "li")
    context.add_cookies([{"name": SESSION_COOKIE, "value": cookie, "url": dashboard.url}])
    return context.new_page()


def _picture(page: Page, address: str, language: str, path: Path) -> None:
    mark = "&" if "?" in address else "?"
    page.goto(f"{address}{mark}lang={language}", wait_until="commit")
    page.wait_for_selector("main")
    page.wait_for_load_state("domcontentloaded")
    page.wait_for_timeout(300)
    height = page.evaluate("document.documentElement.scrollHeight")
    width = page.evaluate("document.documentElement.clientWidth")
    shown = FloatRect(x=0, y=0, width=width, height=min(height, LONGEST_PX))
    page.screenshot(path=str(path), full_page=True, clip=shown)


if __name__ == "__main__":
    main()
