"""Leaving this system: start again or switch off, after the record has been answered.

That `systemctl` was called proves nothing: when the machine still runs a minute later, the
kernel is told directly.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from provisioner.errors import CommandError
from provisioner.model.order import RestartWork
from provisioner.run import run

log = logging.getLogger(__name__)

PATIENCE_S = 60.0
SYSRQ = Path("/proc/sysrq-trigger")


def leave(work: RestartWork, patience_s: float = PATIENCE_S, sysrq: Path = SYSRQ) -> None:
    """Restart or power off. Returns only when even the kernel did not obey."""
    os.sync()
    try:
        run(["systemctl", "poweroff" if work.power_off else "reboot"], timeout_s=30)
    except CommandError as error:
        log.error("%s", error)
    time.sleep(patience_s)
    log.error("This system is still running; telling the kernel.")
    os.sync()
    try:
        sysrq.write_text("o" if work.power_off else "b")
    except OSError as error:
        log.error("The kernel did not take it either: %s", error)
    time.sleep(5 if patience_s else 0)
