"""Wipe: zeros over every addressable block of one disk, shown by reading it back.

First random marks are written at places all over the disk and read back past the page cache, so
that a wipe which does nothing is found even on a blank disk; then every block is written with
zeros by ordinary writes (an offloaded “write zeroes” or a discard may leave the donor's data on
the medium and only promise to hide them); then the marks' places, or every block, are read.
A second set of marks, both ends of the disk among them, is left out of that pass and must stand
when all the rest has been written: a disk that shows one block at two places, as every one does
that claims more room than it has, cannot keep them. Only then are they overwritten.
Where a purge is demanded the drive's own sanitize command comes between marks and zeros, and the
marks must be gone when it has ended: the zeros that follow make the disk known, not erased.
"""

from __future__ import annotations

import dataclasses
import hashlib
import mmap
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from provisioner.agent.direct import BLOCK, Report, buffer, nothing, read_exactly, write_exactly
from provisioner.agent.disk import OpenDisk, opened_exclusively
from provisioner.agent.drive import read_facts
from provisioner.agent.drive_erase import erase_by_drive
from provisioner.agent.journey import Journey
from provisioner.agent.lsblk import read_disks
from provisioner.agent.sleeping import thaw
from provisioner.agent.smart import read_reading
from provisioner.errors import (
    DiskFaultError,
    DriveFrozenError,
    ProofMissingError,
    WipeRefusedError,
)
from provisioner.model.erasure import DriveFacts, Refusal, WipeMethod, choose_method
from provisioner.model.hardware import DiskRef, Transport
from provisioner.model.order import WipeWork
from provisioner.model.record import DriveErasure, Sample, SmartReading, WipeEvidence

SAMPLE = 64 * 1024
EDGE = 1024 * 1024  # partition tables, boot loaders and RAID headers live within it
PIECE = 64 * 1024
MAX_SAMPLES = 10_000  # of one record
APART = 32  # places beside both ends whose marks must stand while all else is overwritten
TOOL = "classroom-agent direct overwrite"
BLANK = hashlib.sha256(bytes(SAMPLE)).hexdigest()
VERSION = "0.1.0"  # the distribution's; the live environment has no package to ask


def steps(work: WipeWork) -> tuple[tuple[str, float], ...]:
    """The steps, each with its share of the time."""
    own = work.level.value == "purge" or work.method is not WipeMethod.OVERWRITE
    drive = (("drive", 60.0),) if own else ()
    return (("mark", 2.0), *drive, ("overwrite", 60.0), ("look", 40.0 if work.full else 1.0))


@dataclass(frozen=True)
class Look:
    """What a read-back found: how much was read, and how many of its blocks held data."""

    bytes_read: int
    nonzero_blocks: int


@dataclass(frozen=True)
class Plan:
    """How this disk is erased, and what was asked of it before."""

    method: WipeMethod = WipeMethod.OVERWRITE
    facts: DriveFacts | None = None
    smart: SmartReading = SmartReading()  # noqa: RUF009 - a frozen value


def wipe(work: WipeWork, journey: Journey) -> WipeEvidence:
    """Erase the disk of the order.

    Raises DiskChoiceError, DiskFaultError, OSError, and WipeRefusedError before anything is
    written when the disk cannot be erased as demanded.
    """
    if work.thaw:
        thaw(work.disk)
    with opened_exclusively(work.disk) as target:
        plan = make_plan(target, work)
        evidence = wipe_open(target, work, journey, plan)
        return evidence.model_copy(update={"smart_after": read_reading(target.path)})


def make_plan(target: OpenDisk, work: WipeWork) -> Plan:
    """Ask the drive what it can do and choose. Raises WipeRefusedError."""
    facts = read_facts(target.disk, read_disks())
    method = choose_method(facts, work.level, work.method)
    if isinstance(method, Refusal):
        kind = DriveFrozenError if method.frozen else WipeRefusedError
        raise kind(method.reason, f"Nothing was written. {method.hint}")
    return Plan(method, facts, read_reading(target.path))


