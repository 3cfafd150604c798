"""What the doctor says: in two languages where it is seen, in one where it is shown."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from provisioner.model.base import Model


class Level(StrEnum):
    """`fail`: the station cannot work like this. `warn`: it can, but look at it."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Said(NamedTuple):
    """One sentence in English and in Simplified Chinese."""

    en: str
    zh: str

    def within(self, language: str) -> str:
        return self.zh if language == "zh" else self.en


NOTHING = Said("", "")


class Finding(Model):
    """One line of the doctor's report. `name` never changes with the language."""

    name: str
    level: Level
    what: str
    found: str
    cure: str


class Observation(NamedTuple):
    """A finding before its language is chosen."""

    name: str
    level: Level
    what: Said
    found: Said
    cure: Said = NOTHING

    def told_in(self, language: str) -> Finding:
        return Finding(
            name=self.name,
            level=self.level,
            what=self.what.within(language),
            found=self.found.within(language),
            cure=self.cure.within(language) if self.level is not Level.OK else "",
        )
