"""What came of what was given: machines, disks, kilograms, pupils, CO₂e; by written rules.

The rules and their sources stand in docs/impact.md; each figure here names its own. Nothing is
multiplied out of nothing: pupils are what schools declared, recycled is what factories weighed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from pydantic import Field
from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from provisioner.documents.weights import LAPTOPS, load_weights, weight_of
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.base import Model
from provisioner.model.certificate import WeightBasis
from provisioner.store.office import DonorRow, GiftRow, ReceiptRow
from provisioner.store.tables import BatchRow, MachineRow, RunRow
from provisioner.workshop import giving
from provisioner.workshop.station import Station

# Kilograms of CO₂e per machine that is used for three more years instead of a new one.
# Low: the Belgian reuse network's figure (model of TU Berlin, 2005).
# High: the median share of manufacturing in makers' declarations (Boavizta's open dataset,
# February 2023: 156 desktops, 226 laptops).
LOW_DESKTOP, HIGH_DESKTOP = 109.0, 249.0
LOW_LAPTOP, HIGH_LAPTOP = 69.0, 236.0
NOBODY = ""


class Range(Model):
    """From … to …, in kilograms of CO₂e."""

    low: float = 0
    high: float = 0


class DonorImpact(Model):
    """What came of one donor's machines; the name is empty for those of whom nobody noted it."""

    donor: str
    machines: int = Field(0, description="given, whatever became of them")
    reused: int = Field(0, description="handed over to a school")
    retired: int = Field(0, description="taken out, to be dismantled")
    disks_erased: int = Field(0, description="with proof, judged by the station")
    kilograms_reused: float = 0
    kilograms_recycled: float = Field(0, description="on factories' receipts")
    weighed_by_model: int = Field(0, description="of the reused: weight from the list of models")
    co2e: Range = Range()


class Pupils(Model):
    """What one school declared."""

    school: str
    school_year: str
    pupils: int
    declared_by: str
    declared_on: date


class Impact(Model):
    """All of it, on one day."""

    on: date
    donors: tuple[DonorImpact, ...]
    total: DonorImpact
    schools: int = Field(description="with machines that were handed over")
    pupils: tuple[Pupils, ...]


def impact(station: Station, session: Session, on: date, donor: str | None = None) -> Impact:
    """The figures of all donors, or of one; raises NotFoundError for an unknown one."""
    if donor:
        giving.find_donor(session, donor)
    weights = load_weights(station.settings.state_dir / "weights.yaml")
    parts: dict[str, dict[str, Any]] = defaultdict(lambda: defaultdict(float))
    erased, schools = _erased_disks(station, session), set()
    # Of thousands of machines only what is counted is read, not each one's whole hardware.
    smbios = MachineRow.hardware["smbios"].label("smbios")
    query = (
        select(MachineRow.id, MachineRow.milestone, MachineRow.batch_id, smbios, DonorRow.name)
        .outerjoin(GiftRow, GiftRow.machine_id == MachineRow.id)
        .outerjoin(DonorRow, DonorRow.id == GiftRow.donor_id)
        .where(MachineRow.asset_tag.is_not(None))
    )
    for machine in session.execute(query):
        if donor is None or machine.name == donor:
            _count(parts[machine.name or NOBODY], machine, erased.get(machine.id, 0), weights)
            if machine.milestone == Milestone.HANDED_OVER and machine.batch_id is not None:
                schools.add(machine.batch_id)
    for giver, kilograms in _recycled(session):
        if donor is None or giver == donor:
            parts[giver or NOBODY]["kilograms_recycled"] += kilograms
    found = [_donor(name, part) for name, part in sorted(parts.items())]
    pupils = tuple(
        Pupils(
            school=row.school, school_year=row.school_year, pupils=row.pupils,
            declared_by=row.declared_by, declared_on=row.declared_on,
        )
        for row in giving.declarations(session)
    )  # fmt: skip
    return Impact(
        on=on, donors=tuple(found), total=_sum(found),
        schools=_schools(session, schools), pupils=pupils if donor is None else (),
    )  # fmt: skip