def wipe_open(
    target: OpenDisk, work: WipeWork, journey: Journey, plan: Plan | None = None
) -> WipeEvidence:
    """Mark, let the drive erase where a plan says so, overwrite, look."""
    plan = plan or Plan()
    if plan.method.level.value != "purge" and work.level.value == "purge":
        raise ProofMissingError("A purge was demanded and none was planned.")
    places = choose_places(target.size, work.samples)
    journey.enter("mark")
    before = mark(target.handle, places, journey.at)
    erased = None
    if plan.method is not WipeMethod.OVERWRITE:
        journey.enter("drive")
        erased = by_drive(target, plan.method, places, before, journey)
    journey.enter("overwrite")
    written, kept = overwrite_apart(target.handle, target.size, journey.at)
    journey.enter("look")
    after = {at: digest_at(target.handle, at) for at in {*places, *(one.offset for one in kept)}}
    look = Look(SAMPLE * len(after), sum(digest != BLANK for digest in after.values()))
    if work.full:
        look = look_at_all(target.handle, target.size, journey.at)
    return WipeEvidence(
        disk=DiskRef.of(target.disk),
        method=plan.method,
        tool=TOOL,
        tool_version=VERSION,
        level=work.level,
        drive=erased,
        real_bytes=plan.facts.largest_bytes if plan.facts else None,
        hidden_areas_known=_hidden_known(plan.facts),
        smart_before=plan.smart,
        exceptions=_exceptions(plan.facts),
        bytes_written=written,
        bytes_read_back=look.bytes_read,
        sample_bytes=SAMPLE,
        samples=tuple(
            Sample(offset=place, before=old, after=after[place])
            for place, old in zip(places, before, strict=True)
        ),
        kept=kept,
        nonzero_blocks=look.nonzero_blocks,
        full=work.full,
    )


def by_drive(
    target: OpenDisk, method: WipeMethod, places: Sequence[int], marks: Sequence[str],
    journey: Journey,
) -> DriveErasure:  # fmt: skip
    """The drive erases itself; then the marks are looked for again, past the page cache."""
    erased = erase_by_drive(target.path, method, journey.at)
    found = [digest_at(target.handle, place) for place in places]
    survived = sum(old == new for old, new in zip(marks, found, strict=True))
    return DriveErasure(**{**dataclasses.asdict(erased), "marks_survived": survived})


def _hidden_known(facts: DriveFacts | None) -> bool:
    """Only ATA disks have such areas; of those, both questions must have been answered."""
    if facts is None:
        return False
    if facts.transport not in (Transport.SATA, Transport.IDE):
        return facts.transport in (Transport.NVME, Transport.VIRTIO)
    return facts.native_bytes is not None


def _exceptions(facts: DriveFacts | None) -> tuple[str, ...]:
    """What a reader of the certificate must know."""
    if facts is None or _hidden_known(facts):
        return ()
    return ("The drive did not tell whether it hides an area (HPA, DCO).",)


