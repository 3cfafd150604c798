"""The path: what a machine is told next, and what its evidence is worth.

Called inside a transaction by `dialogue` (machines that ask) and by `jobs` (work that the
station does itself).
"""

from __future__ import annotations

import hashlib
import secrets
import time

from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner import asset_tag
from provisioner.errors import (
    DiskChoiceError,
    NotFoundError,
    ProvisionerError,
    UnreachableError,
    nearest,
)
from provisioner.lifecycle import (
    MAX_INTERRUPTIONS,
    Milestone,
    Place,
    RunState,
    Stage,
    Verb,
    needs_live_environment,
    next_stage,
)
from provisioner.model.batch import Policy
from provisioner.model.errand import ErrandEvidence, ErrandWork
from provisioner.model.hardware import DiskRef, Hardware
from provisioner.model.order import (
    DiagnoseWork,
    ImageWork,
    Order,
    RenewWork,
    RestartWork,
    WipeWork,
)
from provisioner.model.record import (
    DiagnoseEvidence,
    ImageEvidence,
    Problem,
    Record,
    RestartEvidence,
    WipeEvidence,
)
from provisioner.model.release import LOADER_BOOT_IMG, LOADER_CORE_IMG, MANIFEST, Manifest
from provisioner.model.renewal import RenewEvidence
from provisioner.model.signed import open_envelope
from provisioner.settings import Settings
from provisioner.stages.choose_disk import MB, choose_disk, describe
from provisioner.stages.diagnose import diagnose_work, judge_diagnosis
from provisioner.stages.errands import judge_errand
from provisioner.stages.image import BiosLoader, image_work, judge_image
from provisioner.stages.renew import judge_renewal
from provisioner.stages.wipe import judge_wipe, wipe_work
from provisioner.store.events import note
from provisioner.store.tables import EventRow, MachineRow, RunRow
from provisioner.swarm.line import pinned
from provisioner.tls import field_certificate
from provisioner.workshop import loader_password, runs
from provisioner.workshop.enrolment import enrol
from provisioner.workshop.station import Station

# A machine that has its release but comes up from the network again is sent to its own disk
# this often before a person must look at its boot order.
MAX_LIVE_STARTS = 3

# What a machine says of work that was cut short; all else is a failure.
INTERRUPTIONS = frozenset({UnreachableError.__name__, "interrupted", "RenewalInterruptedError"})

AnyWork = DiagnoseWork | WipeWork | ImageWork | RestartWork | RenewWork | ErrandWork


def next_order(station: Station, session: Session, machine: MachineRow, key: str) -> str | None:
    """The sealed order for a machine in the live environment that has nothing to do."""
    for run in runs.open_runs(session, machine):
        if run.order_key == key:
            return run.sealed_order  # our answer may have been lost; it is single-use anyway
    if machine.milestone == Milestone.DISCOVERED:
        enrol(station, session, machine)
    if machine.needs_hand is not None:
        return None
    if not needs_live_environment(Milestone(machine.milestone)):
        return _send_to_its_disk(station, session, machine, key)
    stage = next_stage(Milestone(machine.milestone))
    if stage is None or stage.place is not Place.MACHINE_LIVE or machine.batch is None:
        return None
    if not _may_try_again(session, machine, stage):
        return None
    try:
        work = _work(station, session, machine, stage.verb)
    except ProvisionerError as error:
        ask(session, machine, stage.verb, error)
        return None
    return give(station, session, machine, key, stage.verb, work)


def judge_record(
    station: Station, session: Session, machine: MachineRow, run: RunRow, record: Record
) -> None:
    """Close a run with what the machine sent back."""
    if record.problem is not None:
        if record.problem.kind in INTERRUPTIONS:
            runs.interrupt(session, machine, run, record.problem.message)
        else:
            runs.fail(session, machine, run, record.problem)
        return
    order = _order_of(station, run)
    reasons = _reasons(station, order.work, record)
    evidence = record.evidence.model_dump(mode="json") if record.evidence else None
    if reasons:
        runs.fail(session, machine, run, runs.not_proved(reasons), evidence)
        return
    runs.succeed(session, machine, run, evidence)
    if isinstance(record.evidence, ImageEvidence):
        _remember_image(machine, record.evidence)
    if isinstance(record.evidence, RenewEvidence):
        machine.release = record.evidence.running


