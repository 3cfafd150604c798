"""What is shown of the store: one set of views for the API, the dashboard and the command line.

These models are the API's answers; `rows` makes them. Sizes are in bytes, times in seconds,
moments in UTC.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.base import Model
from provisioner.model.batch import Policy
from provisioner.model.hardware import Disk, DiskRef, Hardware
from provisioner.model.record import Problem
from provisioner.model.release import Minimum, ReleaseKind
from provisioner.model.wire import BootFacts, Tone


class Words(Model):
    """The same words in both languages."""

    en: str
    zh: str


class StepState(StrEnum):
    """How one stage of the path stands on one machine."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    TODO = "todo"


class Step(Model):
    verb: Verb
    state: StepState


class TileView(Model):
    """One machine at a glance."""

    id: int
    asset_tag: str = Field(description="empty until it is enrolled")
    model: str
    batch: str
    seat: int | None
    milestone: Milestone
    tone: Tone
    title: Words
    running: str = Field(description="the stage at work now, or empty")
    path: tuple[Step, ...]
    step: str = Field("", description="what it is doing this second")
    fraction: float | None = Field(None, ge=0, le=1, description="of the running stage")
    bytes_per_second: float | None = None
    seconds_left: float | None = Field(None, description="from the rate so far, while it is known")
    needs_hand: Problem | None = Field(description="what a person must do")
    grade: str = Field("", description="A to D once it was tested")
    place: int | None = Field(None, description="on the bench, from 0; None: nobody put it there")
    silent: bool = Field(description="at work, but not heard for a minute")


class RunView(Model):
    """One run of one stage."""

    id: int
    verb: str
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    evidence: dict[str, Any] | None
    problem: Problem | None


class DiskView(Model):
    """A disk of a machine; `why_not` is empty when it may be chosen."""

    disk: Disk
    chosen: bool
    why_not: str


class MachineView(Model):
    """Everything about one machine."""

    tile: TileView
    release: str = Field(description="proved to be on its disk")
    school: str
    address: str
    hardware: Hardware
    disks: tuple[DiskView, ...]
    target: DiskRef | None = Field(description="the disk that was chosen")
    boot: BootFacts = Field(description="how its present system was started")
    starts_from: str = Field(description="what it is told when it asks the network: live or local")
    live_starts: int = Field(description="from the network in a row, although imaged")
    created_at: datetime
    last_seen: datetime
    runs: tuple[RunView, ...]


class BatchView(Model):
    name: str
    school: str
    release: str
    policy: Policy
    size: int
    joined: int
    ready: int = Field(description="verified or handed over")
    need_hand: int
    open: bool
    open_until: datetime | None
    created_at: datetime
    seconds_left: float | None = Field(
        None, description="until all that have joined are ready, by how long stages took here"
    )


class EventView(Model):
    id: int
    at: datetime
    kind: str
    actor: str
    machine: str
    batch: str
    data: dict[str, Any]


class ReleaseView(Model):
    id: str
    name: str
    version: str
    number: int
    kind: ReleaseKind
    suite: str
    architecture: str
    minimum: Minimum
    size: int = Field(description="bytes over the wire")
    installed_bytes: int
    packages: int


class SchoolView(Model):
    """A school's folder; `mistakes` lists what is wrong in it."""

    id: str
    name: Words
    province: str
    seats: int
    mistakes: tuple[str, ...]


class StageSummary(Model):
    outcome: str
    seconds: float
    evidence: dict[str, Any]


class MachineSummary(Model):
    asset_tag: str
    firmware: str
    secure_boot: bool
    milestone: str
    release: str
    school: str
    stages: dict[str, StageSummary]


class Summary(Model):
    """What a batch has come to, with the evidence of every stage."""

    machines: tuple[MachineSummary, ...]
