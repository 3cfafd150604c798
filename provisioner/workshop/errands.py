"""Errands that a person offers a machine between its stages: a moment's sleep, a long memory test.

Both need somebody who may have to press the power button, so neither happens by itself.
"""

from __future__ import annotations

from sqlalchemy.orm import Session

from provisioner.errors import DriveFrozenError, WrongStateError
from provisioner.model.record import Problem
from provisioner.store.events import note
from provisioner.store.tables import MachineRow
from provisioner.workshop import runs
from provisioner.workshop.desk import find_machine
from provisioner.workshop.station import Station

MEMORY_TEST = "memory-test"  # the kind of the wait


def let_sleep(station: Station, session: Session, tag: str, actor: str) -> MachineRow:
    """The next wipe begins with a short sleep, which takes a frozen drive's power away.

    Raises WrongStateError for a machine whose disk is not frozen.
    """
    machine = find_machine(session, tag)
    if (machine.needs_hand or {}).get("kind") != DriveFrozenError.__name__:
        raise WrongStateError(
            f"The disk of {machine.asset_tag} is not frozen.", "Look at what the machine needs."
        )
    machine.needs_hand = None
    note(session, "sleep-offered", actor=actor, machine=machine)
    station.board.touch()
    return machine


def test_memory(station: Station, session: Session, tag: str, actor: str) -> MachineRow:
    """From its next start over the network the machine tests its memory, until “try again”.

    Raises WrongStateError while it is at work or waits for something else.
    """
    machine = find_machine(session, tag)
    if runs.open_runs(session, machine):
        raise WrongStateError(f"{machine.asset_tag} is at work.", "Wait until the stage has ended.")
    if machine.needs_hand is not None:
        raise WrongStateError(
            f"{machine.asset_tag} already waits for somebody.", "See to that first."
        )
    machine.needs_hand = Problem(
        kind=MEMORY_TEST,
        message="A long memory test was ordered.",
        hint="Switch the machine off and on. The test shows on its own screen and never ends by "
        "itself: after a full pass, switch it off, press “try again”, and switch it on. Errors "
        "in red: change the memory.",
    ).model_dump()
    note(session, "memory-test", actor=actor, machine=machine)
    station.board.touch()
    return machine


def tests_memory(machine: MachineRow) -> bool:
    """Whether the machine shall start the memory test."""
    return (machine.needs_hand or {}).get("kind") == MEMORY_TEST
