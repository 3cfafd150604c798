"""What time it is, and how far off that may be.

timesyncd touches a file whenever it has asked a time server. Since then the clock has run freely:
old boards drift up to 200 parts in a million (17 s a day). Without that file, nobody knows.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from provisioner.model.entry import ClockReading

SYNCHRONISED = Path("run/systemd/timesync/synchronized")
DRIFT = 200e-6
SLACK_S = 2.0


def read_clock(root: Path = Path("/")) -> ClockReading:
    """The clock with its doubt in seconds, None when it was never compared since the start."""
    now = time.time()
    at = datetime.fromtimestamp(now, UTC)
    try:
        since = now - (root / SYNCHRONISED).stat().st_mtime
    except OSError:
        return ClockReading(at=at, doubt_s=None)
    if since < 0:  # set back since then: what was compared is not this clock
        return ClockReading(at=at, doubt_s=None)
    return ClockReading(at=at, doubt_s=SLACK_S + DRIFT * since)
