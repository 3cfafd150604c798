"""Our own recipes: what is promised of them can be read in their files."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from provisioner.model.school import PUPIL_UID
from provisioner.release.audit import BROWSER
from provisioner.release.recipe import Recipe, load_recipe

IMAGES = Path(__file__).parents[3] / "images"
FILES = IMAGES / "education/files"
ALL = sorted(path for path in IMAGES.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def education() -> Recipe:
    return load_recipe(IMAGES / "education")


def test_special_needs_is_education_and_more(education: Recipe) -> None:
    special = load_recipe(IMAGES / "special-needs")
    assert set(education.packages) < set(special.packages)
    assert {"orca", "brltty", "speech-dispatcher-espeak-ng", "liblouis-data"} <= set(
        special.packages
    )
    assert special.folders[-2] == IMAGES / "education"


def test_nothing_in_education_reports_or_announces(education: Recipe) -> None:
    for name in ("popularity-contest", "avahi-daemon", "cups-browsed", "network-manager",
                 "unattended-upgrades", "fcitx5-module-cloudpinyin", "packagekit"):  # fmt: skip
        assert name not in education.packages
    assert "veyon.service" in education.units.mask  # until a school wants it


def test_what_a_contest_calls_on_the_machine_is_in_the_image(education: Recipe) -> None:
    """The contest limits the network by nft, which no layer brings."""
    program = IMAGES.parent / "provisioner/contest/data/bin/contest-network"
    assert re.search(r"\bnft --file", program.read_text())
    assert "nftables" in education.packages


def test_chinese_comes_to_the_braille_display_as_braille() -> None:
    """Without a contraction table Orca and BRLTTY send Chinese as signs that no display has."""
    files = IMAGES / "special-needs/files"
    orca = json.loads((files / "usr/share/classroom/orca/user-settings.conf").read_text())
    assert orca["general"]["enableContractedBraille"] is True
    assert orca["general"]["brailleContractionTable"] == "zhcn-cbs.ctb"
    brltty = (files / "etc/brltty.conf").read_text()
    assert "\ncontraction-table louis:zhcn-cbs.ctb\n" in brltty
    assert "\noverride-preferences braille-variant=contracted6\n" in brltty


def test_chromium_is_silent() -> None:
    text = (FILES / "etc/chromium/policies/managed/classroom.json").read_text()
    policies = json.loads(text)
    assert {name: policies.get(name) for name in BROWSER} == BROWSER
    assert policies["HomepageLocation"] == "file:///usr/share/classroom/start/index.html"
    assert (FILES / "usr/share/classroom/start/index.html").is_file()


def test_printing_opens_no_port() -> None:
    text = (FILES / "etc/cups/cupsd.conf").read_text()
    listening = re.findall(r"^\s*(?:Listen|Port|SSLListen)\s+(\S+)", text, re.MULTILINE)
    assert listening == ["/run/cups/cups.sock"]
    assert "\nBrowsing No\n" in text


def test_only_the_pupil_needs_no_password() -> None:
    """By the number that schools' accounts have, and at the login screen alone."""
    for path in ALL:
        if "pam.d" in path.parts:
            found = re.findall(
                r"pam_succeed_if\.so quiet uid = (\d+)$", path.read_text(), re.MULTILINE
            )
            assert found == [str(PUPIL_UID)]
            assert path.name == "lightdm"
    greet = (FILES / "usr/lib/classroom/greet").read_text()
    assert f"getent passwd {PUPIL_UID} " in greet


def test_programs_can_be_run() -> None:
    for path in ALL:
        if path.is_file() and path.read_bytes()[:2] == b"#!" and "usr" in path.parts:
            assert path.stat().st_mode & 0o100, path


@pytest.mark.parametrize("path", [p for p in ALL if p.suffix in (".xml", ".svg")], ids=str)
def test_settings_are_xml(path: Path) -> None:
    ElementTree.fromstring(path.read_text())


def test_each_panels_plugins_are_described() -> None:
    """A number without a plugin would be an empty place that a child sees."""
    path = FILES / "etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-panel.xml"
    root = ElementTree.fromstring(path.read_text())
    wanted = [value.get("value", "") for value in root.findall(".//*[@name='plugin-ids']/value")]
    known = [p.get("name", "").removeprefix("plugin-") for p in root.findall(
        "./*[@name='plugins']/property")]  # fmt: skip
    assert sorted(wanted) == sorted(known)


def test_our_session_names_its_programs() -> None:
    """Our file hides the one that Xfce ships: without this list no desktop comes up at all."""
    path = FILES / "etc/xdg/xfce4/xfconf/xfce-perchannel-xml/xfce4-session.xml"
    root = ElementTree.fromstring(path.read_text())
    failsafe = root.find(".//*[@name='Failsafe']")
    assert failsafe is not None
    values = {p.get("name"): p for p in failsafe}
    count = int(values["Count"].get("value", "0"))
    started = [values[f"Client{n}_Command"][0].get("value") for n in range(count)]
    assert {"xfwm4", "xfce4-panel", "xfdesktop"} <= set(started)
