"""Renewing one machine in the field: what is asked, how far it is, and what was proved.

The old system and the new one both work on the same order; what they know of each other is the
journal on the state partition.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from provisioner.model.base import Model, Sha256, ShortText, Text
from provisioner.model.release import ReleaseId
from provisioner.model.side import SideEvidence


class When(StrEnum):
    """When a machine may leave its users alone for the minutes of a start."""

    QUIET = "quiet"  # outside the school's opening hours
    NOW = "now"


class HomesRule(StrEnum):
    """What becomes of what pupils saved."""

    KEEP = "keep"
    ERASE = "erase"


class Phase(StrEnum):
    """How far a renewal is; what has been reached is not done again after a power cut."""

    FILLING = "filling"  # the new release is being brought beside the running one
    READY = "ready"  # it lies there, read back; nothing starts it yet
    TRIAL = "trial"  # the loader may start it a few times
    GOOD = "good"  # it runs, is configured and checked, and the loader starts it from now on
    FAILED = "failed"  # the old system goes on; `reason` says why


class Reason(Model):
    """Why a renewal came to nothing, in the words of a problem."""

    kind: ShortText
    message: Text
    hint: Text = ""


class Check(Model):
    """One thing that was looked at on the new system before it was called good."""

    id: ShortText
    passed: bool
    value: ShortText = ""


class Journal(Model):
    """What survives the starts in between. `order` is the sealed order itself."""

    order: str = Field(max_length=65536)
    phase: Phase
    old: ReleaseId
    new: ReleaseId
    side: SideEvidence | None = None
    heard: bool = Field(False, description="the new system's agent has come up")
    reason: Reason | None = None
    configuration: ShortText = ""
    checks: tuple[Check, ...] = Field((), max_length=200)
    homes_erased: int = Field(0, ge=0, description="files of pupils that were removed")
    postponed: int = Field(0, ge=0)


class RenewEvidence(Model):
    """Measured by the new system itself, before and after the loader was told that it is good."""

    verb: Literal["renew"] = "renew"
    old: ReleaseId
    side: SideEvidence
    running: ShortText = Field(description="the release that runs, from the kernel's command line")
    starts_next: ShortText = Field(description="what the loader starts, read back from the disk")
    configuration: ShortText = Field("", description="revision that was applied; empty: none")
    checks: tuple[Check, ...] = Field(max_length=200)
    homes: HomesRule = HomesRule.KEEP
    homes_erased: int = Field(0, ge=0)
    manifest_sha256: Sha256
