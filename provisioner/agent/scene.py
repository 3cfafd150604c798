"""What there is to show on the machine's own screen, as one value; and how it looks as text.

The loop changes the scene, the screen's thread paints it. `view` decides the words: pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from provisioner.agent import words
from provisioner.agent.journey import Standing
from provisioner.agent.text import clean
from provisioner.agent.words import Words
from provisioner.model.order import Order
from provisioner.model.record import Problem, Record
from provisioner.model.wire import Reply, Screen, Tone

EMPTY = Words("", "")


@dataclass(frozen=True)
class Scene:
    """The state of the conversation. An order's `problem` stays until the next order begins;
    `trouble` with the conversation itself ends with the next good answer."""

    asset_tag: str = ""
    boot_mac: str = ""
    language: str = "en"
    said: Screen | None = None
    verb: str = ""
    problem: Problem | None = None
    trouble: Problem | None = None
    lost: bool = False

    def after(self, reply: Reply) -> Scene:
        """The station has answered."""
        return replace(
            self,
            asset_tag=reply.asset_tag or self.asset_tag,
            language=reply.language,
            said=reply.screen,
            trouble=None,
            lost=False,
        )

    def working(self, order: Order) -> Scene:
        """An order begins; what failed before is forgotten."""
        return replace(
            self, asset_tag=order.machine or self.asset_tag, verb=order.work.verb, problem=None
        )

    def ended(self, record: Record) -> Scene:
        return replace(self, verb="", problem=record.problem)

    def silent(self) -> Scene:
        return replace(self, lost=True)

    def troubled(self, problem: Problem) -> Scene:
        """Something is wrong with the conversation itself."""
        return replace(self, trouble=problem, lost=False)


@dataclass(frozen=True)
class View:
    """The words and figures on the screen. `fraction` None means: no bar."""

    tone: Tone
    tag: str
    title: Words
    line: Words
    hint: Words
    fraction: float | None = None
    footer: str = ""
    chinese_first: bool = False


def view(scene: Scene, standing: Standing) -> View:
    """The words for a scene: work first, then trouble, then what the station wants said."""
    first = scene.language.startswith("zh")
    if scene.verb:
        now = words.step(standing.step)
        return View(
            Tone.WORK, scene.asset_tag, words.VERBS.get(scene.verb, EMPTY), now, EMPTY,
            standing.fraction, _footer(scene, standing.rate), first,
        )  # fmt: skip
    if problem := scene.problem or scene.trouble:
        title, hint_zh = words.PROBLEMS.get(problem.kind, words.OTHER_PROBLEM)
        hint = Words(clean(problem.hint, 300), hint_zh)
        line = Words(clean(problem.message, 300), "")
        return View(
            Tone.FAIL, scene.asset_tag, title, line, hint,
            footer=_footer(scene, None), chinese_first=first,
        )  # fmt: skip
    return _idle(scene, first)


def _idle(scene: Scene, first: bool) -> View:
    said = scene.said
    if scene.lost:
        tone, title, hint = Tone.WAIT, words.NO_STATION, words.NO_STATION_HINT
    elif said and said.title_en:
        tone = said.tone
        title = Words(said.title_en, said.title_zh)
        hint = Words(said.hint_en, said.hint_zh)
    else:
        tone, title, hint = Tone.WAIT, words.REGISTERED if said else words.STARTING, EMPTY
    return View(
        tone, scene.asset_tag, title, EMPTY, hint,
        footer=_footer(scene, None), chinese_first=first,
    )  # fmt: skip


def _footer(scene: Scene, rate: float | None) -> str:
    silent = words.STATION_SILENT
    parts = [
        f"{rate / 1e6:.1f} MB/s" if rate is not None else "",
        f"{silent.en} {silent.zh}" if scene.lost and scene.verb else "",
        scene.boot_mac,
    ]
    return "   ".join(part for part in parts if part)
