"""What was broken on purpose, what the system said then, and what was true.

A *false success* is a success whose truth was otherwise. The truth is never taken from our own
code: see `truth`. `RESULTS=faults.json` gets every case; the table shows them by kind.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Said:
    """What the system reported: success, or in its own words why not."""

    success: bool
    words: str

    @classmethod
    def of(cls, reasons: list[str]) -> Said:
        """A judge's verdict: no reason against it is a success."""
        return cls(not reasons, f"not proved: {reasons[0]}" if reasons else "success")


class Expected(StrEnum):
    """What the truth demands."""

    SUCCESS = "success"
    NO_SUCCESS = "no success"
    TRUE = "success only if true"


@dataclass(frozen=True)
class Case:
    """One injected fault. `fault` is its kind and, behind a colon, its place."""

    fault: str
    stage: str
    said: Said
    expected: Expected
    true: bool

    @property
    def false_success(self) -> bool:
        return self.said.success and not self.true

    @property
    def as_expected(self) -> bool:
        if self.false_success:
            return False
        wanted = {Expected.SUCCESS: True, Expected.NO_SUCCESS: False}
        return wanted.get(self.expected, self.said.success) is self.said.success

    def row(self) -> dict[str, str]:
        expected = Expected.NO_SUCCESS if not self.true else self.expected
        return {"fault": self.fault, "stage": self.stage, "said": self.said.words[:300],
                "expected": str(expected)}  # fmt: skip


@dataclass
class Ledger:
    """All cases of one test run."""

    cases: list[Case] = field(default_factory=list)

    def book(
        self, fault: str, stage: str, said: Said, *, true: bool, expected: Expected = Expected.TRUE
    ) -> Case:
        """Write one case down. The caller asserts `as_expected` of what comes back."""
        case = Case(fault, stage, said, expected, true)
        self.cases.append(case)
        return case

    @property
    def false_successes(self) -> int:
        return sum(case.false_success for case in self.cases)

    def results(self) -> dict[str, Any]:
        return {
            "injected": len(self.cases),
            "false_successes": self.false_successes,
            "cases": [case.row() for case in self.cases],
        }

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(self.results(), indent=1, ensure_ascii=False) + "\n")

    def table(self) -> list[str]:
        """A line for each kind of fault at each stage, in the order of the path."""
        groups: dict[tuple[str, str], list[Case]] = {}
        for case in self.cases:
            groups.setdefault((case.stage, case.fault.partition(":")[0]), []).append(case)
        lines = [_line("stage", "fault", "injected", "success", "other", "false", "e.g. said")]
        for stage in sorted({stage for stage, _ in groups}, key=_place):
            for (at, fault), cases in groups.items():
                if at != stage:
                    continue
                won = sum(case.said.success for case in cases)
                wrong = sum(case.false_success for case in cases)
                words = Counter(case.said.words for case in cases if not case.said.success)
                common = words.most_common(1)[0][0] if words else "success"
                lines.append(_line(stage, fault, len(cases), won, len(cases) - won, wrong, common))
        lines.append(f"{len(self.cases)} faults injected, {self.false_successes} false successes")
        return lines


_STAGES = ("discover", "enrol", "diagnose", "wipe", "image", "configure", "verify")


def _place(stage: str) -> tuple[int, str]:
    return (_STAGES.index(stage) if stage in _STAGES else len(_STAGES), stage)


def _line(stage: str, fault: str, *words: object) -> str:
    injected, won, lost, wrong, said = words
    counts = f"{injected!s:>8} {won!s:>8} {lost!s:>6} {wrong!s:>6}"
    return f"{stage:<10} {fault[:52]:<52} {counts}  {' '.join(str(said).split())[:60]}"
