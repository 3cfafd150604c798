"""`provisioner school …`: a new folder, what differs, the schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from provisioner.fleet.difference import note_configured
from provisioner.fleet.school import load_school
from provisioner.workshop.station import Station
from tests.unit.cli.conftest import Terminal


@pytest.fixture
def schools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "inventories"
    folder.mkdir()
    monkeypatch.setenv("PROVISIONER_INVENTORIES_DIR", str(folder))
    return folder


def made(terminal: Terminal, name: str, **other: str) -> None:
    words = {"name-en": "Green Hill", "name-zh": "绿山小学", "province": "Yunnan", **other}
    options = [word for key, value in words.items() for word in (f"--{key}", value)]
    terminal.run("school", "new", name, *options)


def test_a_new_school_is_in_order(terminal: Terminal, schools: Path) -> None:
    made(terminal, "green-hill", pupils="12")
    assert "13 seats" in terminal.run("school", "check", "green-hill").stdout
    shown = terminal.json("school", "show", "green-hill")
    assert shown["settings"]["homes"] == "kept"


def test_what_was_not_given_is_asked_for(terminal: Terminal, schools: Path) -> None:
    typed = "Green Hill\n绿山小学\n云南\n"
    terminal.run("school", "new", "green-hill", typed=typed)
    assert load_school(schools / "green-hill").settings.province == "云南"


def test_a_wrong_province_is_named(terminal: Terminal, schools: Path) -> None:
    result = terminal.run("school", "new", "x", "--name-en", "X", "--name-zh", "X",
                          "--province", "Yunan", code=1)  # fmt: skip
    assert "Did you mean “Yunnan”?" in result.output
    assert list(schools.iterdir()) == []


def test_which_machines_are_not_as_the_folder_says(
    terminal: Terminal, schools: Path, station: Station
) -> None:
    made(terminal, "green-hill")
    assert "No machine" in terminal.run("school", "diff", "green-hill").output
    school = load_school(schools / "green-hill")
    logs = station.settings.logs_dir
    note_configured(school, "PC-0001", "pupil-01", "a" * 64, logs / "PC-0001/configure")
    assert "as the folder says" in terminal.run("school", "diff", "green-hill").stdout
    with (schools / "green-hill/school.yml").open("a") as file:
        file.write("\nhomes: reset-at-start\n")
    assert "homes: kept → reset-at-start" in terminal.run("school", "diff", "green-hill").stdout
    found = terminal.json("school", "diff", "green-hill")
    assert found[0]["asset_tag"] == "PC-0001"


def test_two_schools_side_by_side(terminal: Terminal, schools: Path) -> None:
    made(terminal, "green-hill")
    made(terminal, "blue-hill", pupils="7")
    said = terminal.run("school", "diff", "green-hill", "blue-hill").stdout
    assert "seats.pupils: 24 → 7" in said
    assert "language" not in said


def test_the_schema_is_for_editors(terminal: Terminal) -> None:
    schema = json.loads(terminal.run("school", "schema").stdout)
    assert "reset-per-class" in schema["$defs"]["Homes"]["enum"]
