"""Diagnose: is this machine good enough for the release, and do its parts hold for a moment?

Honest: what could not be measured is unknown, never good. A quick profile takes a minute, a
thorough one a quarter of an hour.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent import smart, strain
from provisioner.agent.direct import buffer
from provisioner.agent.disk import DEV, choose_disk
from provisioner.agent.hardware import parse_meminfo, read_hardware
from provisioner.agent.journey import Journey
from provisioner.agent.text import read_line
from provisioner.errors import DiskChoiceError
from provisioner.model.hardware import Disk, Hardware, Nic
from provisioner.model.order import DiagnoseWork, Profile
from provisioner.model.record import CheckOutcome, DiagnoseEvidence, PartCheck, SmartReading

STEPS = (("memory", 4.0), ("disk", 4.0), ("load", 4.0), ("rest", 1.0))
MIB = 1024 * 1024
# An on-board graphics card keeps up to a sixteenth of the memory for itself.
MEMORY_SHARE_NUM, MEMORY_SHARE_DEN = 15, 16
MEMORY_SECONDS, MEMORY_MAX_MIB = 4.0, 256
PATTERNS = (b"\x00", b"\xff", b"\x55", b"\xaa")
READ_SECONDS, READ_PLACES, READ_BLOCK = 3.0, 12, 2 * MIB


@dataclass(frozen=True)
class Depth:
    """What a profile allows: seconds, MiB, places."""

    memory_seconds: float
    memory_mib: int
    load_seconds: float
    surface_places: int


DEPTHS = {Profile.QUICK: Depth(MEMORY_SECONDS, MEMORY_MAX_MIB, 4.0, 24),
          Profile.THOROUGH: Depth(300.0, 1 << 20, 600.0, 2000)}  # fmt: skip
SLOW_DISK = 5e6  # bytes per second: no healthy disk, emulated ones included, is slower
SLOW_LINK_MBIT = 100
CLOCK_OFF_S = 24 * 3600.0
PASS, WARN, FAIL, UNKNOWN = (
    CheckOutcome.PASS, CheckOutcome.WARN, CheckOutcome.FAIL, CheckOutcome.UNKNOWN,
)  # fmt: skip


def diagnose(work: DiagnoseWork, journey: Journey) -> DiagnoseEvidence:
    """Measure everything; never stops at the first fault, so that one visit mends all."""
    hardware, depth = read_hardware(), DEPTHS[work.profile]
    journey.enter("memory")
    checks = [
        check_memory_size(hardware.memory_mib, work.minimum.memory_mib),
        try_memory(_spare_memory_mib(depth.memory_mib), journey.at, depth.memory_seconds),
    ]
    journey.enter("disk")
    checks += check_disk(work, hardware, journey)
    journey.enter("load")
    checks.append(strain.check_cpu(depth.load_seconds, journey.at))
    journey.enter("rest")
    checks += [*strain.check_battery(), strain.check_firmware()]
    checks += check_network(hardware.nics)
    checks.append(check_clock(time.time(), work.station_time))
    return DiagnoseEvidence(checks=tuple(checks), smart=read_smart(work, hardware))


def enough_memory(memory_mib: int, minimum_mib: int) -> bool:
    """Whether a machine sold with `minimum_mib` of memory may show only `memory_mib`."""
    return memory_mib * MEMORY_SHARE_DEN >= minimum_mib * MEMORY_SHARE_NUM


def check_memory_size(memory_mib: int, minimum_mib: int) -> PartCheck:
    enough = enough_memory(memory_mib, minimum_mib)
    advice = "" if enough else f"Put in more memory: this release wants {minimum_mib} MiB."
    return _check("memory-size", PASS if enough else FAIL, f"{memory_mib} MiB", advice)


def try_memory(
    size_mib: int,
    report: Callable[[int, int], None],
    seconds: float = MEMORY_SECONDS,
    room: Callable[[int], mmap.mmap] = buffer,
) -> PartCheck:
    """Write and compare patterns in `size_mib` of free memory for at most `seconds`.

    All blocks are held until the end, so that each is another piece of the memory.
    """
    began, noise = time.monotonic(), os.urandom(MIB)
    held: list[mmap.mmap] = []
    try:
        while len(held) < size_mib and time.monotonic() - began < seconds:
            held.append(room(MIB))
            if not _keeps_patterns(held[-1], noise):
                advice = "Replace the memory modules one by one."
                return _check("memory-pattern", FAIL, f"wrong bits in MiB {len(held)}", advice)
            report(len(held), size_mib)
    finally:
        for block in held:
            block.close()
    if not held:
        return _check("memory-pattern", UNKNOWN, "no free memory to test", "")
    return _check("memory-pattern", PASS, f"{len(held)} MiB, {len(PATTERNS) + 1} patterns", "")


def _keeps_patterns(block: mmap.mmap, noise: bytes) -> bool:
    for pattern in (*(byte * MIB for byte in PATTERNS), noise):
        block[:] = pattern
        if block[:] != pattern:
            return False
    return True


def check_disk(work: DiagnoseWork, hardware: Hardware, journey: Journey) -> list[PartCheck]:
    """Is it there and large enough, what does it say of itself, and how fast does it read?"""
    try:
        disk = choose_disk(work.target, hardware.disks)
    except DiskChoiceError as error:
        return [_check("disk-present", FAIL, error.message[:200], error.hint[:200])]
    return [
        _check("disk-present", PASS, disk.name, ""),
        check_disk_size(disk, work.minimum.disk_mb),
        smart.read_health(DEV / disk.name),
        measure_reading(DEV / disk.name, disk.size_bytes, journey.at),
        strain.check_surface(
            DEV / disk.name, disk.size_bytes, DEPTHS[work.profile].surface_places, journey.at
        ),
    ]


def read_smart(work: DiagnoseWork, hardware: Hardware) -> SmartReading:
    """The disk's own figures, from which the station makes a grade."""
    try:
        return smart.read_reading(DEV / choose_disk(work.target, hardware.disks).name)
    except DiskChoiceError:
        return SmartReading()


