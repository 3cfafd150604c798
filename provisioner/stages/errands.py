"""Errands in the field: whether what a machine sent is what was asked for."""

from __future__ import annotations

from provisioner.model.errand import (
    ErrandEvidence,
    ErrandWork,
    LogsEvidence,
    LogsWork,
    ReconfigureEvidence,
    ReconfigureWork,
    ResetHomesEvidence,
    ResetHomesWork,
)


def judge_errand(work: ErrandWork, evidence: ErrandEvidence) -> list[str]:
    """Reasons why it is not proved."""
    match work, evidence:
        case ReconfigureWork(), ReconfigureEvidence():
            if evidence.configuration != work.configuration:
                return ["The school's configuration was not applied."]
        case ResetHomesWork(), ResetHomesEvidence():
            if evidence.left:
                return [f"{evidence.left} files are still there."]
        case LogsWork(), LogsEvidence():
            if not evidence.text.strip():
                return ["The log is empty."]
        case _:
            return [f"The machine sent no evidence of “{work.verb}”."]
    return []
