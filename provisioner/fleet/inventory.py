"""The Ansible inventory of one run: a school's settings and seats, and the machines in them.

Everything that goes in is data, never a template: what a machine reported about itself may have
been written to be evaluated on the station (CVE-2016-9587 and its successors), so every string
is marked unsafe in the way that Ansible's JSON inventories know.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.errors import ConfigError
from provisioner.fleet.facts import machine_facts, school_facts
from provisioner.fleet.hosts import GROUPS
from provisioner.model.base import Model, ShortText
from provisioner.model.school import School, SeatedMachine, TimeServer

ADMINISTRATOR = "root"


class StationFacts(Model):
    """What a machine has to know about the station that configures it."""

    time_servers: tuple[TimeServer, ...] = ()
    name: ShortText = ""


def inventory_for(
    school: School,
    machines: Sequence[SeatedMachine],
    station: StationFacts,
    *,
    local: bool = False,
) -> dict[str, Any]:
    """The run's inventory: asset tags as hosts, in the groups of their seats.

    `local` makes it one for the machine itself, without SSH. Raises ConfigError when two
    machines claim one seat, one asset tag or one address.
    """
    _no_doubles(machines)
    given = school.variables
    children: dict[str, Any] = {
        group: {"hosts": {}, "vars": given.get(group, {})} for group in GROUPS
    }
    group_of = {role: group for group, role in GROUPS.items()}
    for machine in machines:
        seat = school.seat(machine.seat)
        hosts = children[group_of[seat.role]]["hosts"]
        hosts[machine.asset_tag] = {**seat.variables, **_host(school, machine, local)}
    facts = as_data({"school": school_facts(school), "station": station.model_dump()})
    return {"all": {"vars": {**given.get("all", {}), **facts}, "children": children}}


def as_data(value: Any) -> Any:
    """`value` with every string marked as data that Ansible must not evaluate."""
    if isinstance(value, str):
        return {"__ansible_unsafe": str(value)}
    if isinstance(value, Mapping):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item) for item in value]
    return value


def _host(school: School, machine: SeatedMachine, local: bool) -> dict[str, Any]:
    way = (
        {"ansible_connection": "local"}
        if local
        else {
            "ansible_host": as_data(str(ipaddress.ip_address(str(machine.address)))),
            "ansible_port": machine.port,
            "ansible_user": ADMINISTRATOR,
        }
    )
    return {"machine": as_data(machine_facts(school, machine)), **way}


def _no_doubles(machines: Sequence[SeatedMachine]) -> None:
    for what in ("asset_tag", "seat", "address"):
        seen: set[str] = set()
        for machine in machines:
            value = str(getattr(machine, what))
            if value in seen:
                raise ConfigError(
                    f"Two machines have the {what.replace('_', ' ')} {value}.",
                    "Give each machine of the batch its own.",
                )
            seen.add(value)
