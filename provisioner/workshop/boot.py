"""How a machine that asks the network shall start: the live environment, or its own disk."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.lifecycle import Milestone, RunState, Verb, needs_live_environment
from provisioner.netboot.menus import BootAction, BootDecision
from provisioner.settings import Settings
from provisioner.store.tables import MachineMacRow, MachineRow, RunRow
from provisioner.workshop.errands import tests_memory


def decide_boot(session: Session, settings: Settings, mac: str) -> BootDecision:
    """A machine that we do not know is to be discovered; one that has its release is not.

    The question comes from firmware, unsigned: the answer reveals nothing and changes nothing.
    """
    arguments = tuple(settings.kernel_arguments.split())
    live = BootDecision(action=BootAction.LIVE, arguments=arguments)
    row = session.get(MachineMacRow, mac)
    if row is None:
        return live
    machine = session.get_one(MachineRow, row.machine_id)
    if tests_memory(machine):
        return BootDecision(action=BootAction.MEMORY_TEST, arguments=arguments)
    if needs_live_environment(Milestone(machine.milestone)):
        return live
    return BootDecision(action=BootAction.LOCAL, esp_uuid=_esp(session, machine))


def _esp(session: Session, machine: MachineRow) -> str | None:
    """The EFI system partition of the disk that was imaged, so that no other disk is started."""
    query = select(RunRow.evidence).where(
        RunRow.machine_id == machine.id,
        RunRow.verb == Verb.IMAGE,
        RunRow.state == RunState.SUCCEEDED,
    )
    evidence = session.scalars(query.order_by(RunRow.id.desc())).first() or {}
    for part in evidence.get("partitions", ()):
        if part["label"] == "ESP":
            return part["filesystem_uuid"] or None
    return None
