"""The school's model: schema, names of machines, and what a value must look like."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from provisioner import yaml_file
from provisioner.fleet.school import school_folders
from provisioner.model.school import (
    Account,
    BilingualText,
    SchoolSettings,
    Seat,
    SeatRole,
    hostname_of,
    school_schema,
    school_schema_text,
)

INVENTORIES = Path(__file__).parents[3] / "inventories"
FOLDERS = school_folders(INVENTORIES)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_inventories_fit_the_schema(folder: Path) -> None:
    data, _ = yaml_file.load_plain(folder / "school.yml")
    jsonschema.Draft202012Validator.check_schema(school_schema())
    jsonschema.validate(data, school_schema(), cls=jsonschema.Draft202012Validator)


def test_the_schema_refuses_what_the_model_refuses() -> None:
    data, _ = yaml_file.load_plain(FOLDERS[0] / "school.yml")
    for wrong in ({**data, "timezone": "x"}, {**data, "language": "Chinese"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, school_schema(), cls=jsonschema.Draft202012Validator)


def test_editors_get_the_schema_of_this_version() -> None:
    path = INVENTORIES / "school.schema.json"
    assert path.read_text() == school_schema_text(), "write school_schema_text() into this file"
    json.loads(path.read_text())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_settings_are_read_back_the_same(folder: Path) -> None:
    settings = yaml_file.load(folder / "school.yml", SchoolSettings)
    assert SchoolSettings.model_validate_json(settings.model_dump_json()) == settings
    assert hostname_of(settings, "x9").endswith("-x9")


@pytest.mark.parametrize("name", ["Pupil", "-pupil", "pupil-", "pu_pil", "p" * 64, "{{ x }}", ""])
def test_hostnames_are_host_names(name: str) -> None:
    with pytest.raises(ValidationError):
        Seat(name="pupil-1", role=SeatRole.PUPIL, hostname=name)


@pytest.mark.parametrize("login", ["root", "sudo", "lightdm", "a" * 32, "x y", "-x", "{{ x }}"])
def test_logins_that_are_not_for_people(login: str) -> None:
    with pytest.raises(ValidationError):
        Account(login=login, name="x")


def test_a_greeting_has_no_control_characters() -> None:
    assert BilingualText(en="two\nlines\n", zh="两行").en == "two\nlines\n"
    with pytest.raises(ValidationError):
        BilingualText(en="\x1b[2J", zh="")
