"""One workshop day in the virtual classroom, with what goes wrong on such days.

The day is lived once (several minutes under emulation); the tests look at what it left behind.
Machine A loses its power in the middle of imaging; machine B's network is cut for a minute while
it works; the station is killed outright. Nobody touches a key. Afterwards both disks are put
into machines with the other kind of firmware.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from provisioner.lab.firmware import Firmware
from provisioner.lab.machine import Machine
from provisioner.lab.workshop import VirtualWorkshop
from provisioner.lifecycle import Milestone, Verb
from provisioner.model.signed import open_envelope
from provisioner.settings import load_settings
from provisioner.workshop.passport import Passport
from tests.vm.waiting import wait

pytestmark = pytest.mark.vm

DAY_TIMEOUT_S = 2400.0
NETWORK_CUT_S = 60.0
WORKSHOP = [Verb.DISCOVER, Verb.ENROL, Verb.DIAGNOSE, Verb.WIPE, Verb.IMAGE, Verb.CONFIGURE,
            Verb.VERIFY]  # fmt: skip


@dataclass
class Day:
    """What the day left behind."""

    summary: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    sealed_passports: dict[str, Any] = field(default_factory=dict)
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)
    registered_on: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    donor_data_found: list[str] = field(default_factory=list)
    station_key: str = ""
    verify_again: str = ""


@pytest.fixture(scope="module")
def day() -> Iterator[Day]:
    with VirtualWorkshop(load_settings(), machines=2) as workshop:
        yield live_through(workshop)


def live_through(workshop: VirtualWorkshop) -> Day:
    day = Day(before=workshop.classroom.bystander_digests())
    a, b = workshop.machines
    workshop.open_batch()
    workshop.power_on()
    wait(lambda: imaging(workshop, a) > 0.25, "A to be imaging")
    a.kill()
    a.start()
    wait(lambda: running(workshop, b) != "", "B to work")
    b.plug(connected=False)
    time.sleep(NETWORK_CUT_S)
    b.plug(connected=True)
    wait(lambda: running(workshop, a) == "image", "A to be imaged again")
    workshop.station.kill()
    time.sleep(3)
    workshop.station.start()
    wait(lambda: all_at(workshop, Milestone.VERIFIED), "both to be verified", DAY_TIMEOUT_S)
    look_back(workshop, day)
    swap_firmware(workshop, day)
    return day


def look_back(workshop: VirtualWorkshop, day: Day) -> None:
    station = workshop.station
    day.summary = station.get("summary", batch="lab")
    day.events = station.get("events", limit="500")
    day.station_key = (workshop.station.state_dir / "station.key").read_text().strip()
    for machine in day.summary["machines"]:
        tag = machine["asset_tag"]
        day.sealed_passports[tag] = station.get_text(f"machines/{tag}/passport")
    for machine in workshop.machines:
        machine.kill()
    day.after = workshop.classroom.bystander_digests()
    day.donor_data_found = workshop.classroom.donor_data_left()


def swap_firmware(workshop: VirtualWorkshop, day: Day) -> None:
    """Each disk starts once more, in a machine with the other kind of firmware."""
    other: dict[int, dict[str, Any]] = {
        0: {"firmware": Firmware.UEFI64, "secure_boot": True, "nic": "virtio-net-pci"},
        1: {"firmware": Firmware.BIOS, "secure_boot": False, "nic": "e1000"},
    }
    for number, machine in enumerate(workshop.machines):
        seen = len(installed_starts(workshop, machine))
        machine.change(**other[number])
        machine.start()
        wait(lambda m=machine, n=seen: len(installed_starts(workshop, m)) > n, "the disk to start")  # type: ignore[misc]
        day.registered_on[machine.pc.name] = installed_starts(workshop, machine)[seen:]
        machine.kill()


def tile(workshop: VirtualWorkshop, machine: Machine) -> dict[str, Any] | None:
    """The machine's tile, found by its network address; None before it has registered."""
    for found in workshop.station.get("machines"):
        if not found["asset_tag"]:
            continue
        detail = workshop.station.get(f"machines/{found['asset_tag']}")
        if machine.pc.mac in [nic["mac"] for nic in detail["hardware"]["nics"]]:
            return dict(found)
    return None