def give_up(session: Session, machine: MachineRow, verb: str, times: int) -> None:
    """Ask for a person after too many interruptions of the same stage.

    The last of them counts as failed: the series is over, and after "try again" a new one begins.
    """
    problem = Problem(
        kind="interrupted",
        message=f"{verb} was cut short {times} times in a row.",
        hint="Check the power and network cables of this machine, then press “try again”.",
    )
    last = runs.latest(session, machine, verb)
    if last is not None:
        last.state = RunState.FAILED
    machine.needs_hand = problem.model_dump()
    note(session, "needs-hand", machine=machine, problem=problem.model_dump())


def _may_try_again(session: Session, machine: MachineRow, stage: Stage) -> bool:
    times = runs.interruptions_in_a_row(session, machine, stage.verb)
    if times < MAX_INTERRUPTIONS:
        return True
    give_up(session, machine, stage.verb, times)
    return False


def _work(station: Station, session: Session, machine: MachineRow, verb: Verb) -> AnyWork:
    assert machine.batch is not None
    policy = Policy.model_validate(machine.batch.policy)
    manifest, digest = read_manifest(station, machine.batch.release)
    target = _target(machine, policy, manifest)
    if verb is Verb.DIAGNOSE:
        return diagnose_work(target, manifest.minimum, time.time(), policy.diagnose)
    if verb is Verb.WIPE:
        return wipe_work(target, policy, thaw=sleeps_first(session, machine))
    assert machine.asset_tag is not None
    return image_work(
        target=target,
        manifest=manifest,
        manifest_sha256=digest,
        asset_tag=machine.asset_tag,
        authorized_key=station.ssh_public_key,
        kernel_arguments=station.settings.kernel_arguments,
        loader_password=loader_password.hashed(
            loader_password.password_of(station.settings.state_dir, machine.asset_tag)
        ),
        field_url=field_address(station.settings),
    )


def field_address(settings: Settings) -> str:
    """Where machines in schools speak to this station, with the certificate that it shows."""
    if not settings.field_url:
        return ""
    return pinned(settings.field_url, field_certificate(settings).fingerprint)


def sleeps_first(session: Session, machine: MachineRow) -> bool:
    """Whether a person has offered a sleep since the latest wipe before this one began."""
    offers = select(EventRow.at).where(
        EventRow.machine_id == machine.id, EventRow.kind == "sleep-offered"
    )
    offered = session.scalars(offers.order_by(EventRow.id.desc())).first()
    last = runs.latest(session, machine, Verb.WIPE)
    return offered is not None and (last is None or offered > last.started_at)


def _target(machine: MachineRow, policy: Policy, manifest: Manifest) -> DiskRef:
    """The machine's disk: chosen once, by rule or by a person, and then always the same one."""
    hardware = Hardware.model_validate(machine.hardware)
    answer = DiskRef.model_validate(machine.target) if machine.target else None
    target = choose_disk(hardware.disks, policy.disk, manifest.minimum.disk_mb * MB, answer)
    machine.target = target.model_dump(mode="json")
    return target


def read_manifest(station: Station, release: str) -> tuple[Manifest, str]:
    """A release's manifest, its signature checked, and the digest of its envelope as served."""
    raw = (station.catalog.folder(release) / MANIFEST).read_bytes()
    manifest, _ = open_envelope(raw, Manifest, trusted=station.key.public)
    return manifest, hashlib.sha256(raw).hexdigest()


def ask(session: Session, machine: MachineRow, verb: str, error: ProvisionerError) -> None:
    """Nothing is ordered until a person has seen to it."""
    kind = "ask" if isinstance(error, DiskChoiceError) else type(error).__name__
    problem = Problem(kind=kind, message=error.message, hint=error.hint)
    machine.needs_hand = problem.model_dump()
    note(session, "needs-hand", machine=machine, verb=verb, problem=problem.model_dump())


