"""The inventory of a run: the right groups, and nothing in it that Ansible would evaluate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import ConfigError, NotFoundError
from provisioner.fleet.inventory import StationFacts, as_data, inventory_for
from provisioner.fleet.school import load_school
from provisioner.model.school import School, SeatedMachine
from tests.unit.fleet.conftest import Edit

STATION = StationFacts(time_servers=("10.77.0.1",))
EVIL = "{{ lookup('pipe', 'id') }}"


def machine(tag: str, seat: int, address: str = "10.77.0.9") -> SeatedMachine:
    return SeatedMachine(asset_tag=tag, seat=seat, address=address)


def plain_strings(value: Any) -> Iterator[str]:
    """Every string that is not marked as data."""
    if isinstance(value, dict):
        if set(value) == {"__ansible_unsafe"}:
            return
        for item in value.values():
            yield from plain_strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from plain_strings(item)
    elif isinstance(value, str):
        yield value


def test_machines_in_the_groups_of_their_seats(school: School) -> None:
    machines = [machine("PC-0001", 1), machine("PC-0002", 2, "10.77.0.10")]
    children = inventory_for(school, machines, STATION)["all"]["children"]
    assert list(children["teachers"]["hosts"]) == ["PC-0001"]
    assert list(children["pupils"]["hosts"]) == ["PC-0002"]
    host = children["pupils"]["hosts"]["PC-0002"]
    assert host["ansible_host"] == as_data("10.77.0.10")
    assert host["machine"]["hostname"] == as_data("shoots-pupil-01")
    assert host["machine"]["role"] == as_data("pupil")


def test_nothing_is_a_template_but_the_connections_user(school: School) -> None:
    inventory = inventory_for(school, [machine("PC-0001", 1)], STATION)
    assert set(plain_strings(inventory)) == {"root"}
    json.dumps(inventory)


def test_a_banner_may_hold_braces(folder: Path, edit: Edit) -> None:
    edit("school.yml", "Welcome to the computer room", EVIL)
    inventory = inventory_for(load_school(folder), [machine("PC-0001", 1)], STATION)
    banner = inventory["all"]["vars"]["school"]["banner"]["en"]
    assert EVIL in banner["__ansible_unsafe"]


def test_on_the_machine_itself(school: School) -> None:
    inventory = inventory_for(school, [machine("PC-0001", 1)], STATION, local=True)
    host = inventory["all"]["children"]["teachers"]["hosts"]["PC-0001"]
    assert host["ansible_connection"] == "local"
    assert "ansible_host" not in host


@pytest.mark.parametrize(
    "second",
    [machine("PC-0001", 2, "10.77.0.10"), machine("PC-0002", 1, "10.77.0.10"),
     machine("PC-0002", 2)],
)  # fmt: skip
def test_two_machines_never_share(school: School, second: SeatedMachine) -> None:
    with pytest.raises(ConfigError, match="Two machines"):
        inventory_for(school, [machine("PC-0001", 1), second], STATION)


def test_a_seat_that_is_not_there(school: School) -> None:
    with pytest.raises(NotFoundError):
        inventory_for(school, [machine("PC-0001", 99)], STATION)


@pytest.mark.parametrize("tag", [EVIL, "PC 1", "../x", ""])
def test_asset_tags_are_words(tag: str) -> None:
    with pytest.raises(ValueError, match="asset_tag"):
        machine(tag, 1)


def test_variables_of_hosts_yml_are_kept(folder: Path, edit: Edit) -> None:
    edit("hosts.yml", "        teacher-1:\n", "        teacher-1: {projector: true, machine: no}\n")
    edit("hosts.yml", "    pupils:\n", "    pupils:\n      vars: {headphones: true}\n")
    inventory = inventory_for(load_school(folder), [machine("PC-0001", 1)], STATION)
    children = inventory["all"]["children"]
    assert children["teachers"]["hosts"]["PC-0001"]["projector"] is True
    assert children["teachers"]["hosts"]["PC-0001"]["machine"]["seat"] == as_data("teacher-1")
    assert children["pupils"]["vars"] == {"headphones": True}
