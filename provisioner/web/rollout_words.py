"""What the dashboard says about rollouts: states, waves, and why the engine decided.

The engine (fleet.rollout) gives its reasons in English, because they go into the journal; here
each is known by its form and said in the reader's language. A test makes every one of them.
"""

from __future__ import annotations

import re

from provisioner.fleet.rollout import Verdict
from provisioner.model.rollout import RolloutState
from provisioner.web.catalogue import mark

STATES: dict[str, str] = {
    RolloutState.RUNNING: mark("under way"),
    RolloutState.PAUSED: mark("paused"),
    RolloutState.HALTED: mark("stopped by itself"),
    RolloutState.TAKING_BACK: mark("being taken back"),
    RolloutState.TAKEN_BACK: mark("taken back"),
    RolloutState.DONE: mark("done"),
    RolloutState.SUPERSEDED: mark("a newer one took its place"),
}
TONES: dict[str, str] = {
    RolloutState.RUNNING: "tone-work",
    RolloutState.PAUSED: "tone-ask",
    RolloutState.HALTED: "tone-fail",
    RolloutState.TAKING_BACK: "tone-ask",
    RolloutState.DONE: "tone-done",
}
VERDICTS: dict[str, str] = {
    Verdict.HOLD: mark("waits"),
    Verdict.ADMIT: mark("lets further schools in"),
    Verdict.ADVANCE: mark("goes on to the next wave"),
    Verdict.HALT: mark("stops"),
    Verdict.FINISH: mark("is done"),
}
CHANGES: dict[str, str] = {
    "started": mark("started"),
    "accounted for": mark("a silent school was accounted for"),
    **STATES,
}
WAVES: dict[str, str] = {
    "lab": mark("Lab"),
    "classroom": mark("One classroom"),
    "twentieth": mark("A twentieth"),
    "all": mark("Everybody"),
}
_REASONS = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"frozen", mark("Frozen until then: nothing new is given.")),
        (r"room for further schools", mark("There is room for further schools.")),
        (r"every machine has it", mark("Every machine has it.")),
        (r"waiting for machines", mark("Waiting for machines to take it and to prove it.")),
        (
            r"(?P<a>\d+) of (?P<b>\d+) failed in wave (?P<wave>\S+)",
            mark("{a} of {b} machines failed in the wave “{wave}”."),
        ),
        (r"(?P<a>\d+) of (?P<b>\d+) failed", mark("{a} of {b} machines failed.")),
        (
            r"only (?P<a>\d+) of (?P<b>\d+) are healthy after wave (?P<wave>\S+)",
            mark("Only {a} of {b} machines are well after the wave “{wave}”."),
        ),
        (
            r"(?P<a>\d+) of (?P<b>\d+) healthy after wave (?P<wave>\S+)",
            mark("{a} of {b} machines are well after the wave “{wave}”."),
        ),
        (
            r"(?P<a>\d+) machines failed: no room for more",
            mark("{a} machines failed: there is no room for more."),
        ),
    )
)


def reason_text(reason: str) -> tuple[str, dict[str, str]]:
    """The text that says an engine's reason, and its figures; an unknown one is its own text."""
    for pattern, text in _REASONS:
        if match := pattern.fullmatch(reason):
            return text, match.groupdict()
    return "{reason}", {"reason": reason}
