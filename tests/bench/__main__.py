"""All benchmarks in one run, their tables with each goal beside them, and one JSON file.

    python -m tests.bench [--results bench.json] [--only SECTION …] [--short] [--work FOLDER]
    python -m tests.bench --table bench.json [--into docs/benchmarks.md]

Root; meant for two cores and 40 minutes (42 were seen, with more in it than now). The short form
shows that everything runs and that every file is right; its numbers say nothing about speed. A
section that fails is told at the end and makes the exit code 1, after all others have had their
turn. With --only and a file of results that is there already, the other sections stay in it as
they are.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
import traceback
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import dashboard, delta, disk, fan_out, report, trouble
from tests.bench.loops import end_cleanly

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Run:
    """How large everything is, and what this run has measured already."""

    short: bool
    work: Path
    earlier: dict[str, Rows] = field(default_factory=dict)

    def fan_out(self) -> Rows:
        """HTTP and aria2 are far behind: once each, and HTTP to few machines only. One machine
        takes the same time again and again, to a hundredth: once, too. udpcast gets its three
        with the most machines only, for the 40 minutes that all may take.

        25 machines with 10 Mbit/s each are what two cores carry; with 32 MB, getting started
        takes less than a twentieth of the time.
        """
        rate, size = (80, 2) if self.short else (10, 32)
        counts = [1, 2] if self.short else [1, 6, 12, 25]
        few = counts if self.short else [1, 2]
        thrice = 1 if self.short else 3
        plans = [(["ours", "udpcast"], counts[:1], 1)]
        plans += [(["udpcast"], counts[1:-1], 1)]
        plans += [(["ours"], counts[1:-1], thrice), (["ours", "udpcast"], counts[-1:], thrice)]
        plans += [(["aria2"], counts, 1), (["http"], few, 1)]
        rows: Rows = []
        for systems, clients, repeat in plans:
            rows += fan_out.fan_out(
                Namespace(systems=systems, clients=clients, repeat=repeat, rate=rate,
                          megabytes=size)
            )  # fmt: skip
        return rows

    def trouble(self) -> Rows:
        """The same classroom without trouble is one of `fan_out`'s, if that was measured."""
        if self.short:
            return trouble.trouble(clients=4, megabytes=2, rate=80)
        quiet = {row["system"]: row["seconds"] for row in self.earlier.get("fan_out", [])
                 if row["clients"] == 25}  # fmt: skip
        return trouble.trouble(clients=25, megabytes=32, rate=10, quiet=quiet)

    def disk(self) -> Rows:
        """Once each: the disk counts its own time. `delta` has the same folder and packages."""
        return disk.disk(self.work / "trees", small=self.short, repeat=1)

    def delta(self) -> Rows:
        return delta.delta(self.work / "trees", small=self.short)

    def thin_line(self) -> Rows:
        module = importlib.import_module("tests.bench.thin_line")
        small = ["--clients", "3", "--uplink", "50", "--texts", "120"] if self.short else []
        rows: Rows = module.thin_line(module.parser().parse_args(small))
        return rows

    def dashboard(self) -> Rows:
        return dashboard.dashboard(small=self.short)


SECTIONS: dict[str, Callable[[Run], Rows]] = {
    "fan_out": Run.fan_out, "trouble": Run.trouble, "disk": Run.disk, "delta": Run.delta,
    "thin_line": Run.thin_line, "dashboard": Run.dashboard,
}  # fmt: skip


def main() -> int:
    options = _options()
    if options.table:
        text = report.markdown(json.loads(options.table.read_text()))
        if options.into:
            report.write_into(options.into, text)
        else:
            print(text)
        return 0
    end_cleanly()
    kept: dict[str, Any] = {}
    if options.only and options.results and options.results.exists():
        kept = json.loads(options.results.read_text())
    with tempfile.TemporaryDirectory(prefix="bench-") as aside:
        run = Run(options.short, options.work or Path(aside))
        results, failed = measure(run, options.only or list(SECTIONS), kept)
    if options.results:
        options.results.write_text(json.dumps(results, indent=1) + "\n")
    report.on_screen(results, Console(width=None if sys.stdout.isatty() else 160))
    for name, trouble_text in failed.items():
        print(f"{name} could not be measured:\n{trouble_text}", file=sys.stderr)
    return 1 if failed else 0


def measure(
    run: Run, sections: list[str], kept: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Every section's rows and what is known about the machine; and what failed."""
    before, took, failed = _load(), dict(kept.get("about", {}).get("took_seconds", {})), {}
    results: dict[str, Any] = {name: kept.get(name, []) for name in SECTIONS}
    for name in sections:
        print(f"== {name}", file=sys.stderr, flush=True)
        began = time.monotonic()
        try:
            results[name] = run.earlier[name] = SECTIONS[name](run)
        except (Exception, SystemExit):
            results[name], failed[name] = [], traceback.format_exc()
        took[name] = round(time.monotonic() - began, 1)
    results["about"] = {**_machine(), "short": run.short, "load_before": before,
                        "load_after": _load(), "took_seconds": took}  # fmt: skip
    return results, failed


def _load() -> float:
    return round(os.getloadavg()[0], 2)


def _machine() -> dict[str, Any]:
    """What numbers of this run were measured on."""
    models = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines()
              if line.startswith("model name")]  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000
    return {"cores": os.cpu_count(), "processor": (models or [platform.machine()])[0],
            "memory_mb": memory, "kernel": platform.release()}  # fmt: skip


def _options() -> Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--results", type=Path, help="where the JSON goes")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, help="these sections alone")
    parser.add_argument("--short", action="store_true", help="small sizes, a few minutes")
    parser.add_argument("--work", type=Path, help="a folder that is kept, for the packages")
    parser.add_argument("--table", type=Path, help="print the tables of a file as Markdown")
    parser.add_argument("--into", type=Path, help="put them into this page instead")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
