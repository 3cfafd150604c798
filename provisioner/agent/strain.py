"""More of diagnosing: processor under load, the disk's surface, battery, firmware that was missed.

Each check reads what the machine itself shows, beside the tool that strains it: that stress-ng
exited 0 says nothing, a processor that was busy meanwhile does.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.direct import buffer
from provisioner.agent.text import clean, read_int, read_line
from provisioner.errors import CommandError
from provisioner.model.record import CheckOutcome, PartCheck
from provisioner.run import run

PASS, WARN, FAIL, UNKNOWN = (
    CheckOutcome.PASS, CheckOutcome.WARN, CheckOutcome.FAIL, CheckOutcome.UNKNOWN,
)  # fmt: skip
HOT_C = 90.0  # office processors throttle at 95 to 105 °C
WORN_BATTERY = 0.5  # of the capacity it was made with
BUSY_SHARE = 0.5
SURFACE_BLOCK = 1024 * 1024
SLOW_BLOCK_S = 1.0  # a healthy disk needs a few hundredths; a second is a disk that tries again
Report = Callable[[int, int], None]
_MISSED = re.compile(
    r"(?:Direct firmware load for|firmware: failed to load) (\S{1,100}?)(?: failed| \(|$)", re.M
)
_KERNEL_LINE = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\] ", re.M)


@dataclass(frozen=True)
class Load:
    """What was seen while the processor was under load."""

    seconds: float
    busy: float
    hottest_c: float | None
    code: int | None


def check_cpu(seconds: float, report: Report, root: Path = Path("/")) -> PartCheck:
    """All threads under load for `seconds`, with the highest temperature that was shown."""
    return judge_load(strain(seconds, report, root), seconds)


def strain(seconds: float, report: Report, root: Path = Path("/")) -> Load:
    """Run stress-ng, watching sensors and the kernel's own account of busy time."""
    codes: list[int | None] = [None]

    def work() -> None:
        command = ["stress-ng", "--cpu", "0", "--verify", "--timeout", f"{seconds:.0f}s", "--quiet"]
        with contextlib.suppress(CommandError):
            codes[0] = run(command, timeout_s=seconds + 60, check=False).code

    began, before = time.monotonic(), _busy(root)
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    hottest: list[float] = []
    while thread.is_alive():
        hottest += temperatures(root)
        report(
            min(round((time.monotonic() - began) * 10), round(seconds * 10)), round(seconds * 10)
        )
        thread.join(0.5)
    elapsed, after = time.monotonic() - began, _busy(root)
    total = after[1] - before[1]
    busy = (after[0] - before[0]) / total if total > 0 else 0.0
    return Load(elapsed, busy, max(hottest, default=None), codes[0])


def judge_load(load: Load, seconds: float) -> PartCheck:
    """Wrong results are a fault; a test that did not strain the processor is no test."""
    heat = "no sensor" if load.hottest_c is None else f"{load.hottest_c:.0f} °C"
    value = f"{load.seconds:.0f} s, {load.busy:.0%} busy, {heat}"
    if load.code is None:
        return _check("cpu-load", UNKNOWN, "stress-ng did not run", "")
    if load.code == 2:  # stress-ng's exit status for a stressor that failed
        return _check("cpu-load", FAIL, value, "It computed wrongly: clean the cooler, try again.")
    if load.seconds < seconds * 0.8 or load.busy < BUSY_SHARE or load.code != 0:
        return _check("cpu-load", UNKNOWN, value, "The processor was not under load.")
    if load.hottest_c is not None and load.hottest_c >= HOT_C:
        return _check("cpu-load", WARN, value, "Clean the cooler and renew its paste.")
    return _check("cpu-load", PASS, value, "")


def temperatures(root: Path = Path("/")) -> list[float]:
    """What the processor's sensors show now, in °C; nonsense is left out."""
    found = [read_int(path) for path in (root / "sys/class/hwmon").glob("hwmon*/temp*_input")]
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    found += [read_int(path) for path in zones]
    return [value / 1000 for value in found if value is not None and 0 < value < 150_000]


