"""Mistakes in what a school wishes for: file, line, field and the nearest value."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import ConfigError
from provisioner.fleet.school import check_school, load_school, provinces
from tests.unit.fleet.conftest import Edit


@pytest.mark.parametrize(
    ("old", "new", "field", "hint"),
    [
        ("province: Beijing", "province: Bejing", "province", "Did you mean “Beijing”?"),
        ("input_method: pinyin", "input_method: pinjin", "input_method", "Did you mean “pinyin”?"),
        ("reset-per-class #", "reset-per-clas #", "homes", "Did you mean “reset-per-class”?"),
        ("[mon,", "[monday,", "hours.times.0.days.0", "Did you mean “mon”?"),
        ("kind: driverless", "kind: driverles", "printer.kind", "Did you mean “driverless”?"),
        ("  control: true", "  contol: true", "teacher_desk.contol", "Did you mean “control”?"),
        ("    url:", "    adress:", "network.proxy.adress", "Known here: url, without."),
        ('"07:40"', '"17:30"', "hours.times.0", ""),
        ('"17:30"', "25:30", "hours.times.0.close", ""),
        ("ipp://192", "htp://192", "printer.address", ""),
        ("team: New Shoots", "team: 7", "contest.team", ""),
    ],
)
def test_mistakes_are_named(
    folder: Path, edit: Edit, old: str, new: str, field: str, hint: str
) -> None:
    path = edit("school.yml", old, new)
    problems = check_school(folder)
    assert len(problems) == 1, problems
    assert (problems[0].file, problems[0].field) == (path, field)
    assert hint in problems[0].hint
    line = path.read_text().splitlines()[(problems[0].line or 0) - 1]
    assert field.split(".")[-1].strip("0123456789") in line or new.split()[0] in line


def test_a_logo_that_is_not_there(folder: Path, edit: Edit) -> None:
    edit("school.yml", "本教室由河畔工厂捐赠（示例）", "x\n  logo: works.png")
    problem = check_school(folder)[0]
    assert problem.field == "sponsor.logo"
    (folder / "works.png").write_bytes(b"")
    assert check_school(folder) == []


def test_more_seats_than_addresses(folder: Path, edit: Edit) -> None:
    fixed = "network:\n  fixed: {network: 10.0.0.0/28, first: 10.0.0.1}\n"
    edit("school.yml", "network:\n", fixed)
    with pytest.raises(ConfigError, match=r"25 seats from 10\.0\.0\.1 on do not fit"):
        load_school(folder)


def test_provinces() -> None:
    assert len(provinces()) == 68
    assert {"Xinjiang", "新疆", "Inner Mongolia"} <= provinces()
