"""What travels to a school on a stick, and what comes back: both signed, neither dated.

On the stick:

    classroom/bundle.dsse.json            what the school is to have, signed by the station
    classroom/releases/NAME@VERSION/…     the release, as the station would serve it
    classroom/patches/NAME@VERSION/…      patches to it, if there are any
    classroom/sites/TAG.dsse.json         the school's configuration, closed for each machine
    classroom/receipts/TAG.dsse.json      what became of it on each machine, signed by that machine
"""

from __future__ import annotations

from pydantic import Field

from provisioner.model.base import Model, Name, Sha256, ShortText
from provisioner.model.record import Record
from provisioner.model.release import ReleaseId
from provisioner.model.renewal import HomesRule, When

FOLDER = "classroom"
BUNDLE = "bundle.dsse.json"
RECEIPTS = "receipts"
RESULT = "result.txt"  # for the teacher, in both languages


class Bundle(Model):
    """One school's wish. `number` only rises for a school: an older one is a stick from a drawer.

    `machines` are the asset tags that it is for; nobody else reads on.
    """

    school: Name
    number: int = Field(ge=1, lt=2**63)
    machines: tuple[ShortText, ...] = Field(min_length=1, max_length=500)
    release: ReleaseId
    manifest_sha256: Sha256
    when: When = When.QUIET
    homes: HomesRule = HomesRule.KEEP


class Receipt(Model):
    """What one machine made of a bundle; signed with its own key."""

    school: Name
    number: int
    machine: ShortText
    record: Record
