"""One reader's language: texts, figures and moments as the pages say them."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from provisioner.api.views import EventView, TileView, Words
from provisioner.lifecycle import Milestone
from provisioner.model.record import Problem
from provisioner.web import rollout_words, words
from provisioner.web.catalogue import CATALOGUES, catalogue
from provisioner.workshop.screens import TITLES

HTML_LANGUAGES = {"en": "en", "zh": "zh-CN"}
NAMES = {"en": "English", "zh": "中文"}
_STEP = re.compile(r"(?P<number>\d+/\d+ )?(?:[\w-]+ : )?(?P<task>.*)", re.DOTALL)
_MINUTE, _HOUR = 60, 3600
_K = 1000


def choose_language(asked: str | None, cookie: str | None, accepted: str, fallback: str) -> str:
    """The language of a page: asked for in the address, chosen before, the browser's, ours."""
    for language in (asked, cookie):
        if language in CATALOGUES:
            return language
    for part in accepted.lower().split(","):
        language = part.strip().split(";")[0].split("-")[0]
        if language in CATALOGUES:
            return language
    return fallback


class Speech:
    """Everything that differs between two languages. Values put into texts stay plain text."""

    def __init__(self, language: str) -> None:
        self.language = language
        self.html_language = HTML_LANGUAGES[language]
        self._texts = catalogue(language)

    def text(self, english: str, **values: object) -> str:
        """A text in the reader's language; what is not in the catalogue stays English."""
        found = self._texts.get(english, english)
        return found.format(**values) if values else found

    def words(self, both: Words) -> str:
        """Words that come in both languages already."""
        return both.zh if self.language == "zh" else both.en

    def stage(self, verb: str) -> str:
        return self.text(words.STAGES[verb].name) if verb in words.STAGES else verb

    def doing(self, verb: str) -> str:
        return self.text(words.STAGES[verb].doing) if verb in words.STAGES else verb

    def headline(self, tile: TileView) -> str:
        """What a tile says first: the trouble, the stage at work, or where it stands."""
        if tile.needs_hand is not None:
            return self.trouble(tile.needs_hand)
        if tile.silent:
            return self.text("Not heard for a while")
        return self.doing(tile.running) if tile.running else self.words(tile.title)

    def milestone(self, name: str) -> str:
        if name not in set(Milestone):
            return name
        return TITLES[Milestone(name)][1 if self.language == "zh" else 0]

    def run_state(self, state: str) -> str:
        return self.text(words.RUN_STATES.get(state, state))

    def outcome(self, outcome: str) -> str:
        return self.text(words.CHECK_OUTCOMES.get(outcome, outcome))

    def part(self, check: str) -> str:
        """What was tested; a check of one network card ends with the card's name."""
        kind = "network-speed"
        if check.startswith(f"{kind}-"):
            return f"{self.text(words.PARTS[kind])} {check.removeprefix(f'{kind}-')}"
        return self.text(words.PARTS.get(check, check))

    def look_for(self, part: str) -> str:
        """What a person looks at on the checklist."""
        return self.text(words.LOOK_FOR.get(part, part))

    def rule(self, rule: str) -> str:
        """The name of a rule of the grade: a test's, or one of its own."""
        return self.text(words.RULES[rule]) if rule in words.RULES else self.part(rule)

    def saw(self, saw: str) -> str:
        """What a rule saw. A test's own figures stay as the machine wrote them."""
        head, colon, rest = saw.partition(": ")
        if head == "not yet":
            parts = (self.text(words.RULES.get(part, part)) for part in rest.split(", "))
            return self.text("not yet: {parts}", parts=", ".join(parts))
        if colon and head in words.CHECK_OUTCOMES:
            return f"{self.text(words.CHECK_OUTCOMES[head])}: {rest}"
        return self.text(words.SAW.get(saw, saw))

    def source(self, source: str) -> str:
        return self.text(words.SOURCES.get(source, source))

    def step(self, step: str) -> str:
        """What is done this second; Ansible writes “3/14 role : Task”, and its tasks are texts."""
        match = _STEP.match(step)
        assert match is not None
        return f"{match['number'] or ''}{self.text(match['task'])}"

    def role(self, role: str | None) -> str:
        return self.text(words.ROLES[role]) if role in words.ROLES else ""

    def right(self, right: str) -> str:
        return self.text(words.RIGHTS.get(right, right))

    def standing(self, standing: str) -> str:
        return self.text(words.STANDINGS.get(standing, standing))

    def kind(self, kind: str) -> str:
        return self.text(words.KINDS.get(kind, kind))

    def rollout_state(self, state: str) -> str:
        return self.text(rollout_words.STATES.get(state, state))

    @staticmethod
    def rollout_tone(state: str) -> str:
        """The class that gives a rollout its colour."""
        return rollout_words.TONES.get(state, "")

    def wave(self, name: str) -> str:
        """A wave's name; those of a plan that somebody wrote stay as they are."""
        return self.text(rollout_words.WAVES[name]) if name in rollout_words.WAVES else name

    def rollout_reason(self, reason: str) -> str:
        """Why a rollout was stopped, or what it waits for."""
        text, figures = rollout_words.reason_text(reason)
        if "wave" in figures:
            figures["wave"] = self.wave(figures["wave"])
        return self.text(text, **figures) if figures else self.text(text)

    def disk_rule(self, rule: str) -> str:
        return self.text(words.DISK_RULES.get(rule, rule))

    def trouble(self, problem: Problem) -> str:
        """What is wrong, in short."""
        return self.text(words.PROBLEMS.get(problem.kind, words.OTHER_PROBLEM).title)

    def advice(self, problem: Problem) -> str:
        """What to do: the hint itself where it is in the reader's language, or one for its kind."""
        if self.language == "en" and problem.hint:
            return problem.hint
        return self.text(words.PROBLEMS.get(problem.kind, words.OTHER_PROBLEM).advice)

    def event(self, event: EventView) -> str:
        """An event as a sentence; one of an unknown kind shows its kind and figures."""
        happening = words.EVENTS.get(event.kind)
        if happening is None:
            return f"{event.kind} {event.data or ''}".strip()
        sentence = words.RAISED if _rises(event.data) else happening.sentence
        return self.text(sentence).format_map(self._figures(event.data)).strip()

    def event_kind(self, kind: str) -> str:
        """The name of a kind of event, for a list to choose from."""
        return self.text(words.EVENTS[kind].name) if kind in words.EVENTS else kind

    def http_problem(self, status: int) -> str:
        return self.text(words.HTTP_PROBLEMS.get(status, words.OTHER_PROBLEM.title))

    def size(self, count: float) -> str:
        """Bytes in the units that are printed on disks (powers of 1000)."""
        units = ("B", "kB", "MB", "GB", "TB")
        step = 0
        while count >= _K and step < len(units) - 1:
            count, step = count / _K, step + 1
        return f"{count:.0f} {units[step]}" if step < 2 else f"{count:.1f} {units[step]}"

    def rate(self, per_second: float) -> str:
        return f"{self.size(per_second)}/s"

    def left(self, seconds: float) -> str:
        """Remaining time, as coarse as it is known."""
        if seconds < _MINUTE:
            return self.text("under a minute left")
        if seconds < _HOUR:
            return self.text("about {minutes} min left", minutes=round(seconds / _MINUTE))
        hours, rest = divmod(round(seconds / _MINUTE), _MINUTE)
        return self.text("about {hours} h {minutes} min left", hours=hours, minutes=rest)

    def duration(self, seconds: float) -> str:
        if seconds < _MINUTE:
            return self.text("{seconds} s", seconds=f"{seconds:.0f}")
        minutes, rest = divmod(round(seconds), _MINUTE)
        return self.text("{minutes} min {seconds} s", minutes=minutes, seconds=rest)

    def moment(self, at: datetime) -> str:
        """A moment by the clock on the station's wall."""
        return at.astimezone().strftime("%Y-%m-%d %H:%M")

    def clock(self, at: datetime) -> str:
        return at.astimezone().strftime("%H:%M:%S")

    def _figures(self, data: Mapping[str, Any]) -> Mapping[str, str]:
        problem = data.get("problem")
        flat = {**data, **(problem if isinstance(problem, dict) else {})}
        figures = defaultdict(str, {name: str(value) for name, value in flat.items()})
        figures["stage"] = self.stage(figures["verb"])
        figures["role"] = self.role(figures["role"])
        for name in ("was", "now"):
            figures[name] = self.milestone(figures[name])
        if "rollout" in data:
            figures["reason"] = self.rollout_reason(figures["reason"])
            for name, known in (("verdict", rollout_words.VERDICTS),
                                ("change", rollout_words.CHANGES)):  # fmt: skip
                said = figures[name]
                figures[name] = self.text(known[said]) if said in known else said
        return figures


def _rises(data: Mapping[str, Any]) -> bool:
    """Whether a milestone was raised; most events name none."""
    was, now = str(data.get("was")), str(data.get("now"))
    known = set(Milestone)
    return was in known and now in known and Milestone(now).rank > Milestone(was).rank
