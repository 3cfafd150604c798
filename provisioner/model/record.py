"""Records: the evidence that a stage leaves behind.

A machine reports what it measured and read back, never that it succeeded: success is judged
on the station from these values.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from provisioner.model.base import Model, Sha256, ShortText, Text
from provisioner.model.erasure import WipeLevel, WipeMethod
from provisioner.model.errand import ErrandEvidence
from provisioner.model.hardware import DiskRef
from provisioner.model.order import KeyHex, OrderId
from provisioner.model.read_back import ReadBack as ReadBack
from provisioner.model.release import ReleaseId
from provisioner.model.renewal import RenewEvidence


class Problem(Model):
    """What went wrong on the machine: the error's kind, its message, and what to do."""

    kind: ShortText
    message: Text
    hint: Text = ""


class CheckOutcome(StrEnum):
    PASS = "pass"  # noqa: S105 - a result, not a password
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


class PartCheck(Model):
    """One test of one part; `value` is what was measured, with its unit."""

    id: ShortText
    outcome: CheckOutcome
    value: ShortText = ""
    advice: ShortText = ""


class SmartReading(Model):
    """A few figures of a disk's own account of its health; None where it does not tell."""

    passed: bool | None = None
    power_on_hours: int | None = Field(None, ge=0, lt=10**6)
    reallocated: int | None = Field(None, ge=0, lt=2**48, description="attribute 5")
    uncorrectable: int | None = Field(None, ge=0, lt=2**48, description="attribute 187")
    timeouts: int | None = Field(None, ge=0, lt=2**48, description="attribute 188, its low 16 bits")
    pending: int | None = Field(None, ge=0, lt=2**48, description="attribute 197")
    offline_uncorrectable: int | None = Field(None, ge=0, lt=2**48, description="attribute 198")
    percentage_used: int | None = Field(
        None, ge=0, lt=2**48, description="of a solid-state disk's life"
    )
    critical_warning: int | None = Field(None, ge=0, lt=2**48, description="NVMe")
    media_errors: int | None = Field(None, ge=0, lt=2**48, description="NVMe")


class DiagnoseEvidence(Model):
    verb: Literal["diagnose"] = "diagnose"
    checks: tuple[PartCheck, ...] = Field(max_length=200)
    smart: SmartReading = SmartReading()


class Sample(Model):
    """One block of the disk around the wipe.

    Before wiping, the agent writes random bytes there and reads them back past the page cache
    (`before`); after wiping it reads the block again (`after`). So a wipe that did nothing is
    found even on a disk that was blank from the start.
    """

    offset: int = Field(ge=0)
    before: Sha256
    after: Sha256


class DriveErasure(Model):
    """What the drive did by itself, before everything was overwritten as well."""

    method: WipeMethod
    command: ShortText
    tool: ShortText = Field(description="program and version")
    confirmed: bool = Field(description="the drive itself keeps: completed without error")
    marks_survived: int = Field(ge=0, description="random marks that could still be read")


class WipeEvidence(Model):
    verb: Literal["wipe"] = "wipe"
    disk: DiskRef
    method: ShortText
    tool: ShortText
    bytes_written: int = Field(ge=0, lt=2**63)
    bytes_read_back: int = Field(ge=0, lt=2**63)
    sample_bytes: int = Field(gt=0, description="length of each sample")
    samples: tuple[Sample, ...] = Field(max_length=10_000)
    kept: tuple[Sample, ...] = Field(
        (), max_length=200, description="marks before and after all other places were overwritten"
    )
    nonzero_blocks: int = Field(ge=0, description="blocks of the read-back that were not zero")
    full: bool
    level: WipeLevel = WipeLevel.CLEAR
    tool_version: ShortText = ""
    drive: DriveErasure | None = None
    real_bytes: int | None = Field(None, ge=0, description="the largest size the drive has told")
    hidden_areas_known: bool = Field(False, description="whether HPA and DCO could be asked for")
    smart_before: SmartReading = SmartReading()
    smart_after: SmartReading = SmartReading()
    exceptions: tuple[ShortText, ...] = Field((), max_length=20)


class Partition(Model):
    """One partition as the kernel saw it after everything was written. Sectors of 512 bytes."""

    number: int = Field(ge=1, le=128)
    label: ShortText
    type_guid: ShortText
    guid: ShortText
    start_sector: int = Field(ge=0)
    sectors: int = Field(gt=0)
    filesystem: ShortText = ""
    filesystem_uuid: ShortText = ""


class ImageEvidence(Model):
    verb: Literal["image"] = "image"
    disk: DiskRef
    release: ReleaseId
    manifest_sha256: Sha256
    partitions: tuple[Partition, ...] = Field(max_length=16)
    read_back: tuple[ReadBack, ...] = Field(max_length=200)
    direct_io: bool = Field(description="whether the read-back went past the page cache")
    bytes_fetched: int = Field(ge=0)
    bytes_resumed: int = Field(0, ge=0, description="already there from an interrupted run")
    bytes_from_peers: int = Field(0, ge=0, description="of the fetched ones, from neighbours")
    bytes_from_carousel: int = Field(
        0, ge=0, description="of the fetched ones, sent by the station to all at once"
    )
    banned_peers: tuple[ShortText, ...] = Field(
        (), max_length=256, description="addresses that sent wrong bytes"
    )
    ssh_host_keys: tuple[ShortText, ...] = Field(max_length=8)
    installed_key: KeyHex = Field(description="the key with which the installed agent will sign")


class RestartEvidence(Model):
    verb: Literal["restart"] = "restart"


MachineEvidence = Annotated[
    DiagnoseEvidence
    | WipeEvidence
    | ImageEvidence
    | RestartEvidence
    | RenewEvidence
    | ErrandEvidence,
    Field(discriminator="verb"),
]


class Record(Model):
    """What a machine sends back for one order. Exactly one of evidence and problem is set."""

    order: OrderId
    evidence: MachineEvidence | None = None
    problem: Problem | None = None
    seconds: float = Field(ge=0)
