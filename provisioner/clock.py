"""What time it is on a machine, and how far off that may be.

timesyncd touches a file whenever it has asked a time server; the agent touches another one when a
signed answer of its station came (`agent/checkin.py`). Since then the clock has run freely: old
boards drift up to 200 parts in a million (17 s a day). Without either file, nobody knows.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from provisioner.model.entry import ClockReading

# What says when the clock was compared, and how near it then was in seconds.
COMPARED = (
    (Path("run/systemd/timesync/synchronized"), 2.0),
    (Path("run/classroom/clock-compared"), 120.0),
)
DRIFT = 200e-6


def read_clock(root: Path = Path("/")) -> ClockReading:
    """The clock with its doubt in seconds, None when it was never compared since the start."""
    now = time.time()
    doubts = [doubt for path, slack_s in COMPARED
              if (doubt := _doubt(root / path, slack_s, now)) is not None]  # fmt: skip
    return ClockReading(at=datetime.fromtimestamp(now, UTC), doubt_s=min(doubts, default=None))


def _doubt(path: Path, slack_s: float, now: float) -> float | None:
    try:
        since = now - path.stat().st_mtime
    except OSError:
        return None
    # Before that moment: the clock was set back since then, and what was compared is not this one.
    return slack_s + DRIFT * since if since >= 0 else None
