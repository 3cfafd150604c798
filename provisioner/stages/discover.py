"""Discover: is the machine that registers one we know, a new one, or a question?

A value that two known machines share says nothing about either (makers flash one UUID into a
whole series). A disk is told apart: seen in two machines it has moved, and is where it was seen
last; in three, its serial is a maker's filler.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provisioner.model.hardware import Hardware
from provisioner.model.identity import (
    Identifiers,
    Likeness,
    Value,
    compare,
    identifiers,
    is_placeholder,
)

MANY_MACHINES, MANY_DISKS = 2, 3


@dataclass(frozen=True)
class Match:
    """Which known machines the registration fits. Doubt is a question, never a merge.

    `same` are plainly it; `doubtful` share something that does not decide.
    """

    same: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()

    @property
    def machine(self) -> int | None:
        """The one machine that it plainly is."""
        return self.same[0] if len(self.same) == 1 else None

    @property
    def candidates(self) -> tuple[int, ...]:
        """Who a person must choose from; empty when nothing is to be asked."""
        return () if self.machine is not None else self.same or self.doubtful


@dataclass(frozen=True)
class Change:
    """A part of a known machine that is another one now."""

    part: str  # board, network, disk
    was: tuple[str, ...]
    now: tuple[str, ...]


def find_machine(hardware: Hardware, known: Mapping[int, Hardware]) -> Match:
    """Compare a registration with every machine that we know, the one heard last at the end."""
    mine = identifiers(hardware)
    others = {number: identifiers(other) for number, other in known.items()}
    return match_among(mine, others)


def match_among(mine: Identifiers, others: Mapping[int, Identifiers]) -> Match:
    """The same with identifiers; the order of `others` is that of their latest registration."""
    shared = _shared(others.values())
    last_seen_in = {disk: number for number, other in others.items() for disk in other.disks}
    mine = _without(mine, shared)
    same, doubtful = [], []
    for number, other in others.items():
        if mine.values.isdisjoint(other.values):
            continue
        gone = {("disks", disk) for disk in other.disks if last_seen_in[disk] != number}
        likeness = compare(mine, _without(other, shared | gone))
        if likeness is Likeness.SAME:
            same.append(number)
        elif likeness is Likeness.DOUBTFUL:
            doubtful.append(number)
    return Match(tuple(same), tuple(doubtful))


def changes(before: Hardware, after: Hardware) -> list[Change]:
    """What was exchanged in a machine that is known to be the same. Added memory is no exchange."""
    old, new = identifiers(before), identifiers(after)
    found = _board_change(before, after)
    for part, was, now in (("network", old.macs, new.macs), ("disk", old.disks, new.disks)):
        if was != now:
            found.append(Change(part, tuple(sorted(was - now)), tuple(sorted(now - was))))
    return found


def _board_change(before: Hardware, after: Hardware) -> list[Change]:
    """Another board: it says something else of itself, or it came with another network card and
    says nothing where the old one did, or the other way round (many boards are never named).

    Firmware that was reset may forget a serial, too; then the on-board card is the same.
    """
    old, new = identifiers(before), identifiers(after)
    pairs = ((old.board_serial, new.board_serial), (old.uuid, new.uuid))
    both = [(one, two) for one, two in pairs if one and two]
    was, now = (tuple(value for value in side if value) for side in zip(*pairs, strict=True))
    another_model = _board_model(before) != _board_model(after)
    if both:
        replaced = all(one != two for one, two in both)
    else:
        replaced = bool(was or now or another_model) and old.macs.isdisjoint(new.macs)
        replaced = replaced and bool(old.macs and new.macs)
    if not replaced:
        return []
    return [Change("board", was or (_board_model(before),), now or (_board_model(after),))]


def _board_model(hardware: Hardware) -> str:
    names = (hardware.smbios.board_vendor, hardware.smbios.board_product)
    return " ".join(name for name in names if not is_placeholder(name))


def _shared(known: Iterable[Identifiers]) -> frozenset[Value]:
    """Values that many of the known machines have: they identify none of them."""
    count: Counter[Value] = Counter()
    for one in known:
        count.update(one.values)
    return frozenset(
        value
        for value, times in count.items()
        if times >= (MANY_DISKS if value[0] == "disks" else MANY_MACHINES)
    )


def _without(one: Identifiers, ignored: frozenset[Value]) -> Identifiers:
    if one.values.isdisjoint(ignored):
        return one

    def keep(kind: str, value: str) -> str:
        return "" if (kind, value) in ignored else value

    return Identifiers(
        uuid=keep("uuid", one.uuid),
        system_serial=keep("system_serial", one.system_serial),
        board_serial=keep("board_serial", one.board_serial),
        macs=frozenset(mac for mac in one.macs if keep("macs", mac)),
        disks=frozenset(disk for disk in one.disks if keep("disks", disk)),
    )