def check_disk_size(disk: Disk, minimum_mb: int) -> PartCheck:
    enough = disk.size_bytes >= minimum_mb * 1_000_000
    advice = "" if enough else f"Put in a larger disk: this release wants {minimum_mb} MB."
    value = f"{disk.size_bytes / 1e6:.0f} MB"
    return _check("disk-size", PASS if enough else FAIL, value, advice)


def measure_reading(
    path: Path, size: int, report: Callable[[int, int], None], seconds: float = READ_SECONDS
) -> PartCheck:
    """Read blocks spread over the whole disk, past the page cache."""
    places = [at * (size - READ_BLOCK) // (READ_PLACES - 1) // 4096 * 4096
              for at in range(READ_PLACES)] if size > READ_BLOCK else [0]  # fmt: skip
    done, began = 0, time.monotonic()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with contextlib.closing(buffer(READ_BLOCK)) as room:
            try:
                for index, place in enumerate(places):
                    done += os.preadv(handle, [room], place)
                    report(index + 1, len(places))
                    if time.monotonic() - began > seconds:
                        break
            finally:
                os.close(handle)
    except OSError as error:
        return _check("disk-read", FAIL, f"{error.strerror}", "Check the cable or replace it.")
    return _judge_reading(done, time.monotonic() - began)


def _judge_reading(done: int, seconds: float) -> PartCheck:
    if not done:
        return _check("disk-read", UNKNOWN, "nothing could be read", "")
    rate = done / max(seconds, 1e-6)
    slow = rate < SLOW_DISK
    advice = "Much slower than disks are; it may be failing." if slow else ""
    return _check("disk-read", WARN if slow else PASS, f"{rate / 1e6:.1f} MB/s", advice)


def check_network(nics: tuple[Nic, ...], sys: Path = Path("/sys/class/net")) -> list[PartCheck]:
    """Each wired card with a cable: its speed and duplex, where the driver tells them."""
    linked = [nic for nic in nics if nic.link and not nic.wireless]
    if not linked:
        return [_check("network-link", UNKNOWN, "no wired card with a cable", "")]
    checks = [_check("network-link", PASS, ", ".join(nic.name for nic in linked), "")]
    for nic in linked:
        checks.append(check_link(nic, read_line(sys / nic.name / "duplex")))
    return checks


def check_link(nic: Nic, duplex: str) -> PartCheck:
    name = f"network-speed-{nic.name}"[:200]
    if nic.speed_mbit is None:
        return _check(name, UNKNOWN, "the card does not tell its speed", "")
    poor = nic.speed_mbit < SLOW_LINK_MBIT or duplex == "half"
    advice = "Try another cable and another port of the switch." if poor else ""
    return _check(name, WARN if poor else PASS, f"{nic.speed_mbit} Mbit/s, {duplex}", advice)


def check_clock(here: float, station: float) -> PartCheck:
    """More than a day off after years in a store: the battery on the board is empty."""
    off = here - station
    wrong = abs(off) > CLOCK_OFF_S
    advice = "Replace the CMOS battery (CR2032)." if wrong else ""
    return _check("clock", WARN if wrong else PASS, f"{off:+.0f} s against the station", advice)


def _spare_memory_mib(most: int) -> int:
    """How much may be tested without starving the system: a quarter of what is available."""
    text = Path("/proc/meminfo").read_text("ascii", "replace")
    return min(parse_meminfo(text, "MemAvailable") // 4, most)


def _check(name: str, outcome: CheckOutcome, value: str, advice: str) -> PartCheck:
    return PartCheck(id=name, outcome=outcome, value=value[:200], advice=advice[:200])
