"""Work that the station does itself, over SSH, on a machine that runs its own system.

Which machine may be spoken to is settled before: the host keys are those that the machine
reported, signed, when it was imaged; a machine that shows another key is not configured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.checks.catalog import expected_checks
from provisioner.checks.promises import promises_for
from provisioner.errors import WrongStateError
from provisioner.fleet.school import find_school, load_school
from provisioner.fleet.vault import open_vault
from provisioner.lifecycle import Verb
from provisioner.model.school import School, SeatedMachine
from provisioner.stages.ansible import known_hosts_text
from provisioner.stages.configure import (
    Workplace,
    configure_machine,
    judge_configure,
    revision,
)
from provisioner.stages.verify import judge_verify, verify_machine
from provisioner.store.tables import MachineRow
from provisioner.workshop.facts import station_facts
from provisioner.workshop.station import Station

# Generous: an old PC on a slow disk, or a virtual one under emulation (seconds).
CONFIGURE_TIMEOUT_S = 1800.0
VERIFY_TIMEOUT_S = 900.0


@dataclass(frozen=True)
class Outcome:
    """What came of the work: the evidence, and the reasons why it is not proved."""

    evidence: dict[str, Any] | None
    reasons: list[str]


@dataclass(frozen=True)
class Visit:
    """One machine at one school, and the folder where this visit leaves its files."""

    school: School
    machine: SeatedMachine
    release: str
    host_keys: tuple[str, ...]
    folder: Path

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"


def carry_out(station: Station, machine_id: int, verb: Verb) -> Outcome:
    """Configure or verify one machine. Raises ProvisionerError; UnreachableError is retried."""
    visit = _visit(station, machine_id, verb)
    _pin_host_keys(visit)
    report = _reporter(station, machine_id)
    if verb is Verb.CONFIGURE:
        return _configure(station, visit, report)
    if verb is Verb.VERIFY:
        report("checking every promise", 0.0)
        return _verify(station, visit)
    raise WrongStateError(f"“{verb}” is not done over SSH.")


def _configure(station: Station, visit: Visit, report: Callable[[str, float], None]) -> Outcome:
    settings = station.settings
    vault = open_vault(visit.school, settings.state_dir)
    evidence = configure_machine(
        visit.school,
        visit.machine,
        workplace=Workplace(settings.playbooks_dir, station.ssh_key_path, station_facts(station)),
        vault=vault,
        known_hosts=visit.known_hosts,
        folder=visit.folder,
        timeout_s=CONFIGURE_TIMEOUT_S,
        report=report,
    )
    now = revision(visit.school, vault, settings.playbooks_dir)
    reasons = judge_configure(evidence, school=visit.school.id, revision=now)
    return Outcome(evidence.model_dump(mode="json"), reasons)


def _verify(station: Station, visit: Visit) -> Outcome:
    facts = station_facts(station)
    promises = promises_for(
        visit.school,
        visit.machine.seat,
        release=visit.release,
        ssh_host_keys=visit.host_keys,
        station_time_servers=facts.time_servers,
    )
    evidence = verify_machine(
        visit.school.id,
        visit.machine,
        promises,
        ssh_key=station.ssh_key_path,
        known_hosts=visit.known_hosts,
        folder=visit.folder,
        timeout_s=VERIFY_TIMEOUT_S,
    )
    return Outcome(
        evidence.model_dump(mode="json"), judge_verify(evidence, expected_checks(promises))
    )


def _visit(station: Station, machine_id: int, verb: Verb) -> Visit:
    with station.database.transaction() as session:
        machine = session.get_one(MachineRow, machine_id)
        if machine.batch is None or machine.asset_tag is None or machine.seat is None:
            raise WrongStateError("The machine belongs to no batch.")
        if not machine.ssh_host_keys:
            raise WrongStateError(
                f"{machine.asset_tag} has never reported an SSH host key.", "Image it again."
            )
        folder = find_school(station.settings.inventories_dir, machine.batch.school)
        return Visit(
            school=load_school(folder),
            machine=SeatedMachine.model_validate(
                {
                    "asset_tag": machine.asset_tag,
                    "seat": machine.seat,
                    "address": machine.address,
                }
            ),
            release=machine.release,
            host_keys=tuple(machine.ssh_host_keys),
            folder=station.settings.logs_dir / machine.asset_tag / str(verb),
        )


def _pin_host_keys(visit: Visit) -> None:
    visit.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    visit.known_hosts.write_text(known_hosts_text(visit.machine, visit.host_keys))


def _reporter(station: Station, machine_id: int) -> Callable[[str, float], None]:
    def report(step: str, fraction: float) -> None:
        station.board.show(machine_id, step, min(max(fraction, 0.0), 1.0))

    return report