def check_surface(path: Path, size: int, places: int, report: Report) -> PartCheck:
    """Read blocks at `places` evenly over the disk; errors fail, slow ones warn."""
    length = min(SURFACE_BLOCK, size)
    slow = 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECT)
    except OSError as error:
        return _check("disk-surface", FAIL, f"{error.strerror}", "Check the cable or replace it.")
    with contextlib.closing(buffer(length)) as room:
        try:
            for index in range(places):
                at = index * (size - length) // max(places - 1, 1) // 4096 * 4096
                began = time.monotonic()
                if os.preadv(handle, [room], at) <= 0:
                    return _check("disk-surface", FAIL, f"nothing at byte {at}", "Replace it.")
                slow += time.monotonic() - began > SLOW_BLOCK_S
                report(index + 1, places)
        except OSError as error:
            return _check("disk-surface", FAIL, f"{error.strerror} at byte {at}", "Replace it.")
        finally:
            os.close(handle)
    value = f"{places} places, {slow} slow"
    advice = "It reads some places only after trying again." if slow else ""
    return _check("disk-surface", WARN if slow else PASS, value, advice)


def check_battery(root: Path = Path("/")) -> list[PartCheck]:
    """A laptop's battery: what it still holds of what it was made for. Nothing on a desktop."""
    found = []
    for supply in sorted((root / "sys/class/power_supply").glob("*")):
        if read_line(supply / "type") != "Battery" or read_line(supply / "scope") == "Device":
            continue
        found.append(judge_battery(*(_capacity(supply, name) for name in ("full", "full_design"))))
    return found


def judge_battery(full: int | None, design: int | None) -> PartCheck:
    """Both in the battery's own unit; what it does not tell is unknown."""
    if not full or not design or full < 0 or design < 0 or full > design * 2:
        return _check("battery", UNKNOWN, "it does not tell its capacity", "")
    share = full / design
    advice = "Replace the battery; it lasts less than half as long." if share < WORN_BATTERY else ""
    return _check("battery", WARN if share < WORN_BATTERY else PASS, f"{share:.0%} left", advice)


def check_firmware() -> PartCheck:
    """Which files drivers asked the kernel for and did not get."""
    try:
        return judge_firmware(run(["dmesg"], timeout_s=20).stdout)
    except CommandError:
        return _check("firmware-missing", UNKNOWN, "the kernel's log cannot be read", "")


def judge_firmware(log: str) -> PartCheck:
    """A log without a line of the kernel's own form is none: a dmesg that says nothing, or noise,
    has not said that no firmware is missing."""
    if not _KERNEL_LINE.search(log):
        return _check("firmware-missing", UNKNOWN, "the kernel's log cannot be read", "")
    missed = sorted({clean(name, 60) for name in _MISSED.findall(log[-2_000_000:])})
    if not missed:
        return _check("firmware-missing", PASS, "none was asked for in vain", "")
    advice = "Add its firmware package to the recipe; the part may stay silent."
    return _check("firmware-missing", WARN, ", ".join(missed[:6]), advice)


def _capacity(supply: Path, name: str) -> int | None:
    energy = read_int(supply / f"energy_{name}")
    return energy if energy is not None else read_int(supply / f"charge_{name}")


def _busy(root: Path) -> tuple[int, int]:
    """Ticks at work, and all ticks; proc(5), the first line of /proc/stat."""
    words = read_line(root / "proc/stat").split()[1:9]
    ticks = [int(word) for word in words if word.isdigit()]
    return (sum(ticks) - sum(ticks[3:5]), sum(ticks)) if len(ticks) >= 5 else (0, 0)


def _check(name: str, outcome: CheckOutcome, value: str, advice: str) -> PartCheck:
    return PartCheck(id=name, outcome=outcome, value=value[:200], advice=advice[:200])
