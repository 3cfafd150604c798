"""From the store to what a certificate says. Only what is complete and verified gets in.

The evidence is judged again here, against the signed order that it answers: a certificate does not
rest on a word in the database.
"""

from __future__ import annotations

import hashlib
import json
import re

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from provisioner.documents.weights import weight_of
from provisioner.errors import ProofMissingError, ProvisionerError
from provisioner.lifecycle import RunState, Verb
from provisioner.model.certificate import BatchMachine, DiskWipe, Medium, NotErased
from provisioner.model.erasure import found_share
from provisioner.model.hardware import Disk, DiskRef, Hardware, Transport
from provisioner.model.order import Order, WipeWork
from provisioner.model.record import WipeEvidence
from provisioner.model.signed import open_envelope
from provisioner.stages.choose_disk import why_not
from provisioner.stages.wipe import judge_wipe
from provisioner.store.tables import MachineRow, RunRow
from provisioner.workshop.station import Station

# How makers begin the names of their disks.
_MAKERS = (
    (r"WDC|WD", "Western Digital"), (r"ST\d", "Seagate"), (r"SAMSUNG", "Samsung"),
    (r"TOSHIBA", "Toshiba"), (r"KIOXIA", "Kioxia"), (r"HGST", "HGST"),
    (r"HITACHI|HDS|HTS", "Hitachi"),
    (r"INTEL", "Intel"), (r"KINGSTON", "Kingston"), (r"CT\d|CRUCIAL", "Crucial"),
    (r"MICRON|MTFD", "Micron"), (r"SANDISK", "SanDisk"), (r"SK HYNIX|HFS", "SK hynix"),
    (r"MAXTOR", "Maxtor"), (r"LITEON|LITE-ON", "Lite-On"), (r"QEMU", "QEMU"),
)  # fmt: skip


def latest_wipe(session: Session, machine: MachineRow, disk: DiskRef) -> RunRow | None:
    """The newest run that was to erase this disk, whatever came of it."""
    query = select(RunRow).where(RunRow.machine_id == machine.id, RunRow.verb == Verb.WIPE)
    for run in session.scalars(query.order_by(RunRow.id.desc())):
        order = _order(run)
        if order is not None and order.disk == disk:
            return run
    return None


def disk_wipe(station: Station, session: Session, machine: MachineRow, disk: DiskRef) -> DiskWipe:
    """What is certified of one disk. Raises ProofMissingError with the reasons against it."""
    run = latest_wipe(session, machine, disk)
    if run is None:
        raise _no(machine, "This disk was never erased here.")
    if run.state != RunState.SUCCEEDED or run.evidence is None or run.sealed_order is None:
        raise _no(machine, f"The last wipe of this disk is {run.state}.")
    try:
        order, _ = open_envelope(run.sealed_order, Order, trusted=station.key.public)
        evidence = WipeEvidence.model_validate(run.evidence)
    except (ProvisionerError, ValidationError) as error:
        raise _no(machine, "The evidence of the wipe cannot be read.") from error
    assert isinstance(order.work, WipeWork)
    reasons = judge_wipe(evidence, order.work)
    if reasons:
        raise _no(machine, " ".join(reasons)[:1000])
    try:
        return _described(machine, run, order, evidence)
    except ValidationError as error:
        raise _no(machine, f"A figure cannot be: {error.errors()[0]['loc']}.") from error


def not_erased(machine: MachineRow, disk: Disk, reason: str) -> NotErased:
    return NotErased(
        asset_tag=machine.asset_tag or "", model=disk.model, serial=disk.serial,
        size_bytes=disk.size_bytes, reason=reason[:200],
    )  # fmt: skip


