"""Wipe: the donor's data are gone from the chosen disk, shown by reading it back."""

from __future__ import annotations

import hashlib

from provisioner.model.batch import Policy
from provisioner.model.erasure import WipeLevel, WipeMethod
from provisioner.model.hardware import DiskRef
from provisioner.model.order import WipeWork
from provisioner.model.record import Sample, WipeEvidence

SMALLEST_DISK, LARGEST_DISK = 10**6, 10**15  # bytes


def wipe_work(target: DiskRef, policy: Policy, *, thaw: bool = False) -> WipeWork:
    return WipeWork(
        disk=target,
        method=policy.wipe,
        level=policy.wipe_level,
        samples=policy.wipe_samples,
        full=policy.wipe_read_back_all,
        thaw=thaw,
    )


def judge_wipe(evidence: WipeEvidence, work: WipeWork) -> list[str]:
    """Reasons why the wipe is not proved.

    Every sample must have held something other than zeros before and nothing but zeros after;
    marks at both ends must have stood while all else was written, as no disk keeps them that has
    less room than it claims; the bytes written must cover the whole disk; figures that cannot be
    are refused.
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
    reasons += _judge_level(evidence, work) + _judge_samples(evidence, work)
    return reasons + _judge_kept(evidence, size)


def _judge_level(evidence: WipeEvidence, work: WipeWork) -> list[str]:
    """A purge is one only when the drive confirms it and nothing of the marks is left."""
    reasons = []
    drive, size = evidence.drive, work.disk.size_bytes
    if evidence.level is not work.level:
        reasons.append(f"A {work.level} was ordered and a {evidence.level} was done.")
    if work.level is WipeLevel.PURGE:
        if drive is None or drive.method.level is not WipeLevel.PURGE:
            reasons.append("A purge was ordered and the drive was not told to sanitize itself.")
        elif not drive.confirmed:
            reasons.append("The drive does not confirm that its sanitize operation ended well.")
    if drive is not None and drive.marks_survived:
        reasons.append(f"{drive.marks_survived} marks survived what the drive did by itself.")
    if work.method is not WipeMethod.OVERWRITE and evidence.method != work.method:
        reasons.append(f"“{work.method}” was ordered and “{evidence.method}” was done.")
    if evidence.real_bytes is not None and evidence.real_bytes > size:
        reasons.append(f"{evidence.real_bytes - size} hidden bytes were not erased.")
    return reasons + impossible_figures(evidence)


def impossible_figures(evidence: WipeEvidence) -> list[str]:
    """Figures that no disk can have; other tools have printed them on certificates."""
    size = evidence.disk.size_bytes
    reasons = []
    if size < SMALLEST_DISK or size >= LARGEST_DISK:
        reasons.append(f"A disk of {size} bytes cannot be.")
    if evidence.bytes_written > size:
        reasons.append(f"{evidence.bytes_written} bytes were written to a disk of {size}.")
    if evidence.bytes_read_back > size + len(evidence.samples) * evidence.sample_bytes:
        reasons.append(f"{evidence.bytes_read_back} bytes were read back from a disk of {size}.")
    if evidence.real_bytes is not None and not size <= evidence.real_bytes < LARGEST_DISK:
        reasons.append(f"A disk of {size} bytes cannot really have {evidence.real_bytes}.")
    return reasons


def _judge_samples(evidence: WipeEvidence, work: WipeWork) -> list[str]:
    blank = _blank(evidence)
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


def _judge_kept(evidence: WipeEvidence, size: int) -> list[str]:
    """Marks at both ends stood while everything between them was written."""
    blank = _blank(evidence)
    lost = [one.offset for one in evidence.kept if one.after != one.before or one.before == blank]
    if lost:
        return [f"Byte {lost[0]} changed when other places were written."]
    if not {0, size - evidence.sample_bytes} <= {one.offset for one in evidence.kept}:
        return ["It was not shown that the disk has all the room that it claims."]
    return []


def _blank(evidence: WipeEvidence) -> str:
    """The digest of a sample of zeros."""
    return hashlib.sha256(bytes(evidence.sample_bytes)).hexdigest()
