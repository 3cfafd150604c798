"""Which disk is used: by rule, never by the kernel's name, and not at all when in doubt.

Peers of this program have written to a USB audio interface, a card reader, and to the hard disk
when the wanted solid-state disk was dead. So: what is removable, attached by USB, read-only or
in use is no candidate; what cannot be recognised again is none either; and when more than one
candidate is left and the batch has no rule, a person is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.errors import DiskChoiceError
from provisioner.model.batch import DiskRule
from provisioner.model.hardware import Disk, DiskRef, Transport
from provisioner.model.identity import is_placeholder

_NEVER = frozenset({Transport.USB, Transport.MMC, Transport.UNKNOWN})
MB = 1_000_000


def choose_disk(
    disks: Sequence[Disk], rule: DiskRule, minimum_bytes: int, answer: DiskRef | None = None
) -> DiskRef:
    """The one disk to be wiped and imaged.

    `answer` is a person's earlier choice; it is taken only while exactly that disk is there.
    Raises DiskChoiceError, naming every disk and why it was not taken.
    """
    if answer is not None:
        return _answered(disks, answer)
    candidates = [disk for disk in disks if not why_not(disk, disks, minimum_bytes)]
    if not candidates:
        raise DiskChoiceError(
            f"No disk can be used. {_listing(disks, minimum_bytes)}",
            f"Connect an internal disk of at least {minimum_bytes // MB} MB.",
        )
    chosen = _by_rule(candidates, rule)
    if len(chosen) != 1:
        raise DiskChoiceError(
            f"{len(chosen) or len(candidates)} disks could be used and the rule “{rule}” does "
            f"not say which. {_listing(disks, minimum_bytes)}",
            "Choose one on the dashboard, or unplug the other.",
        )
    return DiskRef.of(chosen[0])


def why_not(disk: Disk, disks: Sequence[Disk], minimum_bytes: int) -> str:
    """The reason why a disk is no candidate, or nothing."""
    if disk.removable or disk.transport in _NEVER:
        return f"attached by {disk.transport}" if not disk.removable else "removable"
    if disk.read_only:
        return "read-only"
    if disk.in_use:
        return "in use"
    if disk.size_bytes < minimum_bytes:
        return f"smaller than {minimum_bytes // MB} MB"
    return "" if _recognisable(disk, disks) else "not to be told from another disk"


def _recognisable(disk: Disk, disks: Sequence[Disk]) -> bool:
    """Whether an order can name this disk and mean no other one.

    A disk without serial or WWN is only taken when no second disk looks the same.
    """
    twins = [other for other in disks if DiskRef.of(other) == DiskRef.of(disk)]
    return len(twins) == 1


def _by_rule(candidates: list[Disk], rule: DiskRule) -> list[Disk]:
    if rule is DiskRule.ONLY:
        return candidates
    if rule is DiskRule.SOLID_STATE:
        return [disk for disk in candidates if not disk.rotational]
    pick = min if rule is DiskRule.SMALLEST else max
    size = pick(disk.size_bytes for disk in candidates)
    return [disk for disk in candidates if disk.size_bytes == size]


def _answered(disks: Sequence[Disk], answer: DiskRef) -> DiskRef:
    found = [disk for disk in disks if answer.matches(disk)]
    if len(found) != 1:
        raise DiskChoiceError(
            f"The disk that was chosen ({describe(answer)}) is not there, or there twice.",
            "Connect it again, or choose another one.",
        )
    return answer


def describe(disk: Disk | DiskRef) -> str:
    """A disk in a person's words: model, serial, size."""
    serial = "no serial" if is_placeholder(disk.serial) else disk.serial
    return f"{disk.model or disk.transport} {serial}, {disk.size_bytes / 1e9:.1f} GB"


def _listing(disks: Sequence[Disk], minimum_bytes: int) -> str:
    if not disks:
        return "The machine shows no disk at all."
    lines = (
        f"{describe(disk)} ({why_not(disk, disks, minimum_bytes) or 'could be used'})"
        for disk in disks
    )
    return "Disks: " + "; ".join(lines) + "."
