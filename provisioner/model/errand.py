"""Small things that a machine in its school is asked to do, and what it then says.

None of them is a stage of the path: what was proved of the machine before stays proved.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from provisioner.model.base import Model, ShortText
from provisioner.model.renewal import When

MAX_LOG = 200_000  # characters


class ReconfigureWork(Model):
    """Fetch the school's configuration and apply it."""

    verb: Literal["reconfigure"] = "reconfigure"
    configuration: ShortText = Field("", description="revision that must hold afterwards")


class ResetHomesWork(Model):
    """Empty the pupils' and teachers' folders; they stay, with their owners."""

    verb: Literal["reset-homes"] = "reset-homes"
    when: When = When.QUIET


class LogsWork(Model):
    """Send home what the system has written down since it was started."""

    verb: Literal["logs"] = "logs"
    lines: int = Field(1000, ge=1, le=5000)


class ReconfigureEvidence(Model):
    """`configuration` is the revision whose second run found nothing to change."""

    verb: Literal["reconfigure"] = "reconfigure"
    configuration: ShortText


class ResetHomesEvidence(Model):
    """Files that were removed, and those that were still found afterwards."""

    verb: Literal["reset-homes"] = "reset-homes"
    removed: int = Field(ge=0)
    left: int = Field(ge=0)


class LogsEvidence(Model):
    """The end of the system's own log."""

    verb: Literal["logs"] = "logs"
    text: Annotated[str, StringConstraints(max_length=MAX_LOG)]


ErrandWork = ReconfigureWork | ResetHomesWork | LogsWork
ErrandEvidence = ReconfigureEvidence | ResetHomesEvidence | LogsEvidence
