"""A batch: machines prepared together for one school, and the rules for all of them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from provisioner.model.base import Model, Name
from provisioner.model.erasure import WipeLevel, WipeMethod
from provisioner.model.order import Profile


class DiskRule(StrEnum):
    """Which disk of a machine is used when more than one could be."""

    ONLY = "only"  # there must be exactly one; otherwise a person is asked
    SOLID_STATE = "solid-state"  # the only one that does not rotate
    SMALLEST = "smallest"
    LARGEST = "largest"


class Policy(Model):
    """What is done to every machine of a batch. Nothing here names a disk."""

    disk: DiskRule = DiskRule.ONLY
    diagnose: Profile = Field(Profile.QUICK, description="quick or thorough")
    wipe: WipeMethod = WipeMethod.OVERWRITE
    wipe_level: WipeLevel = Field(
        WipeLevel.CLEAR, description="clear, or purge; a purge that a disk cannot do is refused"
    )
    wipe_samples: int = Field(64, gt=0, le=10_000, description="blocks read back after wiping")
    wipe_read_back_all: bool = Field(False, description="read back every block, not only samples")


class BatchPlan(Model):
    """What an operator asks for: the school, a release, how many machines, and the rules."""

    name: Name
    school: Name
    release: str = Field(description="NAME for the newest release of a recipe, or NAME@VERSION")
    size: int = Field(gt=0, le=1000, description="how many machines may join")
    open_minutes: int = Field(480, gt=0, le=7 * 24 * 60, description="how long machines may join")
    policy: Policy = Policy()
