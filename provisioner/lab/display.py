"""The lab in a terminal: live progress with rich, plain lines where it is not a terminal."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from provisioner.lifecycle import STAGES, WORKSHOP_GOAL

PLAIN_EVERY_S = 10.0


class Display:
    """Shows what each machine is doing; use as a context manager."""

    def __init__(self) -> None:
        self._console = Console()
        self._live: Live | None = None
        self._last: dict[str, tuple[str, float]] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(console=self._console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        self._console.print(f"{self._clock()} {text}", highlight=False, soft_wrap=True)

    def step(self, text: str, fraction: float) -> None:
        """Set-up work: what is being built or started."""
        self._plain("set-up", text, fraction)

    def show(self, tiles: list[dict[str, Any]]) -> None:
        """The machines as the station sees them."""
        if self._live is not None:
            self._live.update(_table(tiles))
            return
        for tile in tiles:
            name = tile["asset_tag"] or "new machine"
            self._plain(name, f"{tile['milestone']} {tile['step']}".strip(), tile["fraction"] or 0)

    def _plain(self, name: str, text: str, fraction: float) -> None:
        """One line when something new is to be said, else at most one in ten seconds."""
        said, at = self._last.get(name, ("", 0.0))
        if text == said and time.monotonic() - at < PLAIN_EVERY_S:
            return
        self._last[name] = (text, time.monotonic())
        self.say(f"{name}: {text}" + (f" {fraction:.0%}" if fraction else ""))

    def _clock(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"[{minutes:02d}:{seconds:02d}]".replace("[", r"\[")


def evidence_table(summary: dict[str, Any]) -> None:
    """Every stage of every machine with its outcome, its time and the core of its evidence."""
    table = Table(title="Evidence, as the station judged it")
    for column in ("machine", "stage", "outcome", "seconds", "evidence"):
        table.add_column(column, overflow="fold")
    order = [str(row.verb) for row in STAGES]
    for machine in summary["machines"]:
        stages = machine["stages"]
        for verb in sorted(stages, key=lambda v: order.index(v) if v in order else 99):
            row = stages[verb]
            table.add_row(
                machine["asset_tag"], verb, row["outcome"], f"{row['seconds']:.0f}",
                gist(verb, row["evidence"]),
            )  # fmt: skip
        table.add_section()
    for disk in summary["bystander_disks"]:
        same = disk["sha256_before"] == disk["sha256_after"]
        table.add_row("bystander", disk["serial"], "untouched" if same else "CHANGED", "",
                      disk["sha256_after"][:16])  # fmt: skip
    for paper in summary.get("certificates", ()):
        table.add_row("certificate", paper["about"], paper["number"], "", paper["file"])
    Console().print(table)


def gist(verb: str, evidence: dict[str, Any]) -> str:
    """One line of what proves a stage."""
    if verb == "discover":
        return f"{evidence['model']}, {evidence['firmware']}, {evidence['memory_mib']} MiB"
    if verb == "enrol":
        return f"{evidence['asset_tag']} in {evidence['batch']}, seat {evidence['seat']}"
    if verb == "diagnose":
        return ", ".join(f"{c['id']} {c['outcome']}" for c in evidence["checks"])
    if verb == "wipe":
        return (
            f"{evidence['bytes_written'] / 1e9:.1f} GB overwritten, "
            f"{len(evidence['samples'])} marks gone"
        )
    if verb == "image":
        size = sum(item["size"] for item in evidence["read_back"])
        return f"{len(evidence['read_back'])} parts, {size / 1e6:.0f} MB read back equal"
    if verb == "configure":
        again = evidence["again"]  # missing when the first run failed
        changes = f"{evidence['first']['changed']} changes"
        return f"{changes}, then {again['changed']}" if again else f"{changes}, then it stopped"
    if verb == "verify":
        checks = evidence.get("checks", [])
        return f"{sum(c['outcome'] == 'passed' for c in checks)} of {len(checks)} checks passed"
    return ""


def _table(tiles: list[dict[str, Any]]) -> Table:
    table = Table(box=None)
    for column in ("machine", "stands at", "doing", "", ""):
        table.add_column(column)
    for tile in tiles:
        fraction = tile["fraction"] or 0.0
        colour = "red" if tile["needs_hand"] else "green" if _done(tile) else "white"
        table.add_row(
            f"[{colour}]{tile['asset_tag'] or '…'}", tile["milestone"], tile["step"] or "",
            ProgressBar(total=1.0, completed=fraction, width=30), f"{fraction:.0%}",
        )  # fmt: skip
    return table


def _done(tile: dict[str, Any]) -> bool:
    return bool(tile["milestone"] == WORKSHOP_GOAL)
