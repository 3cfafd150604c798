"""`make lab`: virtual PCs go from power-on to verified, and the evidence is shown.

What is printed and written at the end is read from the station's API; this program only
switches PCs on and watches.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.errors import ProofMissingError, ProvisionerError
from provisioner.lab import papers
from provisioner.lab.display import Display, evidence_table
from provisioner.lab.workshop import VirtualWorkshop
from provisioner.lifecycle import WORKSHOP_GOAL
from provisioner.settings import Settings

# Under emulation a machine takes some minutes; two cores share all of them.
TIMEOUT_BASE_S = 1200.0
TIMEOUT_PER_MACHINE_S = 600.0
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class LabOptions:
    """What the caller wants: how many PCs, whether to keep them, where the results go."""

    machines: int = 2
    keep: bool = False
    summary: Path | None = None
    passports: Path = Path("passports")
    screenshots: Path | None = None


def run_lab(settings: Settings, options: LabOptions) -> None:
    """Run the classroom to its end. Raises ProofMissingError unless every machine is verified
    and every bystander's disk is untouched."""
    began = time.monotonic()
    with _ctrl_c_everywhere(), Display() as display:
        workshop = VirtualWorkshop(settings, machines=options.machines, report=display.step)
        with workshop:
            before = workshop.classroom.bystander_digests()
            workshop.open_batch()
            display.say(f"Dashboard: {_dashboard(workshop)}")
            workshop.power_on()
            failure = _watch(workshop, display, options)
            summary = _summary(workshop, before, time.monotonic() - began)
            tags = [machine["asset_tag"] for machine in summary["machines"]]
            papers.write_passports(workshop.station, tags, options.passports)
            if not failure:
                summary["certificates"] = papers.write_certificates(
                    workshop.station, tags, "lab", options.passports
                )
            _write(summary, options)
            display.close()
            evidence_table(summary)
            if options.keep:
                _stay(workshop)
        if failure:
            raise failure
        _judge(summary)


def _watch(
    workshop: VirtualWorkshop, display: Display, options: LabOptions
) -> ProvisionerError | None:
    """Show progress until every machine is done or needs a hand; what stopped it, if anything."""
    deadline = time.monotonic() + TIMEOUT_BASE_S + TIMEOUT_PER_MACHINE_S * options.machines
    while time.monotonic() < deadline:
        tiles = workshop.station.get("machines")
        display.show(tiles)
        stuck = [tile for tile in tiles if tile["needs_hand"]]
        if stuck:
            return ProofMissingError(
                f"{stuck[0]['asset_tag']} needs a hand: {stuck[0]['needs_hand']['message']}",
                stuck[0]["needs_hand"]["hint"],
            )
        ready = [tile for tile in tiles if tile["milestone"] == WORKSHOP_GOAL]
        if len(ready) == options.machines:
            return None
        time.sleep(LOOK_EVERY_S)
    return ProofMissingError("The machines were not ready in time.", "See the station's log.")


def _summary(workshop: VirtualWorkshop, before: dict[str, str], seconds: float) -> dict[str, Any]:
    for machine in workshop.machines:
        machine.kill()
    after = workshop.classroom.bystander_digests()
    summary: dict[str, Any] = workshop.station.get("summary", batch="lab")
    summary["bystander_disks"] = [
        {"serial": serial, "sha256_before": digest, "sha256_after": after[serial]}
        for serial, digest in before.items()
    ]
    summary["seconds"] = round(seconds, 1)
    return summary


def _write(summary: dict[str, Any], options: LabOptions) -> None:
    if options.summary is not None:
        text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
        options.summary.write_text(text)


def _judge(summary: dict[str, Any]) -> None:
    """The lab's own verdict, from the station's figures and the bystanders' digests."""
    late = [m["asset_tag"] for m in summary["machines"] if m["milestone"] != WORKSHOP_GOAL]
    touched = [
        disk["serial"]
        for disk in summary["bystander_disks"]
        if disk["sha256_before"] != disk["sha256_after"]
    ]
    if late:
        raise ProofMissingError(f"Not verified: {', '.join(late)}.")
    if touched:
        raise ProofMissingError(f"Disks that were not to be touched have changed: {touched}.")


def _stay(workshop: VirtualWorkshop) -> None:
    for machine in workshop.machines:
        machine.start()
    print(f"The machines are on again; files in {workshop.folder}. Ctrl-C ends everything.")
    print(f"Dashboard: {_dashboard(workshop)}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def _dashboard(workshop: VirtualWorkshop) -> str:
    return f"{workshop.station.dashboard}login#{workshop.station.login_code()}"


@contextlib.contextmanager
def _ctrl_c_everywhere() -> Iterator[None]:
    """SIGTERM ends the lab as Ctrl-C does: through every clean-up."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        print("Ended; everything of the lab is being removed.", file=sys.stderr)
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
