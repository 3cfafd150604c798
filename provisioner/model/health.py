"""What an installed machine says of itself when it checks in: figures, never a judgement."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from provisioner.model.base import Model, ShortText
from provisioner.model.record import SmartReading

Bytes = Annotated[int, Field(ge=0, lt=2**63)]


class Health(Model):
    """One machine at one moment. None and empty text mean that it could not tell.

    `good` and `trial` are what its loader starts; `started` is when it was switched on, by its
    own clock.
    """

    release: ShortText = ""
    good: ShortText = ""
    trial: ShortText = ""
    configuration: ShortText = ""
    state_free: Bytes | None = None
    system_free: Bytes | None = None
    temperature_c: float | None = Field(None, ge=-50, le=200)
    disk: SmartReading = SmartReading()
    uptime_s: float | None = Field(None, ge=0)
    clock_off_s: float | None = Field(
        None, description="how wrong its clock was before the station's answer mended it"
    )
    renewing: ShortText = Field("", description="how far a renewal is, in its own words")
