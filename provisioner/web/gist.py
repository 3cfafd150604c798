"""The core of a stage's evidence in one line, in the reader's language.

Evidence is what machines sent: a value that is missing or of another kind makes the line
shorter, never an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from provisioner.api.views import RunView
from provisioner.lifecycle import Verb
from provisioner.web.speech import Speech

Evidence = Mapping[str, Any]


def gist(speech: Speech, run: RunView) -> str:
    """One line of what proves a run, or nothing."""
    say = _LINES.get(run.verb)
    return say(speech, run.evidence) if say is not None and run.evidence else ""


def _discover(speech: Speech, evidence: Evidence) -> str:
    disks = _items(evidence, "disks")
    parts = (evidence.get("model"), str(evidence.get("firmware", "")).upper(),
             f"{evidence.get('memory_mib', '?')} MiB",
             speech.text("{count} disks", count=len(disks)))  # fmt: skip
    return " · ".join(str(part) for part in parts if part)


def _enrol(speech: Speech, evidence: Evidence) -> str:
    return speech.text(
        "{tag}, batch {batch}, seat {seat}",
        tag=evidence.get("asset_tag", "?"),
        batch=evidence.get("batch", "?"),
        seat=evidence.get("seat", "?"),
    )


def _diagnose(speech: Speech, evidence: Evidence) -> str:
    checks = [item for item in _items(evidence, "checks") if isinstance(item, Mapping)]
    return " · ".join(
        _checked(speech, str(check.get("id", "?")), str(check.get("outcome", "unknown")))
        for check in checks
    )


def _checked(speech: Speech, part: str, outcome: str) -> str:
    return f"{speech.part(part)} {speech.outcome(outcome)}"


def _wipe(speech: Speech, evidence: Evidence) -> str:
    return speech.text(
        "{size} overwritten; {count} places read back empty",
        size=speech.size(_number(evidence, "bytes_written")),
        count=len(_items(evidence, "samples")),
    )


def _image(speech: Speech, evidence: Evidence) -> str:
    files = [item for item in _items(evidence, "read_back") if isinstance(item, Mapping)]
    return speech.text(
        "{count} parts, {size} read back from the disk and equal",
        count=len(files),
        size=speech.size(sum(_number(item, "size") for item in files)),
    )


def _configure(speech: Speech, evidence: Evidence) -> str:
    first, again = evidence.get("first"), evidence.get("again")
    if not isinstance(first, Mapping) or not isinstance(again, Mapping):
        return ""
    return speech.text(
        "{first} things set; a second run changed {again}",
        first=first.get("changed", "?"),
        again=again.get("changed", "?"),
    )


def _verify(speech: Speech, evidence: Evidence) -> str:
    checks = [item for item in _items(evidence, "checks") if isinstance(item, Mapping)]
    good = sum(check.get("outcome") == "passed" for check in checks)
    return speech.text("{good} of {all} checks passed", good=good, all=len(checks))


def _hand_over(speech: Speech, evidence: Evidence) -> str:
    return speech.text("received by {name}", name=evidence.get("received_by", "?"))


def _items(evidence: Evidence, name: str) -> Sequence[Any]:
    found = evidence.get(name)
    return found if isinstance(found, list) else ()


def _number(evidence: Evidence, name: str) -> float:
    found = evidence.get(name)
    return found if isinstance(found, int | float) else 0


_LINES: dict[str, Callable[[Speech, Evidence], str]] = {
    Verb.DISCOVER: _discover,
    Verb.ENROL: _enrol,
    Verb.DIAGNOSE: _diagnose,
    Verb.WIPE: _wipe,
    Verb.IMAGE: _image,
    Verb.CONFIGURE: _configure,
    Verb.VERIFY: _verify,
    Verb.HAND_OVER: _hand_over,
}