def declared_pupils(found: Impact) -> int:
    """Each school's newest school year, added up."""
    newest = {one.school: one.pupils for one in sorted(found.pupils, key=lambda p: p.school_year)}
    return sum(newest.values())


def _count(
    part: dict[str, Any], machine: Row[Any], erased: int, weights: Mapping[str, float]
) -> None:
    part["machines"] += 1
    part["disks_erased"] += erased
    if machine.milestone == Milestone.RETIRED:
        part["retired"] += 1
    if machine.milestone != Milestone.HANDED_OVER:
        return
    smbios = machine.smbios or {}
    model = f"{smbios.get('system_vendor', '')} {smbios.get('system_product', '')}".strip()
    chassis = smbios.get("chassis_type", "")
    weight = weight_of(model, chassis, weights)
    laptop = chassis in LAPTOPS
    part["reused"] += 1
    part["kilograms_reused"] += weight.kilograms
    part["weighed_by_model"] += weight.basis is WeightBasis.MODEL
    part["low"] += LOW_LAPTOP if laptop else LOW_DESKTOP
    part["high"] += HIGH_LAPTOP if laptop else HIGH_DESKTOP


def _erased_disks(station: Station, session: Session) -> dict[int, int]:
    """Machine to the number of its disks that were erased with proof."""
    proved = select(RunRow.id).where(RunRow.verb == Verb.WIPE, RunRow.state == RunState.SUCCEEDED)
    runs = session.scalars(proved).all()
    if any(run not in station.erased for run in runs):
        query = select(RunRow.id, RunRow.machine_id, RunRow.evidence["disk"])
        for run, machine, found in session.execute(query.where(RunRow.id.in_(proved))):
            disk = found or {}
            station.erased[run] = machine, f"{disk.get('serial', '')} {disk.get('wwn', '')}"
    disks: dict[int, set[str]] = defaultdict(set)
    for machine, serial in (station.erased[run] for run in runs):
        disks[machine].add(serial)
    return {machine: len(serials) for machine, serials in disks.items()}


def _recycled(session: Session) -> Iterable[tuple[str | None, float]]:
    query = (
        select(DonorRow.name, func.sum(ReceiptRow.kilograms))
        .select_from(ReceiptRow)
        .outerjoin(DonorRow, DonorRow.id == ReceiptRow.donor_id)
        .group_by(DonorRow.name)
    )
    return [(name, float(kilograms)) for name, kilograms in session.execute(query)]


def _schools(session: Session, batches: set[int]) -> int:
    query = select(func.count(BatchRow.school.distinct())).where(BatchRow.id.in_(batches))
    return session.scalar(query) or 0


def _donor(name: str, part: Mapping[str, Any]) -> DonorImpact:
    whole = ("machines", "reused", "retired", "disks_erased", "weighed_by_model")
    return DonorImpact(
        donor=name,
        **{field: int(part.get(field, 0)) for field in whole},
        kilograms_reused=round(part.get("kilograms_reused", 0.0), 2),
        kilograms_recycled=round(part.get("kilograms_recycled", 0.0), 2),
        co2e=Range(low=part.get("low", 0.0), high=part.get("high", 0.0)),
    )


def _sum(found: Iterable[DonorImpact]) -> DonorImpact:
    every = list(found)
    fields = ("machines", "reused", "retired", "disks_erased", "weighed_by_model",
              "kilograms_reused", "kilograms_recycled")  # fmt: skip
    return DonorImpact(
        donor=NOBODY,
        **{field: round(sum(getattr(one, field) for one in every), 2) for field in fields},
        co2e=Range(low=sum(o.co2e.low for o in every), high=sum(o.co2e.high for o in every)),
    )
