"""Grades: how good a machine is, by written rules. Pure; the rules are one table.

A: for any classroom. B: for a classroom, with signs of use. C: only for parts, for tests, or until
somebody has looked; also what is not known. D: for parts. The worst rule decides, and each is
named. What could not be read is never better than C; what nobody has looked at is never A.

Sources. The attributes: Backblaze's published drive statistics (5, 187, 188, 197, 198 above zero
precede failures). Their limits: the rule set that splunk-smartmon published on top of them. Hours,
wear and memory of them: this house's own, from the field notes of the project; marked "house".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from provisioner.model.base import Model, ShortText
from provisioner.model.record import CheckOutcome, PartCheck, SmartReading


class Letter(StrEnum):
    A = "A"
    B = "B"
    C = "C"
    D = "D"


class Looked(StrEnum):
    """What a person found; n/a where a machine has no such part."""

    GOOD = "good"
    BAD = "bad"
    NONE = "none"


class GradeReason(Model):
    """One rule that spoke: what it saw, what follows, and where the rule comes from."""

    rule: ShortText
    letter: Letter
    saw: ShortText
    source: ShortText


class Grade(Model):
    """The worst letter and all reasons for less than A."""

    letter: Letter
    reasons: tuple[GradeReason, ...]


@dataclass(frozen=True)
class Limit:
    """`a`, `b`, `c`: the largest values that still get the letter; above the last it is D."""

    rule: str
    field: str
    a: int
    b: int
    c: int
    source: str


BACKBLAZE, SMARTMON, HOUSE = "Backblaze", "splunk-smartmon on Backblaze's figures", "house"
FOREVER = 2**63
# fmt: off
LIMITS = (
    Limit("reallocated sectors (5)",       "reallocated",              0,      4,      4, SMARTMON),
    Limit("uncorrectable errors (187)",    "uncorrectable",            0,      1,      1, SMARTMON),
    Limit("command timeouts (188)",        "timeouts",                 0,     13,     13, SMARTMON),
    Limit("pending sectors (197)",         "pending",                  0,      1,      1, SMARTMON),
    Limit("offline uncorrectable (198)",   "offline_uncorrectable",    0,      1,      1, SMARTMON),
    Limit("hours in use",                  "power_on_hours",      19_999, 39_999, FOREVER, HOUSE),
    Limit("per cent of its life used",     "percentage_used",         49,     79,     99, HOUSE),
    Limit("NVMe critical warning",         "critical_warning",         0,      0,      0, HOUSE),
    Limit("NVMe media errors",             "media_errors",             0,      0, FOREVER, HOUSE),
)
# fmt: on
# What a test that did not pass makes of the machine.
_BY_OUTCOME = {
    CheckOutcome.WARN: Letter.B,
    CheckOutcome.UNKNOWN: Letter.C,
    CheckOutcome.FAIL: Letter.D,
}  # fmt: skip
# A clock battery costs nothing and a card that hides its speed is no fault.
MILD = ("clock", "network-")
# What only a person sees, hears or touches.
CHECKLIST = ("screen", "keyboard", "ports", "sound", "case")


def grade(checks: Sequence[PartCheck], smart: SmartReading, looked: Mapping[str, Looked]) -> Grade:
    """The grade of a machine that was diagnosed. Without any test it is C."""
    reasons = [*_tests(checks), *_disk(smart), *_person(looked)]
    worst = max((reason.letter for reason in reasons), default=Letter.A)
    return Grade(letter=worst, reasons=tuple(sorted(reasons, key=lambda r: r.letter, reverse=True)))


def _tests(checks: Sequence[PartCheck]) -> list[GradeReason]:
    if not checks:
        return [_reason("tests", Letter.C, "nothing was tested")]
    return [
        _reason(check.id, _letter(check), f"{check.outcome}: {check.value}"[:200])
        for check in checks
        if check.outcome is not CheckOutcome.PASS
    ]


def _letter(check: PartCheck) -> Letter:
    letter = _BY_OUTCOME[check.outcome]
    return Letter.B if check.id.startswith(MILD) and letter is Letter.C else letter


def _disk(smart: SmartReading) -> list[GradeReason]:
    if smart.passed is False:
        return [_reason("disk's own verdict", Letter.D, "it says that it is failing", BACKBLAZE)]
    if smart.passed is None:
        return [_reason("disk's own verdict", Letter.C, "it cannot be read")]
    found = []
    for limit in LIMITS:
        value = getattr(smart, limit.field)
        if value is not None and (letter := _by_limit(value, limit)) is not Letter.A:
            found.append(_reason(limit.rule, letter, f"{value}", limit.source))
    if smart.power_on_hours is None:
        found.append(_reason("hours in use", Letter.B, "the disk does not tell"))
    return found


def _by_limit(value: int, limit: Limit) -> Letter:
    if value <= limit.a:
        return Letter.A
    if value <= limit.b:
        return Letter.B
    return Letter.C if value <= limit.c else Letter.D


def _person(looked: Mapping[str, Looked]) -> list[GradeReason]:
    missing = [part for part in CHECKLIST if part not in looked]
    found = [
        _reason(part, Letter.C, "a person found it bad")
        for part in CHECKLIST
        if looked.get(part) is Looked.BAD
    ]
    if missing:
        found.append(_reason("looked at by a person", Letter.B, f"not yet: {', '.join(missing)}"))
    return found


def _reason(rule: str, letter: Letter, saw: str, source: str = HOUSE) -> GradeReason:
    return GradeReason(rule=rule, letter=letter, saw=saw, source=source)
