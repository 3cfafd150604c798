"""Discover: is the machine that registers one we know, a new one, or a question?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provisioner.model.hardware import Hardware
from provisioner.model.identity import identifiers, same_machine


@dataclass(frozen=True)
class Match:
    """Which known machines the registration fits. Two are a question, never a merge."""

    machines: tuple[int, ...]

    @property
    def ambiguous(self) -> bool:
        return len(self.machines) > 1


def find_machine(hardware: Hardware, known: Mapping[int, Hardware]) -> Match:
    """Compare a registration with every machine that we know, by `identity.same_machine`."""
    mine = identifiers(hardware)
    return Match(
        tuple(number for number, other in known.items() if same_machine(mine, identifiers(other)))
    )