def choose_places(size: int, samples: int, rng: random.Random | None = None) -> list[int]:
    """Where to look: all of the first and last MiB, and `samples` places spread over the rest.

    One random place in each of `samples` equal slices: as unforeseeable as places drawn over
    the whole disk, and never far from any. Offsets are multiples of the sample's length, but
    for the last one, which ends with the disk.
    """
    rng = rng or random.SystemRandom()
    last = size - SAMPLE
    tail = list(range(max(last - EDGE + SAMPLE, last % SAMPLE), last + 1, SAMPLE))
    head = range(0, min(EDGE, tail[0]), SAMPLE)
    slots = max(tail[0] // SAMPLE, 1)
    count = min(samples, MAX_SAMPLES - len(tail) - len(head), slots)
    spread = {
        rng.randrange(index * slots // count, (index + 1) * slots // count) * SAMPLE
        for index in range(count)
    }
    return sorted({*head, *tail, *(at for at in spread if at + SAMPLE <= tail[0])})


def mark(handle: int, places: Sequence[int], report: Report = nothing) -> list[str]:
    """Write random bytes at each place and read them back; returns their digests as read.

    Raises DiskFaultError when the disk does not keep them: then no read-back of it proves
    anything.
    """
    room = buffer(SAMPLE)
    wanted: dict[int, str] = {}
    for done, place in enumerate(places, 1):
        noise = os.urandom(SAMPLE)
        room[:] = noise
        write_exactly(handle, place, room)
        report(done, len(places) * 2)
        wanted[place] = hashlib.sha256(noise).hexdigest()
    os.fsync(handle)
    found = []
    for done, place in enumerate(places, 1):
        found.append(digest_at(handle, place))
        report(len(places) + done, len(places) * 2)
    bad = [at for at, digest in zip(places, found, strict=True) if digest != wanted[at]]
    if bad:
        raise DiskFaultError(
            f"The disk did not keep what was written to it at byte {bad[0]}.",
            "Replace the disk; it cannot be erased with proof.",
        )
    return found


def overwrite_apart(
    handle: int, size: int, report: Report = nothing
) -> tuple[int, tuple[Sample, ...]]:
    """Zeros over the whole disk, new marks last of all: what was written elsewhere must not have
    touched them. Returns the bytes written, and each mark before and after that.

    A disk of any size R below the one that it claims shows byte R at byte 0 or somewhere else,
    or nowhere: so either a mark at one of its ends is not kept, or the zeros hit one. Places in
    between find a disk that only shows a part of itself twice. Raises DiskFaultError.
    """
    places = choose_places(size, APART)
    before = mark(handle, places)
    written = overwrite(handle, between(places, size), report)
    kept = tuple(
        Sample(offset=at, before=old, after=digest_at(handle, at))
        for at, old in zip(places, before, strict=True)
    )
    lost = [one.offset for one in kept if one.after != one.before]
    if lost:
        raise DiskFaultError(
            f"Byte {lost[0]} of the disk changed when other places were written.",
            "It shows one block at two places: a disk with less room than it claims does so. "
            "Replace it; it cannot be erased with proof.",
        )
    return written + overwrite(handle, [(at, at + SAMPLE) for at in places]), kept


def between(places: Iterable[int], size: int) -> Iterator[tuple[int, int]]:
    """Start and stop of what lies between samples, which are in order, and behind the last."""
    start = 0
    for place in places:
        if place > start:
            yield start, place
        start = place + SAMPLE
    if start < size:
        yield start, size


def overwrite(handle: int, stretches: Iterable[tuple[int, int]], report: Report = nothing) -> int:
    """Zeros over each stretch of the disk (start, stop); returns the bytes that the kernel took.
    Flushed at the end."""
    zeros, wanted = memoryview(buffer(BLOCK)), list(stretches)
    total, done = sum(stop - start for start, stop in wanted), 0
    for start, stop in wanted:
        for at in range(start, stop, BLOCK):
            length = min(BLOCK, stop - at)
            write_exactly(handle, at, zeros[:length])
            done += length
            report(done, total)
    os.fsync(handle)
    return done


def digest_at(handle: int, place: int) -> str:
    """SHA-256 of one sample, past the page cache."""
    return hashlib.sha256(read_exactly(handle, place, SAMPLE)).hexdigest()


def look_at_all(handle: int, size: int, report: Report = nothing) -> Look:
    """Read every block and count those that are not zero."""
    room, zeros = buffer(BLOCK), bytes(PIECE)
    done = nonzero = 0
    while done < size:
        got = os.preadv(handle, [room], done)
        if got <= 0:
            raise DiskFaultError(f"Nothing can be read at byte {done}.", "Replace the disk.")
        nonzero += not _is_zero(room, got, zeros)
        done += got
        report(done, size)
    return Look(done, nonzero)


def _is_zero(room: mmap.mmap, length: int, zeros: bytes) -> bool:
    """Compare in pieces that fit a processor's cache; a whole block at once is no faster."""
    return all(
        room[at : min(at + PIECE, length)] == zeros[: min(PIECE, length - at)]
        for at in range(0, length, PIECE)
    )
