"""`python -m tests.powercuts --live FOLDER`: record once, cut at many points, judge each.

Points lie evenly over all writes and flushes of the imaging, and of the renewal, several at each
when there are more points than writes; what was not flushed then is kept, lost or torn into
sectors by chance (the same in each run).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cached_release import cached_release
from tests.powercuts.in_guest import MARK_AT
from tests.powercuts.judge import Judge
from tests.powercuts.record import DISK_BYTES, Recording, record
from tests.powercuts.write_log import Replay, Write, read_log

PHASES = ("imaging", "renewal", "trial", "end")


@dataclass
class Result:
    """What came of the cuts in one phase."""

    cuts: int = 0
    started: Counter[str] = field(default_factory=Counter)
    bricks: list[str] = field(default_factory=list)


def phases_of(log: Path, writes: list[Write]) -> dict[str, int]:
    """At which entry each phase began."""
    found: dict[str, int] = {}
    with log.open("rb") as file:
        for number, write in enumerate(writes):
            if write.start <= MARK_AT < write.start + write.length and not write.zeros:
                file.seek(write.at + MARK_AT - write.start)
                word = file.read(32).split(b"]]")[0].removeprefix(b"[[").decode("ascii", "replace")
                if word in PHASES:
                    found[word] = number
    return found


def points_between(first: int, last: int, count: int) -> list[int]:
    """`count` points, evenly, in order; more than there are writes means several at each."""
    span = last - first
    return [first + 1 + span * n // count for n in range(count)]


def cut_all(recording: Recording, points: dict[str, list[int]], folder: Path) -> dict[str, Result]:
    """Cut at each point and look."""
    replay = Replay(recording.log, folder / "base.img", DISK_BYTES)
    judge, disk = Judge(recording.world, folder / "judge"), folder / "cut.img"
    results: dict[str, Result] = {phase: Result() for phase in points}
    try:
        for phase, numbers in points.items():
            for nth, point in enumerate(numbers):
                # where a point stands several times, another chance each time
                how = replay.cut(point, disk, random.Random(f"{phase} {point} {nth}"))
                found = judge.look(disk, imaging=phase == "imaging")
                result = results[phase]
                result.cuts += 1
                result.started[_what(found.started, found.trial)] += 1
                if found.problems:
                    result.bricks.append(f"{phase} {point} ({how}): {'; '.join(found.problems)}")
                    print(result.bricks[-1], file=sys.stderr, flush=True)
    finally:
        replay.close()
    return results


def _what(release: str, trial: bool) -> str:
    if not release:
        return "network"
    return f"{release} on trial" if trial else release


def spread(phases: dict[str, int], count: int) -> dict[str, list[int]]:
    """Half of the points in the imaging, half in the renewal; its trial is short and dense."""
    trial = count // 6
    return {
        "imaging": points_between(phases["imaging"], phases["renewal"], count // 2),
        "renewal": points_between(phases["renewal"], phases["trial"], count - count // 2 - trial),
        "trial": points_between(phases["trial"], phases["end"], trial),
    }


def shares(points: dict[str, list[int]], workers: int) -> Iterator[dict[str, list[int]]]:
    """Each worker takes a stretch of the log: a base is only ever moved forward."""
    flat = [(phase, point) for phase, numbers in points.items() for point in numbers]
    size = -(-len(flat) // workers)
    for at in range(0, len(flat), size):
        part: dict[str, list[int]] = {}
        for phase, point in flat[at : at + size]:
            part.setdefault(phase, []).append(point)
        yield part


def replay_points(recording: Recording, count: int, workers: int, folder: Path) -> dict[str, Any]:
    """The whole of it; the figures for the table."""
    writes = read_log(recording.log)
    phases = phases_of(recording.log, writes)
    began = time.monotonic()
    totals: dict[str, Result] = {}
    with ProcessPoolExecutor(workers) as pool:
        jobs = []
        for number, part in enumerate(shares(spread(phases, count), workers)):
            own = folder / f"worker{number}"
            own.mkdir(parents=True, exist_ok=True)
            jobs.append(pool.submit(cut_all, recording, part, own))
        for job in jobs:
            for phase, result in job.result().items():
                total = totals.setdefault(phase, Result())
                total.cuts += result.cuts
                total.started.update(result.started)
                total.bricks += result.bricks
    return {
        "replayed": sum(result.cuts for result in totals.values()),
        "live": 0,
        "bricks": sum(len(result.bricks) for result in totals.values()),
        "writes": len(writes),
        "flushes": sum(write.flush for write in writes),
        "bytes": sum(write.length for write in writes),
        "seconds": round(time.monotonic() - began, 1),
        "phases": {
            phase: {"cuts": result.cuts, "started": dict(result.started), "bricks": result.bricks}
            for phase, result in totals.items()
        },
    }


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m tests.powercuts", description=__doc__)
    words.add_argument("--live", type=Path, help="folder of a live release; else it is built")
    words.add_argument("--points", type=int, default=1000)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--results", type=Path)
    chosen = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="powercuts-", dir="/var/tmp") as place:
        folder = Path(place)
        recording = record(chosen.live or cached_release("live"), folder)
        found = replay_points(recording, chosen.points, chosen.workers, folder)
    text = json.dumps(found, indent=2)
    print(text)
    if chosen.results:
        chosen.results.write_text(text + "\n")
    return 1 if found["bricks"] else 0


if __name__ == "__main__":
    sys.exit(main())
