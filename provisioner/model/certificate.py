"""Certificates: what a donor may believe about every disk, signed by the station.

The fields are those of NIST SP 800-88 r2, section 4.6 and appendix C, and what nobody should have
to ask for: real and apparent size, bytes written and verified, the disk's health before and after,
and every exception. A certificate states what was measured; it is no certification by anybody.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, Sha256, ShortText
from provisioner.model.erasure import WipeLevel
from provisioner.model.order import OrderId
from provisioner.model.record import DriveErasure, SmartReading

Number = Annotated[str, StringConstraints(pattern=r"^[WB]-[0-9]{6,12}$")]


class Person(Model):
    """Who did or approved something; a signature is written by hand on the paper."""

    name: ShortText = ""
    title: ShortText = ""
    location: ShortText = ""
    contact: ShortText = ""
    date: ShortText = ""


class Paper(Model):
    """What an operator adds to the figures."""

    donor: ShortText = Field("", description="media source: where the machines came from")
    destination: ShortText = Field("", description="what becomes of the medium")
    confidentiality: ShortText = Field("", description="category before sanitization; optional")
    verified_by: Person = Person()
    validated_by: Person = Person()


class Medium(Model):
    """The disk itself. Sizes in bytes."""

    manufacturer: ShortText
    model: ShortText
    serial: ShortText
    wwn: ShortText
    kind: ShortText = Field(description="hard disk, solid-state disk, NVMe")
    transport: ShortText
    apparent_bytes: int = Field(ge=10**6, lt=10**15)
    real_bytes: int | None = Field(None, ge=10**6, lt=10**15, description="None: it did not tell")


class DiskWipe(Model):
    """One erased disk, in one machine."""

    asset_tag: ShortText
    machine_model: ShortText
    machine_serial: ShortText
    medium: Medium
    level: WipeLevel
    method: ShortText
    tool: ShortText
    tool_version: ShortText
    drive: DriveErasure | None
    bytes_written: int = Field(ge=0, lt=10**15)
    bytes_verified: int = Field(ge=0, lt=10**15)
    verified_whole: bool
    samples: int = Field(ge=0)
    sample_bytes: int = Field(gt=0)
    found_share: float = Field(gt=0, le=1, description="left over, found with 95 per cent")
    started_at: ShortText
    ended_at: ShortText
    smart_before: SmartReading
    smart_after: SmartReading
    exceptions: tuple[ShortText, ...]
    order: OrderId
    evidence_sha256: Sha256


class WipeCertificate(Model):
    """One disk's certificate."""

    number: Number
    issued_at: ShortText
    workshop: ShortText
    batch: ShortText
    standard: ShortText = "NIST SP 800-88 r2 (September 2025); techniques: IEEE 2883"
    paper: Paper
    wipe: DiskWipe


class WeightBasis(StrEnum):
    """Where a weight comes from."""

    MODEL = "model"  # the operator's list of models
    DESKTOP_MEDIAN = "desktop-median"
    LAPTOP_MEDIAN = "laptop-median"


class BatchMachine(Model):
    asset_tag: ShortText
    model: ShortText
    serial: ShortText
    milestone: ShortText
    grade: ShortText = ""
    kilograms: float = Field(gt=0, lt=1000)
    weight_basis: WeightBasis


class NotErased(Model):
    """A disk that this certificate says nothing good about, and why."""

    asset_tag: ShortText
    model: ShortText
    serial: ShortText
    size_bytes: int = Field(ge=0)
    reason: ShortText


class BatchCertificate(Model):
    """Every machine and every disk of a batch, for the donor."""

    number: Number
    issued_at: ShortText
    workshop: ShortText
    batch: ShortText
    school: ShortText
    standard: ShortText = "NIST SP 800-88 r2 (September 2025); techniques: IEEE 2883"
    paper: Paper
    machines: tuple[BatchMachine, ...] = Field(max_length=1000)
    wipes: tuple[DiskWipe, ...] = Field(max_length=10_000)
    not_erased: tuple[NotErased, ...] = Field(max_length=10_000)
    kilograms: float = Field(ge=0)
