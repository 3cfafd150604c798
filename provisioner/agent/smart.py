"""A disk's own account of its health: `smartctl --json` read into one check.

Unreadable means unknown, never good. The limits on raw counters follow the rule set derived
from Backblaze's published failure statistics (attributes 5, 187, 197, 198).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from provisioner.errors import CommandError
from provisioner.model.record import CheckOutcome, PartCheck, SmartReading
from provisioner.run import run

ID = "disk-health"
# attribute id: (name, raw value from which to warn, raw value above which to replace)
LIMITS = {
    5: ("reallocated sectors", 1, 4),
    187: ("uncorrectable errors", 1, 1),
    197: ("pending sectors", 1, 1),
    198: ("offline uncorrectable", 1, 1),
}
LARGEST = 2**48  # a raw value has six bytes; more is a drive that talks nonsense
LONGEST_H = 10**6  # a century
WORN_WARN, WORN_FAIL = 80, 100  # per cent of a solid-state disk's rated life


def read_health(device: Path) -> PartCheck:
    """Ask the disk. Never raises: a disk that does not answer is unknown."""
    try:
        told = run(["smartctl", "--json", "-i", "-H", "-A", device], timeout_s=60, check=False)
    except CommandError as error:
        return _unknown(error.message)
    return parse_health(told.stdout)


def parse_health(text: str) -> PartCheck:
    """smartctl's JSON as a check: fail, warn, pass or unknown."""
    try:
        told = json.loads(text)
        passed = told.get("smart_status", {}).get("passed")
        remarks = [*_counters(told), *_nvme(told)]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return _unknown("no readable answer")
    if passed is False:
        return _check(CheckOutcome.FAIL, "the disk itself says that it is failing", REPLACE)
    if passed is not True:
        return _unknown("the disk does not tell its health")
    worst = [words for outcome, words in remarks if outcome is CheckOutcome.FAIL]
    if worst:
        return _check(CheckOutcome.FAIL, ", ".join(worst), REPLACE)
    if remarks:
        return _check(CheckOutcome.WARN, ", ".join(words for _, words in remarks), WATCH)
    hours = _int(told.get("power_on_time"), "hours")
    return _check(CheckOutcome.PASS, f"{hours} hours in use" if hours is not None else "good", "")


def read_reading(device: Path) -> SmartReading:
    """The figures, for the record before and after a wipe. Never raises."""
    try:
        told = run(["smartctl", "--json", "-i", "-H", "-A", device], timeout_s=60, check=False)
    except CommandError:
        return SmartReading()
    return parse_reading(told.stdout)


def parse_reading(text: str) -> SmartReading:
    """smartctl's JSON as figures; nonsense and negative numbers are absent."""
    try:
        told = json.loads(text)
        raw = {row.get("id"): _count(row.get("raw"), "value") for row in _rows(told)}
        passed = told.get("smart_status", {}).get("passed")
        log = told.get("nvme_smart_health_information_log", {})
        hours = _count(told.get("power_on_time"), "hours")
    except (ValueError, AttributeError, TypeError, RecursionError):
        return SmartReading()
    timeouts = raw.get(188)  # Seagate packs three counters into one; the lowest counts them all
    return SmartReading(
        passed=passed if isinstance(passed, bool) else None,
        power_on_hours=hours if hours is not None and hours < LONGEST_H else None,
        reallocated=raw.get(5),
        uncorrectable=raw.get(187),
        timeouts=None if timeouts is None else timeouts & 0xFFFF,
        pending=raw.get(197),
        offline_uncorrectable=raw.get(198),
        percentage_used=_count(log, "percentage_used"),
        critical_warning=_count(log, "critical_warning"),
        media_errors=_count(log, "media_errors"),
    )


def _count(folder: Any, key: str) -> int | None:
    value = _int(folder, key)
    return value if value is not None and 0 <= value < LARGEST else None


REPLACE = "Replace this disk."
WATCH = "Usable, but note its number: it has begun to wear."


def _counters(told: dict[str, Any]) -> list[tuple[CheckOutcome, str]]:
    found = []
    for row in _rows(told):
        raw, limit = _int(row.get("raw"), "value"), LIMITS.get(row.get("id", 0))
        if limit and raw is not None and raw >= limit[1]:
            outcome = CheckOutcome.FAIL if raw > limit[2] else CheckOutcome.WARN
            found.append((outcome, f"{raw} {limit[0]}"))
    return found


def _rows(told: dict[str, Any]) -> list[dict[str, Any]]:
    table = told.get("ata_smart_attributes", {}).get("table", [])
    return [row for row in table if isinstance(row, dict)]


def _nvme(told: dict[str, Any]) -> list[tuple[CheckOutcome, str]]:
    log = told.get("nvme_smart_health_information_log", {})
    found = []
    if warning := _int(log, "critical_warning"):
        found.append((CheckOutcome.FAIL, f"critical warning {warning:#x}"))
    if errors := _int(log, "media_errors"):
        found.append((CheckOutcome.WARN, f"{errors} media errors"))
    worn = _int(log, "percentage_used") or 0
    if worn >= WORN_WARN:
        outcome = CheckOutcome.FAIL if worn >= WORN_FAIL else CheckOutcome.WARN
        found.append((outcome, f"{worn} % worn"))
    return found


def _int(folder: Any, key: str) -> int | None:
    value = folder.get(key) if isinstance(folder, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _check(outcome: CheckOutcome, value: str, advice: str) -> PartCheck:
    return PartCheck(id=ID, outcome=outcome, value=value[:200], advice=advice)


def _unknown(why: str) -> PartCheck:
    return _check(CheckOutcome.UNKNOWN, why, "Its health cannot be read; keep it as “unknown”.")
