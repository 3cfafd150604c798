"""What each machine keeps of its school: made for whom it is, made anew when something changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from provisioner.api.machine import make_field_app
from provisioner.errors import ConfigError, NotFoundError
from provisioner.fleet.vault import Secrets, Vault
from provisioner.lifecycle import Milestone
from provisioner.model.order import RenewWork
from provisioner.model.signed import open_envelope
from provisioner.model.site_bundle import SiteBundle, open_site
from provisioner.workshop import sites
from tests.unit.workshop.test_field_orders import School

SECRETS = Secrets.model_validate({"account_passwords": {"teacher": "x", "pupil": "y"}})


@pytest.fixture
def school(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    vault = Vault(tmp_path / "vault.yml", tmp_path / "password")
    vault.file.write_text("one")
    for name in ("open_vault", "vault_of"):
        monkeypatch.setattr(sites, name, lambda _school, _state: vault)
    monkeypatch.setattr(sites, "read_secrets", lambda _vault: SECRETS)
    monkeypatch.setattr("provisioner.fleet.site_files.hash_password", lambda _password: "$y$x")
    made = School(tmp_path)
    yield made
    made.station.database.close()


def bundle(school: School, number: int = 1) -> SiteBundle:
    with school.station.database.reading() as session:
        path = sites.bundle_for(school.station, session, f"PC-{number:04d}")
    found, _ = open_envelope(path.read_bytes(), SiteBundle, trusted=school.station.key.public)
    return found


def test_each_machine_has_its_own(school: School) -> None:
    first, second = bundle(school, 1), bundle(school, 2)
    assert (first.machine, second.machine) == ("PC-0001", "PC-0002")
    assert first.revision == second.revision
    assert first.number == second.number
    files = open_site(first, school.keys[1])
    assert b"PC-0001" in files["inventory/hosts.json"]
    assert b"PC-0002" not in files["inventory/hosts.json"]


def test_it_stays_the_same_until_something_changes(school: School, tmp_path: Path) -> None:
    before = bundle(school)
    assert bundle(school) == before
    (tmp_path / "vault.yml").write_text("two")
    after = bundle(school)
    assert after.revision != before.revision
    assert after.number > before.number


def test_a_number_rises_even_past_yesterdays_state(school: School, tmp_path: Path) -> None:
    before = bundle(school)
    for path in (school.station.settings.state_dir / "sites").glob("*.number"):
        path.write_text('{"number": 3, "revision": "old"}')
    (tmp_path / "vault.yml").write_text("two")
    assert bundle(school).number >= before.number


@pytest.mark.parametrize("milestone", [Milestone.IMAGED, Milestone.RETIRED])
def test_one_that_was_never_configured_has_none(school: School, milestone: Milestone) -> None:
    with school.station.database.transaction() as session:
        row = school.machine(1)
        session.add(row)
        row.milestone = milestone
    with pytest.raises(NotFoundError):
        bundle(school)


def test_the_door_gives_it_to_whoever_asks_because_nobody_else_opens_it(school: School) -> None:
    door = TestClient(make_field_app(school.station))
    revision = door.get("/sites/PC-0001.revision").text
    found, _ = open_envelope(
        door.get("/sites/PC-0001.dsse.json").text, SiteBundle,
        trusted=school.station.key.public,
    )  # fmt: skip
    assert found.revision == revision
    assert door.get("/sites/PC-0777.dsse.json").status_code == 404
    assert door.get("/sites/PC-0777.revision").text == ""
    for path in ("/boot/boot.ipxe", "/live/vmlinuz", "/announce", "/grub/grub.cfg"):
        assert door.get(path).status_code == 404  # how to start is nobody's business out there


def test_an_order_names_what_holds_when_it_is_given(school: School, tmp_path: Path) -> None:
    school.order()
    (tmp_path / "vault.yml").write_text("changed while the order waited")
    order = school.robot(1).order()
    assert order and isinstance(order.work, RenewWork)
    assert order.work.configuration == bundle(school).revision


def test_a_folder_that_is_not_in_order_asks_for_a_person(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: Path) -> None:
        raise ConfigError("There is no such province.")

    school.order()
    monkeypatch.setattr(sites, "load_school", broken)
    assert school.robot(1).order() is None
    assert school.machine(1).needs_hand
