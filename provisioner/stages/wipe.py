"""Wipe: the donor's data are gone from the chosen disk, shown by reading it back."""

from __future__ import annotations

import hashlib

from provisioner.model.batch import Policy
from provisioner.model.hardware import DiskRef
from provisioner.model.order import WipeWork
from provisioner.model.record import Sample, WipeEvidence


def wipe_work(target: DiskRef, policy: Policy) -> WipeWork:
    return WipeWork(
        disk=target,
        method=policy.wipe,
        samples=policy.wipe_samples,
        full=policy.wipe_read_back_all,
    )


def judge_wipe(evidence: WipeEvidence, work: WipeWork) -> list[str]:
    """Reasons why the wipe is not proved.

    Every sample must have held something other than zeros before and nothing but zeros after;
    the bytes written must cover the whole disk; figures that cannot be are refused.
    """
    size = work.disk.size_bytes
    reasons = []
    if evidence.disk != work.disk:
        reasons.append("The evidence is about another disk.")
    if evidence.bytes_written < size:
        reasons.append(f"Only {evidence.bytes_written} of {size} bytes were overwritten.")
    if work.full and (not evidence.full or evidence.bytes_read_back < size):
        reasons.append("The whole disk should have been read back and was not.")
    if evidence.nonzero_blocks:
        reasons.append(f"{evidence.nonzero_blocks} blocks still held data after the wipe.")
    return reasons + _judge_samples(evidence, work)


def _judge_samples(evidence: WipeEvidence, work: WipeWork) -> list[str]:
    blank = hashlib.sha256(bytes(evidence.sample_bytes)).hexdigest()
    # Samples may fall on one another on a small disk; two in three must be distinct.
    if len({sample.offset for sample in evidence.samples}) < work.samples * 2 // 3:
        return [f"Only {len(evidence.samples)} of {work.samples} samples were taken."]
    return [
        reason
        for sample in evidence.samples
        if (reason := _judge_sample(sample, evidence.sample_bytes, work.disk.size_bytes, blank))
    ]


def _judge_sample(sample: Sample, length: int, size: int, blank: str) -> str:
    if sample.offset + length > size:
        return f"A sample at byte {sample.offset} lies outside the disk."
    if sample.before == blank:
        return f"The mark at byte {sample.offset} could not be written before the wipe."
    if sample.after != blank:
        return f"Byte {sample.offset} still held data after the wipe."
    return ""


def undetected_share(samples: int, left_over_share: float) -> float:
    """Probability that `samples` random blocks all miss data left on a share of the disk."""
    return float((1.0 - left_over_share) ** samples)
