"""What one machine gets of its school: all that it needs, and nothing of anybody else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import StationError
from provisioner.fleet import site_files as made
from provisioner.fleet.inventory import StationFacts
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import Secrets
from provisioner.model.school import School, SeatedMachine, SeatRole
from provisioner.model.site_bundle import OPENED

ROOT = Path(__file__).parents[3]
SECRETS = Secrets.model_validate(
    {
        "account_passwords": {"teacher": "CANARY-TEACHER", "pupil": "CANARY-PUPIL"},
        "wifi_password": "CANARY-WIFI",
        "control_private_key": "CANARY-PRIVATE-KEY",
        "control_public_key": "CANARY-PUBLIC-KEY",
    }
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "hash_password", lambda password: f"$y${len(password)}")


def files_of(school: School, role: SeatRole) -> dict[str, bytes]:
    seat = next(n for n in range(1, 50) if school.seat(n).role is role)
    machine = SeatedMachine.model_validate(
        {"asset_tag": "PC-0001", "seat": seat, "address": "127.0.0.1"}
    )
    return made.site_files(school, machine, ROOT / "playbooks", SECRETS, StationFacts())


def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [word for item in value.values() for word in strings(item)]
    if isinstance(value, list):
        return [word for item in value for word in strings(item)]
    return [str(value)]


@pytest.mark.parametrize("name", ["new-shoots", "high-pasture", "listening-hill", "first-room"])
@pytest.mark.parametrize("role", list(SeatRole))
def test_no_secret_but_those_that_the_machine_has_anyway(name: str, role: SeatRole) -> None:
    school = load_school(ROOT / "inventories" / name)
    everything = b"".join(files_of(school, role).values())
    assert b"CANARY-TEACHER" not in everything
    assert b"CANARY-PUPIL" not in everything
    control, teacher = school.settings.teacher_desk.control, role is SeatRole.TEACHER
    assert (b"CANARY-PRIVATE-KEY" in everything) is (control and teacher)
    assert (b"CANARY-PUBLIC-KEY" in everything) is control
    assert (b"CANARY-WIFI" in everything) is (school.settings.network.wifi is not None)


def test_nothing_of_another_school_or_of_the_station(folder: Path) -> None:
    other = shutil.copytree(folder, folder.parent / "old-mill")
    text = (other / "school.yml").read_text()
    (other / "school.yml").write_text(text.replace("Welcome", "CANARY-OF-OLD-MILL welcome"))
    everything = b"".join(files_of(load_school(folder), SeatRole.PUPIL).values())
    assert b"CANARY-OF-OLD-MILL" not in everything
    assert b"vault-password" not in everything
    assert str(folder).encode() not in everything


def test_only_the_machines_own_group_and_itself(folder: Path) -> None:
    (folder / "group_vars").mkdir(exist_ok=True)
    (folder / "group_vars/teachers.yml").write_text("secret_of_teachers: CANARY-GROUP\n")
    (folder / "group_vars/pupils.yml").write_text("hint: for pupils\n")
    files = files_of(load_school(folder), SeatRole.PUPIL)
    assert b"CANARY-GROUP" not in b"".join(files.values())
    assert files["inventory/group_vars/pupils/school.yml"] == b"hint: for pupils\n"
    inventory = json.loads(files["inventory/hosts.json"])
    assert list(inventory["all"]["children"]) == ["pupils"]
    assert list(inventory["all"]["children"]["pupils"]["hosts"]) == ["PC-0001"]


def test_pictures_go_along_and_are_named_where_they_will_be(folder: Path) -> None:
    files = files_of(load_school(folder), SeatRole.PUPIL)
    words = strings(json.loads(files["inventory/hosts.json"]))
    named = [word for word in words if word.startswith(f"{OPENED}/")]
    assert named
    for word in named:
        assert word.removeprefix(f"{OPENED}/") in files


def test_a_picture_that_is_too_large_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "MAX_BYTES", 1000)
    with pytest.raises(StationError, match="too large"):
        files_of(load_school(folder), SeatRole.PUPIL)


def test_everything_secret_is_data_and_no_template(folder: Path) -> None:
    secrets = json.loads(files_of(load_school(folder), SeatRole.PUPIL)[
        "inventory/group_vars/all/secrets.json"])  # fmt: skip
    hashes = secrets["account_password_hashes"]
    assert set(hashes) == {"teacher", "pupil"}
    assert all(set(entry) == {"__ansible_unsafe"} for entry in hashes.values())