def disks_of(
    station: Station, session: Session, machine: MachineRow
) -> tuple[list[DiskWipe], list[NotErased]]:
    """Every disk that is in a machine, or was its target: erased with proof, or not and why."""
    hardware = Hardware.model_validate(machine.hardware)
    wiped, left = [], []
    for disk in hardware.disks:
        try:
            wiped.append(disk_wipe(station, session, machine, DiskRef.of(disk)))
        except ProofMissingError as error:
            never = why_not(disk, hardware.disks, 0)
            left.append(not_erased(machine, disk, never or error.message))
    return wiped, left


def batch_machine(machine: MachineRow, grade: str, weights: dict[str, float]) -> BatchMachine:
    smbios = Hardware.model_validate(machine.hardware).smbios
    weight = weight_of(_model(machine), smbios.chassis_type, weights)
    return BatchMachine(
        asset_tag=machine.asset_tag or "", model=_model(machine), serial=smbios.system_serial,
        milestone=machine.milestone, grade=grade, kilograms=weight.kilograms,
        weight_basis=weight.basis,
    )  # fmt: skip


def manufacturer(model: str) -> str:
    """Who made a disk, by how its name begins; empty when the name does not tell."""
    return next((maker for start, maker in _MAKERS if re.match(start, model, re.I)), "")


def _described(machine: MachineRow, run: RunRow, order: Order, evidence: WipeEvidence) -> DiskWipe:
    assert run.ended_at is not None
    digest = hashlib.sha256(json.dumps(run.evidence, sort_keys=True).encode()).hexdigest()
    return DiskWipe(
        asset_tag=machine.asset_tag or "",
        machine_model=_model(machine),
        machine_serial=Hardware.model_validate(machine.hardware).smbios.system_serial,
        medium=_medium(machine, evidence),
        level=evidence.level,
        method=evidence.method,
        tool=evidence.tool,
        tool_version=evidence.tool_version,
        drive=evidence.drive,
        bytes_written=evidence.bytes_written,
        bytes_verified=min(evidence.bytes_read_back, evidence.disk.size_bytes),
        verified_whole=evidence.full,
        samples=len(evidence.samples),
        sample_bytes=evidence.sample_bytes,
        found_share=found_share(len(evidence.samples)),
        started_at=run.started_at.isoformat(timespec="seconds"),
        ended_at=run.ended_at.isoformat(timespec="seconds"),
        smart_before=evidence.smart_before,
        smart_after=evidence.smart_after,
        exceptions=evidence.exceptions,
        order=order.id,
        evidence_sha256=digest,
    )


def _medium(machine: MachineRow, evidence: WipeEvidence) -> Medium:
    ref = evidence.disk
    disks = Hardware.model_validate(machine.hardware).disks
    rotates = any(disk.rotational for disk in disks if DiskRef.of(disk) == ref)
    kind = (
        "NVMe"
        if ref.transport is Transport.NVME
        else "hard disk"
        if rotates
        else "solid-state disk"
    )
    return Medium(
        manufacturer=manufacturer(ref.model), model=ref.model, serial=ref.serial, wwn=ref.wwn,
        kind=kind, transport=ref.transport, apparent_bytes=ref.size_bytes,
        real_bytes=evidence.real_bytes if evidence.hidden_areas_known else None,
    )  # fmt: skip


def _model(machine: MachineRow) -> str:
    smbios = Hardware.model_validate(machine.hardware).smbios
    return f"{smbios.system_vendor} {smbios.system_product}".strip()[:200]


def _order(run: RunRow) -> WipeWork | None:
    """What a run was ordered to do; only to find it, so nothing is believed of it yet."""
    if run.sealed_order is None:
        return None
    try:
        order, _ = open_envelope(run.sealed_order, Order, trusted=None)
    except ProvisionerError:
        return None
    return order.work if isinstance(order.work, WipeWork) else None


def _no(machine: MachineRow, reason: str) -> ProofMissingError:
    return ProofMissingError(
        f"{machine.asset_tag} gets no certificate. {reason}",
        "Erase the disk again; a certificate is made only of what is complete and verified.",
    )
