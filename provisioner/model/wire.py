"""What machine and station say to each other: each message in a signed envelope.

Every request carries a counter that only rises for one key, so a recorded request cannot be
played again; every reply names the key and the counter that it answers, so a recorded reply
cannot either. No clock is involved.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from provisioner.model.base import Model, ShortText
from provisioner.model.hardware import Hardware
from provisioner.model.health import Health
from provisioner.model.order import KeyHex, OrderId
from provisioner.model.record import Record


class Surroundings(StrEnum):
    """Which system the agent runs in."""

    LIVE = "live"
    INSTALLED = "installed"


class BootFacts(Model):
    """How this system was started. `release` is the one that runs, read from the system itself."""

    surroundings: Surroundings
    release: ShortText = ""
    boot_id: ShortText = ""
    kernel: ShortText = ""
    boot_mac: ShortText = ""
    root_disk_serial: ShortText = ""
    clock: float = Field(0.0, description="seconds since 1970 by the machine's clock")


class Request(Model):
    counter: int = Field(ge=0, lt=2**63)


class RegisterRequest(Request):
    hardware: Hardware
    boot: BootFacts


class Progress(Model):
    """Where the work on an order stands, sent at least each second."""

    order: OrderId
    step: ShortText
    fraction: float = Field(ge=0, le=1)
    bytes_per_second: float | None = Field(None, ge=0)


class PollRequest(Request):
    progress: Progress | None = None
    health: Health | None = None


class RecordRequest(Request):
    record: Record


class Tone(StrEnum):
    """How the machine's screen is coloured."""

    WAIT = "wait"
    WORK = "work"
    DONE = "done"
    ASK = "ask"
    FAIL = "fail"


class Screen(Model):
    """What the station wants shown on the machine's own screen, in both languages."""

    tone: Tone = Tone.WAIT
    title_en: ShortText = ""
    title_zh: ShortText = ""
    hint_en: ShortText = ""
    hint_zh: ShortText = ""


class Reply(Model):
    """The station's answer to any request."""

    to_key: KeyHex
    counter: int
    asset_tag: ShortText = ""
    language: ShortText = "en"
    screen: Screen = Screen()
    order: str | None = Field(None, description="a sealed Order, in answer to a poll")
    station_time: float = Field(description="seconds since 1970 by the station's clock")
    poll_seconds: float = Field(2.0, gt=0, le=3600)
