"""Diagnose: are the parts good enough for what the machine will be used for?"""

from __future__ import annotations

from provisioner.model.hardware import DiskRef
from provisioner.model.order import DiagnoseWork, Profile
from provisioner.model.record import CheckOutcome, DiagnoseEvidence
from provisioner.model.release import Minimum

# Without these answers nothing is known about the machine, whatever else was reported.
REQUIRED_CHECKS = frozenset({"memory-size", "memory-pattern", "disk-size", "disk-read"})


def diagnose_work(
    target: DiskRef, minimum: Minimum, station_time: float, profile: Profile = Profile.QUICK
) -> DiagnoseWork:
    return DiagnoseWork(target=target, minimum=minimum, station_time=station_time, profile=profile)


def judge_diagnosis(evidence: DiagnoseEvidence) -> list[str]:
    """Reasons why the machine cannot go on.

    A required check that is missing or unknown counts as failed. A disk whose health cannot be
    read is not a reason by itself (cheap solid-state disks have nothing to read); its grade says
    "unknown", never "good".
    """
    outcomes = {check.id: check for check in evidence.checks}
    reasons = [
        f"{check.id}: {check.value}. {check.advice}".strip()
        for check in evidence.checks
        if check.outcome is CheckOutcome.FAIL
    ]
    for name in sorted(REQUIRED_CHECKS):
        check = outcomes.get(name)
        if check is None or check.outcome is CheckOutcome.UNKNOWN:
            reasons.append(f"{name}: nothing was measured.")
    return reasons
