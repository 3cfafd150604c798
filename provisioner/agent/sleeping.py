"""Sleep for a moment, so that a drive loses its power and what the firmware froze in it.

Most firmware freezes the security commands of ATA disks before it starts a system (ACS-4, SECURITY
FREEZE LOCK), and some the sanitize commands; both last until the drive's power goes. Sleeping to
memory (ACPI S3) takes that power away and wakes without the firmware's start. A person has to
offer it: some old boards do not wake by their clock, and somebody must press the power button.

*Not yet seen on real hardware.*
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from provisioner.agent.drive import read_facts
from provisioner.agent.lsblk import read_disks
from provisioner.agent.text import read_line
from provisioner.errors import DriveFrozenError
from provisioner.model.erasure import DriveFacts
from provisioner.model.hardware import DiskRef

SECONDS = 10
SETTLE_S = 5.0  # until a woken disk turns and answers
_OTHERWISE = (
    "Pull the disk's power cable out for a moment and put it back while the machine runs, "
    "or demand a clear without the drive's own commands; then press “try again”."
)


def thaw(ref: DiskRef, root: Path = Path("/"), settle_s: float = SETTLE_S) -> None:
    """Sleep once if the disk of `ref` is frozen. Raises DriveFrozenError when that cannot be."""
    disks = read_disks()
    if any(ref.matches(disk) and is_frozen(read_facts(disk, disks)) for disk in disks):
        sleep_once(root)
        time.sleep(settle_s)


def is_frozen(facts: DriveFacts) -> bool:
    return facts.security.frozen or facts.sanitize_frozen


def sleep_once(root: Path = Path("/"), seconds: int = SECONDS) -> None:
    """Sleep to memory for `seconds`, woken by the clock. Returns when the machine is awake again.

    Raises DriveFrozenError where there is no such sleep: “s2idle” leaves the disks their power.
    """
    power, alarm = root / "sys/power", root / "sys/class/rtc/rtc0/wakealarm"
    deep = [word.strip("[]") for word in read_line(power / "mem_sleep").split()]
    if "mem" not in read_line(power / "state").split() or "deep" not in deep:
        raise DriveFrozenError("This machine has no sleep that cuts its disks' power.", _OTHERWISE)
    os.sync()
    try:
        (power / "mem_sleep").write_text("deep")
        alarm.write_text("0")  # an alarm that is set already refuses another
        alarm.write_text(f"+{seconds}")
        (power / "state").write_text("mem")
    except OSError as error:
        raise DriveFrozenError(
            f"This machine did not sleep: {error.strerror}.", _OTHERWISE
        ) from error
