"""A station's worker process for `test_jobs`: the real job engine with a slow piece of work.

    python -m tests.integration.jobs_worker STATE_DIR SECONDS

Each time the work begins and ends, a line is added to STATE_DIR/work.log.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from provisioner.jobs import Jobs
from provisioner.lifecycle import Verb
from provisioner.settings import Settings
from provisioner.workshop.field_work import Outcome
from provisioner.workshop.station import Station, open_station


def main(state_dir: Path, seconds: float) -> None:
    log = state_dir / "work.log"

    def slow_work(station: Station, machine_id: int, verb: Verb) -> Outcome:
        _say(log, f"begin {machine_id} {verb}")
        time.sleep(seconds)
        _say(log, f"end {machine_id} {verb}")
        return Outcome(evidence={"verb": str(verb)}, reasons=[])

    worker = Jobs(open_station(Settings(state_dir=state_dir)), work=slow_work)
    worker.start()
    _say(log, "ready")
    while True:
        time.sleep(1)


def _say(log: Path, line: str) -> None:
    with log.open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