def give(
    station: Station, session: Session, machine: MachineRow, key: str, verb: str, work: AnyWork
) -> str:
    """Open a run and seal its order for the machine with this key."""
    run = runs.open_run(session, machine, verb)
    order = Order(
        id=secrets.token_hex(16),
        machine_key=key,
        machine=machine.asset_tag or "",
        batch=machine.batch.name if machine.batch else "",
        station_url=station.url,
        work=work,
    )
    run.order_id, run.order_key = order.id, key
    run.sealed_order = station.key.seal(order)
    disk = getattr(work, "disk", None) or getattr(work, "target", None)
    what = describe(disk) if disk else ""
    note(session, "order-given", machine=machine, verb=verb, order=order.id, disk=what)
    return run.sealed_order


def _send_to_its_disk(
    station: Station, session: Session, machine: MachineRow, key: str
) -> str | None:
    if machine.live_starts > MAX_LIVE_STARTS:
        problem = Problem(
            kind="boot-order",
            message="The machine has its release but starts from the network again and again.",
            hint="In its firmware setup, allow starting from the disk; then press “try again”.",
        )
        machine.needs_hand = problem.model_dump()
        note(session, "needs-hand", machine=machine, problem=problem.model_dump())
        return None
    return give(station, session, machine, key, runs.RESTART, RestartWork())


def _order_of(station: Station, run: RunRow) -> Order:
    assert run.sealed_order is not None
    order, _ = open_envelope(run.sealed_order, Order, trusted=station.key.public)
    return order


def _reasons(station: Station, work: AnyWork, record: Record) -> list[str]:
    """Why the evidence does not prove what was ordered; each kind of work has its judge."""
    evidence = record.evidence
    if isinstance(work, DiagnoseWork) and isinstance(evidence, DiagnoseEvidence):
        return judge_diagnosis(evidence)
    if isinstance(work, WipeWork) and isinstance(evidence, WipeEvidence):
        return judge_wipe(evidence, work)
    if isinstance(work, ImageWork) and isinstance(evidence, ImageEvidence):
        manifest, _ = read_manifest(station, work.release)
        return judge_image(evidence, work, manifest, _bios_loader(station, work.release))
    if isinstance(work, RenewWork) and isinstance(evidence, RenewEvidence):
        manifest, _ = read_manifest(station, work.release)
        return judge_renewal(evidence, work, manifest)
    if isinstance(work, RestartWork) and isinstance(evidence, RestartEvidence):
        return []
    if isinstance(work, ErrandWork) and isinstance(evidence, ErrandEvidence):
        return judge_errand(work, evidence)
    return [f"The machine sent no evidence of “{work.verb}”."]


def _bios_loader(station: Station, release: str) -> BiosLoader:
    folder = station.catalog.folder(release)
    return BiosLoader(
        boot_img=(folder / LOADER_BOOT_IMG).read_bytes(),
        core_img=(folder / LOADER_CORE_IMG).read_bytes(),
    )


def _remember_image(machine: MachineRow, evidence: ImageEvidence) -> None:
    machine.release = evidence.release
    machine.installed_key = evidence.installed_key
    machine.ssh_host_keys = list(evidence.ssh_host_keys)
    machine.live_starts = 0


def unknown_tag(session: Session, tag: str) -> NotFoundError:
    """The error for a tag that nobody carries, with the nearest one that somebody does."""
    tags = [name for name in session.scalars(select(MachineRow.asset_tag)) if name]
    return NotFoundError(asset_tag.explain_unknown(tag, tags), nearest(tag.upper(), tags))


def machine_by_tag(session: Session, tag: str) -> MachineRow | None:
    """The machine that carries an asset tag."""
    return session.scalar(select(MachineRow).where(MachineRow.asset_tag == tag.upper()))
