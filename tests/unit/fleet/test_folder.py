"""Every mistake that a person can make in a school's folder is named: file, line, field, cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, NotFoundError
from provisioner.fleet.school import (
    check_school,
    find_school,
    keyboards,
    load_school,
    locales,
    school_folders,
    time_zones,
)
from provisioner.model.school import SeatRole
from tests.unit.fleet.conftest import INVENTORIES, Edit


def only_problem(folder: Path) -> ConfigError:
    problems = check_school(folder)
    assert len(problems) == 1, [str(problem) for problem in problems]
    with pytest.raises(ConfigError) as caught:
        load_school(folder)
    assert str(caught.value) == str(problems[0])
    return problems[0]


@pytest.mark.parametrize("example", school_folders(INVENTORIES), ids=lambda path: path.name)
def test_examples_are_right(example: Path) -> None:
    assert check_school(example) == []
    school = load_school(example)
    assert school.id == example.name
    assert school.seat(1).role is SeatRole.TEACHER


def test_examples_differ() -> None:
    shoots, pasture = (load_school(INVENTORIES / name) for name in ("new-shoots", "high-pasture"))
    one, other = shoots.settings, pasture.settings
    assert one.time_zone != other.time_zone
    assert one.accounts != other.accounts
    assert one.banner != other.banner
    assert one.keyboard != other.keyboard
    assert other.ntp == ()


def test_seats_in_order_with_their_names() -> None:
    school = load_school(INVENTORIES / "new-shoots")
    assert [seat.hostname for seat in school.seats[:3]] == [
        "shoots-teacher-1", "shoots-pupil-01", "shoots-pupil-02",
    ]  # fmt: skip
    assert len(school.seats) == 25
    with pytest.raises(NotFoundError, match="25 seats"):
        school.seat(26)
    with pytest.raises(NotFoundError):
        school.seat(0)


def test_a_typo_in_a_key(folder: Path, edit: Edit) -> None:
    path = edit("school.yml", "time_zone:", "timezone:")
    problem = only_problem(folder)
    assert (problem.file, problem.line, problem.field) == (path, 14, "timezone")
    assert problem.hint == "Did you mean “time_zone”?"


def test_a_typo_in_a_deep_key(folder: Path, edit: Edit) -> None:
    edit("school.yml", "    login: pupil\n", "    logn: pupil\n")
    problem = only_problem(folder)
    assert problem.field == "accounts.pupil.logn"
    assert problem.hint == "Did you mean “login”?"
    assert problem.line == 20


def test_a_key_that_stands_twice(folder: Path, edit: Edit) -> None:
    edit("school.yml", "province: Beijing\n", "province: Beijing\nprovince: Hebei\n")
    problem = only_problem(folder)
    assert (problem.field, problem.line) == ("province", 8)


def test_bad_yaml(folder: Path, edit: Edit) -> None:
    edit("school.yml", "  layout: cn", "  layout: [cn")
    problem = only_problem(folder)
    assert "not valid YAML" in problem.message
    assert problem.line in (13, 14)


@pytest.mark.parametrize(
    ("old", "new", "field", "line", "hint"),
    [
        ("Asia/Shanghai", "Asia/Shangai", "time_zone", 14, "Did you mean “Asia/Shanghai”?"),
        ("Asia/Shanghai", "PRC", "time_zone", 14, ""),
        ("zh_CN.UTF-8", "zh_CM.UTF-8", "language", 11, "Did you mean “zh_CN.UTF-8”?"),
        ("layout: cn", "layout: cnn", "keyboard.layout", 13, "Did you mean “cn”?"),
        (
            "layout: cn", "layout: us\n  variant: dvorack", "keyboard.variant", 14,
            "Did you mean “dvorak”?",
        ),
        ("wallpaper.png", "walpaper.png", "wallpaper", 29, "Put the image into this folder"),
    ],
)  # fmt: skip
def test_values_that_no_machine_knows(
    folder: Path, edit: Edit, old: str, new: str, field: str, line: int, hint: str
) -> None:
    path = edit("school.yml", old, new)
    problem = only_problem(folder)
    assert (problem.file, problem.line, problem.field) == (path, line, field)
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ("zh_CN.UTF-8", "Chinese", "language"),
        ("shoots-{seat}", "shoots", "hostname"),
        ("    login: pupil\n", "    login: teacher\n", "accounts"),
        ("    login: pupil\n", "    login: root\n", "accounts.pupil.login"),
        ("    login: pupil\n", "    login: Pupil One\n", "accounts.pupil.login"),
        ("name: 同学", "name: 'a:b'", "accounts.pupil.name"),
        ("name: 同学", 'name: "a\\e[2Jb"', "accounts.pupil.name"),
        ("wallpaper.png", "../../etc/passwd.png", "wallpaper"),
        ("ntp.ntsc.ac.cn", "-o evil", "ntp.0"),
        ("pupils: 24", "pupils: many", "seats.pupils"),
        ("pupils: 24", "pupils: 0", "seats.pupils"),
    ],
)
def test_values_of_a_wrong_form(folder: Path, edit: Edit, old: str, new: str, field: str) -> None:
    edit("school.yml", old, new)
    problem = only_problem(folder)
    assert problem.field == field
    assert problem.line is not None


def test_a_host_that_stands_twice_in_one_group(folder: Path, edit: Edit) -> None:
    edit("hosts.yml", "        pupil-[01:24]:\n", "        pupil-01:\n        pupil-01:\n")
    problem = only_problem(folder)
    assert (problem.field, problem.line) == ("pupil-01", 10)


@pytest.mark.parametrize(
    "more",
    [
        "        pupil-[01:24]:\n        pupil-07:\n",
        "        pupil-[01:24]:\n        pupil-[24:25]:\n",
        "        pupil-[01:24]:\n        teacher-1:\n",
    ],
)
def test_a_host_in_two_places(folder: Path, edit: Edit, more: str) -> None:
    path = edit("hosts.yml", "        pupil-[01:24]:\n", more)
    problem = only_problem(folder)
    assert "stands twice" in problem.message
    assert (problem.file, problem.line) == (path, 10)


def test_a_misspelt_group(folder: Path, edit: Edit) -> None:
    edit("hosts.yml", "    pupils:", "    pupil:")
    problem = only_problem(folder)
    assert problem.hint == "Did you mean “pupils”?"
    assert problem.line == 7


@pytest.mark.parametrize("hosts", ["{}", "{teachers: {hosts: {}}, pupils: {}}"])
def test_a_school_without_machines(folder: Path, hosts: str) -> None:
    path = folder / "hosts.yml"
    path.write_text(f"all: {{children: {hosts}}}\n")
    problem = only_problem(folder)
    assert problem.file == path
    assert "no machines" in problem.message


def test_more_seats_promised_than_listed(folder: Path, edit: Edit) -> None:
    edit("hosts.yml", "pupil-[01:24]", "pupil-[01:23]")
    problem = only_problem(folder)
    assert problem.message.endswith("24 seats are promised here, but hosts.yml lists 23.")
    assert (problem.line, problem.field) == (10, "seats.pupils")


@pytest.mark.parametrize("bad", ["pupil-[24:01]", "pupil-[1:9999]", "Pupil_1", "a b"])
def test_seats_that_cannot_be(folder: Path, edit: Edit, bad: str) -> None:
    edit("hosts.yml", "pupil-[01:24]", f'"{bad}"')
    assert only_problem(folder).line == 9


@pytest.mark.parametrize(
    ("name", "hint"), [("pupil.yml", "“pupils.yml”"), ("all.yaml", "“all.yml”")]
)
def test_variables_that_nothing_would_read(folder: Path, name: str, hint: str) -> None:
    (folder / "group_vars" / name).write_text("a: 1\n")
    assert hint in only_problem(folder).hint


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: [\n", "- a\n"])
def test_wrong_variables(folder: Path, text: str) -> None:
    path = folder / "group_vars" / "pupils.yml"
    path.write_text(text)
    assert only_problem(folder).file == path


def test_a_misspelt_file_name(folder: Path) -> None:
    (folder / "valt.yml").write_text("a: 1\n")
    assert only_problem(folder).hint == "Did you mean “vault.yml”?"


def test_a_missing_file(folder: Path) -> None:
    (folder / "hosts.yml").unlink()
    assert only_problem(folder).file == folder / "hosts.yml"


def test_all_mistakes_at_once(folder: Path, edit: Edit) -> None:
    edit("school.yml", "Asia/Shanghai", "Asia/Shangai")
    edit("school.yml", "layout: cn", "layout: cnn")
    edit("hosts.yml", "    pupils:", "    pupil:")
    assert len(check_school(folder)) == 3


def test_a_folder_that_cannot_be_a_name(folder: Path) -> None:
    wrong = folder.with_name("New Shoots")
    folder.rename(wrong)
    assert "short name" in only_problem(wrong).message


def test_an_unknown_school(folder: Path) -> None:
    with pytest.raises(NotFoundError, match="Did you mean “new-shoots”") as caught:
        find_school(folder.parent, "new-shots")
    assert "new-shots" in caught.value.message
    with pytest.raises(NotFoundError, match="Did you mean “new-shoots”"):
        load_school(folder.parent / "new-shots")
    assert find_school(folder.parent, "new-shoots") == folder


def test_only_folders_with_settings_are_schools(folder: Path) -> None:
    (folder.parent / "school.schema.json").write_text("{}")
    (folder.parent / "empty").mkdir()
    assert school_folders(folder.parent) == [folder]
    assert school_folders(folder.parent / "nowhere") == []


def test_what_is_known() -> None:
    assert {"Asia/Shanghai", "Asia/Urumqi", "Etc/UTC"} <= time_zones()
    assert {"zh_CN.UTF-8", "en_US.UTF-8", "C.UTF-8"} <= locales()
    assert "intl" in keyboards()["us"]
    assert "cn" in keyboards()


def test_hosts_variables_reach_the_school(folder: Path, edit: Edit) -> None:
    edit("hosts.yml", "        teacher-1:\n", "        teacher-1: {projector: true}\n")
    edit("hosts.yml", "    pupils:\n", "    pupils:\n      vars: {headphones: true}\n")
    school = load_school(folder)
    assert school.seat(1).variables == {"projector": True}
    assert school.variables["pupils"] == {"headphones": True}


def test_ansible_reads_the_same_seats(folder: Path) -> None:
    """Our reading of ranges is Ansible's: compare with its own parser."""
    from ansible.inventory.manager import InventoryManager  # type: ignore[import-untyped]
    from ansible.parsing.dataloader import DataLoader  # type: ignore[import-untyped]

    inventory = InventoryManager(loader=DataLoader(), sources=[str(folder / "hosts.yml")])
    theirs = {group: inventory.groups[group].get_hosts() for group in ("teachers", "pupils")}
    names = [host.name for group in theirs.values() for host in group]
    assert names == [seat.name for seat in load_school(folder).seats]


def test_copies_are_independent(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "second-school"))
    assert load_school(other).folder == other.resolve()
