"""Files written by people: every mistake is named with file, line and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner import yaml_file
from provisioner.errors import ConfigError
from provisioner.model.base import Model


class Part(Model):
    colour: str
    number: int = 1


class Whole(Model):
    name: str
    parts: tuple[Part, ...] = ()


def read(tmp_path: Path, text: str) -> Whole:
    path = tmp_path / "whole.yml"
    path.write_text(text)
    return yaml_file.load(path, Whole)


def complaint(tmp_path: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert "whole.yml" in caught.value.message
    return caught.value


def test_a_good_file(tmp_path: Path) -> None:
    whole = read(tmp_path, "name: a\nparts:\n- colour: red\n- {colour: blue, number: 2}\n")
    assert whole.parts[1].number == 2


def test_an_unknown_key_names_line_field_and_the_nearest_key(tmp_path: Path) -> None:
    error = complaint(tmp_path, "name: a\nparts:\n- color: red\n")
    assert (error.line, error.field) == (3, "parts.0.color")
    assert "“colour”" in error.hint


def test_a_wrong_value_names_its_line(tmp_path: Path) -> None:
    error = complaint(tmp_path, "name: a\nparts:\n- colour: red\n  number: many\n")
    assert (error.line, error.field) == (4, "parts.0.number")


def test_a_missing_key_names_the_block_it_is_missing_from(tmp_path: Path) -> None:
    error = complaint(tmp_path, "name: a\nparts:\n- colour: red\n- number: 3\n")
    assert (error.line, error.field) == (4, "parts.1.colour")


def test_a_key_that_stands_twice_is_refused(tmp_path: Path) -> None:
    error = complaint(tmp_path, "name: a\nname: b\n")
    assert (error.line, error.field) == (2, "name")


@pytest.mark.parametrize(
    ("text", "line"), [("name: [a\nparts: b\n", 2), ("\tname: a\n", 1), ("name: a: b\n", 1)]
)
def test_bad_yaml_names_the_line(tmp_path: Path, text: str, line: int) -> None:
    assert complaint(tmp_path, text).line == line


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    assert "empty" in complaint(tmp_path, "").message


def test_a_tag_constructs_nothing(tmp_path: Path) -> None:
    complaint(tmp_path, "name: !!python/object/apply:os.system ['true']\n")


def test_a_date_stays_text(tmp_path: Path) -> None:
    assert read(tmp_path, "name: 2026-10-01\n").name == "2026-10-01"