def running(workshop: VirtualWorkshop, machine: Machine) -> str:
    found = tile(workshop, machine)
    return str(found["running"]) if found else ""


def imaging(workshop: VirtualWorkshop, machine: Machine) -> float:
    found = tile(workshop, machine)
    if not found or found["running"] != Verb.IMAGE:
        return 0.0
    return found["fraction"] or 0.0


def installed_starts(workshop: VirtualWorkshop, machine: Machine) -> list[dict[str, Any]]:
    found = tile(workshop, machine)
    assert found is not None
    events = workshop.station.get("events", kind="registered", limit="500")
    return [
        event["data"]
        for event in events
        if event["machine"] == found["asset_tag"] and event["data"]["surroundings"] == "installed"
    ]


def all_at(workshop: VirtualWorkshop, milestone: Milestone) -> bool:
    tiles = workshop.station.get("machines")
    for found in tiles:
        assert not found["needs_hand"], found["needs_hand"]
    return len(tiles) == 2 and all(found["milestone"] == milestone for found in tiles)


def by_firmware(day: Day, firmware: str) -> dict[str, Any]:
    return next(dict(m) for m in day.summary["machines"] if m["firmware"] == firmware)


def test_both_machines_are_verified_with_evidence_of_every_stage(day: Day) -> None:
    assert len(day.summary["machines"]) == 2
    for machine in day.summary["machines"]:
        assert machine["milestone"] == Milestone.VERIFIED
        stages = machine["stages"]
        assert {verb: stages[verb]["outcome"] for verb in WORKSHOP} == dict.fromkeys(
            WORKSHOP, "succeeded"
        )
        assert all(stages[verb]["evidence"] for verb in WORKSHOP)


def test_bios_and_secure_boot_are_what_they_were(day: Day) -> None:
    assert by_firmware(day, "bios")["secure_boot"] in (None, False)
    assert by_firmware(day, "uefi64")["secure_boot"] is True


def test_bystanders_are_untouched(day: Day) -> None:
    assert day.before and day.before == day.after


def test_the_donors_data_are_gone(day: Day) -> None:
    assert day.donor_data_found == []


def test_the_power_cut_interrupted_a_run_that_was_done_again(day: Day) -> None:
    tag = by_firmware(day, "bios")["asset_tag"]
    kinds = [
        event["kind"]
        for event in sorted(day.events, key=lambda event: event["id"])
        if event["machine"] == tag and event["data"].get("verb") == Verb.IMAGE
    ]
    cut = kinds.index("run-interrupted")
    assert "run-succeeded" in kinds[cut:]


def test_nothing_failed_and_nobody_was_called(day: Day) -> None:
    assert not [e for e in day.events if e["kind"] in ("run-failed", "needs-hand")]


def test_each_disk_starts_on_the_other_kind_of_firmware(day: Day) -> None:
    assert len(day.registered_on) == 2
    for starts in day.registered_on.values():
        assert starts[-1]["release"].startswith("lab@")


def test_machines_have_their_own_identities(day: Day) -> None:
    keys = [
        machine["stages"][Verb.IMAGE]["evidence"]["ssh_host_keys"]
        for machine in day.summary["machines"]
    ]
    uuids = [
        part["filesystem_uuid"]
        for machine in day.summary["machines"]
        for part in machine["stages"][Verb.IMAGE]["evidence"]["partitions"]
        if part["filesystem_uuid"]
    ]
    assert keys[0] != keys[1]
    assert len(uuids) == len(set(uuids)) == 6


def test_passports_are_signed_by_the_station(day: Day) -> None:
    from provisioner.model.signed import PrivateKey

    trusted = PrivateKey.from_hex(day.station_key).public
    for tag, sealed in day.sealed_passports.items():
        passport, _ = open_envelope(sealed, Passport, trusted=trusted)
        assert (passport.asset_tag, passport.milestone) == (tag, Milestone.VERIFIED)
