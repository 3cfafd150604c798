"""What roles and machines are told about a school: all that is asked for, and no secrets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from provisioner.fleet.facts import machine_facts, school_facts, veyon_room, wifi_file
from provisioner.fleet.parts import PARTS, needs_of, parts_of
from provisioner.fleet.school import load_school, school_folders
from provisioner.model.school import School, SeatedMachine
from provisioner.model.school_file import SchoolFile, school_file, site_cache
from provisioner.model.site_cache import SiteCache
from tests.unit.fleet.conftest import INVENTORIES

PLAYBOOKS = INVENTORIES.parent / "playbooks"
SHOOTS, PASTURE, HILL, PLAIN = (
    load_school(INVENTORIES / name)
    for name in ("new-shoots", "high-pasture", "listening-hill", "first-room")
)


def facts_of(school: School, seat: int) -> dict[str, Any]:
    machine = SeatedMachine.model_validate(
        {"asset_tag": "PC-0001", "seat": seat, "address": "10.77.0.9"}
    )
    return machine_facts(school, machine)


def test_a_school_without_wishes_has_no_parts() -> None:
    """The virtual classroom's configuring stays as short as it can be."""
    for seat in PLAIN.seats:
        assert parts_of(PLAIN.settings, seat) == ()
        assert needs_of(PLAIN.settings, seat) == ()


def test_every_part_is_a_role_and_shown_by_an_example() -> None:
    assert all((PLAYBOOKS / f"roles/{part}/tasks/main.yml").is_file() for part in PARTS)
    schools = [load_school(folder) for folder in school_folders(INVENTORIES)]
    shown = {
        part for school in schools for seat in school.seats
        for part in parts_of(school.settings, seat)
    }  # fmt: skip
    assert shown == set(PARTS)


def test_what_the_release_must_have() -> None:
    needs = {need.program: need.field for need in needs_of(HILL.settings, HILL.seats[1])}
    assert needs["orca"] == "accessibility (screen-reader)"
    assert {"orca", "brltty", "fcitx5", "lightdm", "lpadmin"} == set(needs)
    at_desk, elsewhere = (
        {need.program for need in needs_of(PASTURE.settings, PASTURE.seats[number])}
        for number in (0, 1)
    )
    assert at_desk - elsewhere == {"kiwix-serve"}


@pytest.mark.parametrize("folder", school_folders(INVENTORIES), ids=lambda path: path.name)
def test_the_agent_reads_what_is_written(folder: Path) -> None:
    school = load_school(folder)
    for number in (1, 2):
        facts = facts_of(school, number)
        about = SchoolFile.model_validate_json(facts["school_file"])
        assert about == school_file(school, number, "PC-0001")
        assert len(about.room) == len(school.seats)
        cache = SiteCache.model_validate_json(facts["site_cache_file"])
        assert cache == site_cache(school, number)
        assert not about.hours or cache.lessons == about.hours


def test_what_only_the_teachers_machine_does() -> None:
    desk, pupil = (school_file(PASTURE, number, "PC-0001") for number in (1, 2))
    assert (desk.rescue, desk.courseware, desk.site_cache) == (True, True, True)
    assert (pupil.rescue, pupil.courseware, pupil.site_cache) == (False, False, True)
    assert [place.hostname for place in pupil.teachers] == ["pasture-front-desk"]
    assert pupil.room[1].address == "10.20.30.12"


def test_hours_as_the_agent_reckons() -> None:
    weekdays, sunday = school_file(PASTURE, 1, "PC-0001").hours
    assert (weekdays.days, weekdays.begin, weekdays.end) == ((0, 1, 2, 3, 4), "09:30", "18:30")
    assert sunday.days == (6,)


def test_an_older_agent_passes_over_new_keys() -> None:
    data = json.loads(facts_of(SHOOTS, 1)["school_file"])
    assert SchoolFile.model_validate({**data, "invented_later": 1}).school == "new-shoots"


def test_the_room_as_veyon_lists_it() -> None:
    room, *computers = veyon_room(SHOOTS)
    assert room["Type"] == 2
    assert len(computers) == 24
    assert computers[0]["HostAddress"] == "shoots-pupil-01.local"
    assert {computer["ParentUid"] for computer in computers} == {room["Uid"]}
    assert len({one["Uid"] for one in (room, *computers)}) == 25
    assert veyon_room(PASTURE)[1]["HostAddress"] == "10.20.30.12"
    assert veyon_room(PASTURE)[0]["Uid"] != room["Uid"]


@pytest.mark.parametrize(
    ("name", "file"),
    [("School 5_G-x", "School 5_G-x.psk"), ("校", "=e6a0a1.psk"), ("a/../b", "=612f2e2e2f62.psk")],
)
def test_where_a_wireless_network_is_kept(name: str, file: str) -> None:
    """As iwd.network(5) has it; nothing leaves its folder."""
    assert wifi_file(name) == file


def test_facts_hold_no_other_school() -> None:
    text = json.dumps([school_facts(HILL), facts_of(HILL, 2)], ensure_ascii=False)
    for other in (SHOOTS, PASTURE):
        assert other.id not in text
        assert other.settings.name.zh not in text
