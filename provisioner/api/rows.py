"""From the store's rows to what is shown of them: pure, so it is the same wherever it is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from provisioner.api.views import (
    BatchView,
    DiskView,
    EventView,
    MachineSummary,
    MachineView,
    ReleaseView,
    RunView,
    StageSummary,
    Step,
    StepState,
    TileView,
    Words,
)
from provisioner.lifecycle import (
    STAGES,
    WORKSHOP_GOAL,
    Milestone,
    RunState,
    needs_live_environment,
)
from provisioner.model.batch import Policy
from provisioner.model.hardware import Disk, DiskRef, Hardware
from provisioner.model.identity import is_placeholder
from provisioner.model.record import Problem
from provisioner.model.release import Manifest
from provisioner.model.wire import BootFacts, Tone
from provisioner.stages.choose_disk import why_not
from provisioner.store.tables import BatchRow, EventRow, MachineRow, RunRow
from provisioner.workshop.board import Live
from provisioner.workshop.passport import Passport
from provisioner.workshop.runs import ERRANDS, RESTART
from provisioner.workshop.screens import screen_for

# The stages that the workshop does by itself: the path as a tile shows it.
WORKSHOP_PATH = STAGES[: [row.gives for row in STAGES].index(WORKSHOP_GOAL) + 1]
# A machine that is being worked on polls every two seconds at least; a minute of silence is a
# pulled cable or a machine that is switched off.
SILENT_AFTER = timedelta(seconds=60)
# Starting anew, an old PC counts its memory and looks for a network first.
SILENT_AFTER_RESTART = timedelta(minutes=5)
# Earlier than this, "remaining" would be a guess about a guess.
ESTIMATE_FROM_FRACTION, ESTIMATE_AFTER_S = 0.02, 3.0
SHORT_NAME = 4


@dataclass(frozen=True)
class LatestRun:
    """The newest run of a machine, without its evidence."""

    verb: str
    state: str
    started_at: datetime


@dataclass(frozen=True)
class Counts:
    """How many machines of a batch stand where."""

    joined: int = 0
    ready: int = 0
    need_hand: int = 0


def tile(
    machine: MachineRow,
    latest: LatestRun | None,
    live: Live | None,
    at: datetime,
    *,
    grade: str = "",
    place: int | None = None,
) -> TileView:
    """One machine at a glance, as it stands at the moment `at`."""
    screen = screen_for(machine)
    running = latest if latest is not None and latest.state == RunState.RUNNING else None
    waiting_for_hand = machine.needs_hand is not None
    progress = _progress(live, running, at) if live and running else {}
    return TileView(
        id=machine.id,
        asset_tag=machine.asset_tag or "",
        model=model_name(machine.hardware),
        batch=machine.batch.name if machine.batch else "",
        seat=machine.seat,
        milestone=Milestone(machine.milestone),
        tone=Tone.WORK if running and not waiting_for_hand else screen.tone,
        title=Words(en=screen.title_en, zh=screen.title_zh),
        running=running.verb if running else "",
        path=_path(machine, latest),
        needs_hand=_problem(machine.needs_hand),
        grade=grade,
        place=place,
        silent=_is_silent(machine, running, at),
        **progress,
    )


def machine_view(tile_view: TileView, machine: MachineRow) -> MachineView:
    """Everything about one machine; its runs and batch must be loaded."""
    hardware = Hardware.model_validate(machine.hardware)
    target = DiskRef.model_validate(machine.target) if machine.target else None
    live = needs_live_environment(Milestone(machine.milestone))
    return MachineView(
        tile=tile_view,
        release=machine.release,
        school=machine.batch.school if machine.batch else "",
        address=machine.address,
        hardware=hardware,
        disks=tuple(_disk_view(disk, hardware, target) for disk in hardware.disks),
        target=target,
        boot=BootFacts.model_validate(machine.boot),
        starts_from="live" if live else "local",
        live_starts=machine.live_starts,
        created_at=machine.created_at,
        last_seen=machine.last_seen,
        runs=tuple(run_view(run) for run in machine.runs),
    )


def run_view(run: RunRow) -> RunView:
    seconds = None
    if run.ended_at is not None:
        seconds = round((run.ended_at - run.started_at).total_seconds(), 1)
    return RunView(
        id=run.id,
        verb=run.verb,
        state=RunState(run.state),
        started_at=run.started_at,
        ended_at=run.ended_at,
        seconds=seconds,
        evidence=run.evidence,
        problem=_problem(run.problem),
    )


def batch_view(batch: BatchRow, counts: Counts, at: datetime) -> BatchView:
    return BatchView(
        name=batch.name,
        school=batch.school,
        release=batch.release,
        policy=Policy.model_validate(batch.policy),
        size=batch.size,
        joined=counts.joined,
        ready=counts.ready,
        need_hand=counts.need_hand,
        open=batch.open_until is not None and batch.open_until > at,
        open_until=batch.open_until,
        created_at=batch.created_at,
    )


def event_view(
    event: EventRow, tags: Mapping[int, str | None], batches: Mapping[int, str]
) -> EventView:
    return EventView(
        id=event.id,
        at=event.at,
        kind=event.kind,
        actor=event.actor,
        machine=tags.get(event.machine_id or 0) or "",
        batch=batches.get(event.batch_id or 0, ""),
        data=event.data,
    )


def release_view(manifest: Manifest) -> ReleaseView:
    return ReleaseView(
        id=manifest.id,
        name=manifest.name,
        version=manifest.version,
        number=manifest.number,
        kind=manifest.kind,
        suite=manifest.suite,
        architecture=manifest.architecture,
        minimum=manifest.minimum,
        size=sum(file.size for file in manifest.files),
        installed_bytes=manifest.installed_bytes,
        packages=len(manifest.components),
    )


def machine_summary(passport: Passport) -> MachineSummary:
    """A passport in the short form of a batch's summary; errands between stages are left out."""
    return MachineSummary(
        asset_tag=passport.asset_tag,
        firmware=str(passport.hardware.get("firmware", "")),
        secure_boot=passport.hardware.get("secure_boot") is True,
        milestone=passport.milestone,
        release=passport.release,
        school=passport.school,
        stages={
            stage.verb: StageSummary(
                outcome=stage.outcome, seconds=stage.seconds, evidence=stage.evidence
            )
            for stage in passport.stages
            if stage.verb not in ERRANDS
        },
    )


