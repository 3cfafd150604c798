"""Renew: a machine in its school goes over to another release, by itself and only when it is well.

What the machine did is in `agent/renew.py`; here the order is made and the evidence judged.
"""

from __future__ import annotations

from provisioner.model.order import RenewWork
from provisioner.model.release import Manifest
from provisioner.model.renewal import HomesRule, RenewEvidence, When
from provisioner.stages.image import judge_files

# Without these nobody has looked at the new system at all.
REQUIRED_CHECKS = frozenset({"release", "network", "room", "homes", "services", "configuration"})


def renew_work(
    manifest: Manifest,
    manifest_sha256: str,
    *,
    when: When = When.QUIET,
    homes: HomesRule = HomesRule.KEEP,
    configuration: str = "",
) -> RenewWork:
    """What a machine is told. `configuration` is the revision that it must have afterwards."""
    return RenewWork(
        release=manifest.id, manifest_sha256=manifest_sha256, when=when, homes=homes,
        configuration=configuration,
    )  # fmt: skip


def judge_renewal(evidence: RenewEvidence, work: RenewWork, manifest: Manifest) -> list[str]:
    """Reasons why the renewal is not proved.

    Every file must have come back from the disk as the manifest says, the new release must have
    been running when it was said, be what starts next, and have been looked at.
    """
    side, reasons = evidence.side, []
    if (side.release, evidence.manifest_sha256) != (work.release, work.manifest_sha256):
        reasons.append("The evidence is about another release.")
    if not side.direct_io:
        reasons.append("The read-back may have come from memory instead of the disk.")
    if evidence.running != work.release:
        reasons.append(f"{evidence.running or 'Nothing known'} runs, not {work.release}.")
    if evidence.starts_next != work.release:
        reasons.append(f"{evidence.starts_next or 'Nothing known'} starts next.")
    if work.configuration and evidence.configuration != work.configuration:
        reasons.append("The school's configuration was not applied.")
    if evidence.homes is not work.homes:
        reasons.append("What pupils saved was treated otherwise than ordered.")
    reasons += [f"{check.id}: {check.value}" for check in evidence.checks if not check.passed]
    if missing := REQUIRED_CHECKS - {check.id for check in evidence.checks}:
        reasons.append(f"Nobody looked at {', '.join(sorted(missing))}.")
    return reasons + judge_files(side.read_back, manifest)