def model_name(hardware: Mapping[str, Any]) -> str:
    """What the maker calls the machine; "To be filled by O.E.M." and its like are left out."""
    smbios = hardware.get("smbios", {})
    names = (smbios.get("system_vendor", ""), smbios.get("system_product", ""))
    # Short names such as HP are names, though too short for a serial number.
    return " ".join(
        name for name in names if name and (len(name) < SHORT_NAME or not is_placeholder(name))
    )


def seconds_left(fraction: float, elapsed_s: float) -> float | None:
    """Time that remains if the work goes on at its average rate; None while that is a guess."""
    if fraction < ESTIMATE_FROM_FRACTION or elapsed_s < ESTIMATE_AFTER_S:
        return None
    return elapsed_s * (1.0 - fraction) / fraction


def _path(machine: MachineRow, latest: LatestRun | None) -> tuple[Step, ...]:
    reached = Milestone(machine.milestone).rank
    steps = []
    for row in WORKSHOP_PATH:
        state = StepState.DONE if reached >= row.gives.rank else StepState.TODO
        if latest is not None and latest.verb == row.verb:
            if latest.state == RunState.RUNNING:
                state = StepState.RUNNING
            elif latest.state == RunState.FAILED and machine.needs_hand is not None:
                state = StepState.FAILED
        steps.append(Step(verb=row.verb, state=state))
    return tuple(steps)


def _progress(live: Live, running: LatestRun, at: datetime) -> dict[str, Any]:
    elapsed = (at - running.started_at).total_seconds()
    left = seconds_left(live.fraction, elapsed)
    return {
        "step": live.step,
        "fraction": live.fraction,
        "bytes_per_second": live.bytes_per_second,
        "seconds_left": None if left is None else round(left),
    }


def _problem(found: Mapping[str, Any] | None) -> Problem | None:
    return Problem.model_validate(found) if found is not None else None


def _is_silent(machine: MachineRow, running: LatestRun | None, at: datetime) -> bool:
    restarting = running is not None and running.verb == RESTART
    patience = SILENT_AFTER_RESTART if restarting else SILENT_AFTER
    at_work = Milestone(machine.milestone).rank < WORKSHOP_GOAL.rank
    return at_work and at - machine.last_seen > patience


def _disk_view(disk: Disk, hardware: Hardware, target: DiskRef | None) -> DiskView:
    return DiskView(
        disk=disk,
        chosen=target is not None and target.matches(disk),
        why_not=why_not(disk, hardware.disks, 0),
    )
