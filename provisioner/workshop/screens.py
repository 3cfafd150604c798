"""What a machine's own screen and its tile on the dashboard say, in both languages."""

from __future__ import annotations

from provisioner.lifecycle import Milestone
from provisioner.model.wire import Screen, Tone
from provisioner.store.tables import MachineRow

# Milestone: what has been reached, as a volunteer would say it.
TITLES: dict[Milestone, tuple[str, str]] = {
    Milestone.UNKNOWN: ("Getting to know this machine", "正在认识这台电脑"),
    Milestone.DISCOVERED: ("Waiting for a batch", "等待加入批次"),
    Milestone.ENROLLED: ("Registered", "已登记"),
    Milestone.DIAGNOSED: ("Tested", "已检测"),
    Milestone.WIPED: ("Old data erased", "旧数据已清除"),
    Milestone.IMAGED: ("System installed, starting it", "系统已安装，正在启动"),
    Milestone.CONFIGURED: ("Configured, being checked", "已配置，正在检查"),
    Milestone.VERIFIED: ("Ready for the school", "可以交付学校"),
    Milestone.HANDED_OVER: ("In service", "使用中"),
    Milestone.RETIRED: ("Retired", "已退役"),
}
_WAITING = ("Open a batch on the dashboard; this machine joins by itself.",
            "请在控制台打开一个批次，本机会自动加入。")  # fmt: skip
_TITLES_BY_KIND = {
    "ask": ("A person must decide", "需要人工选择"),
    "batch-full": ("The batch is full", "批次已满"),
    "who": ("Which machine is this?", "这是哪一台电脑？"),
}
_FAILED = ("This machine needs a hand", "这台电脑需要帮助")


def screen_for(machine: MachineRow) -> Screen:
    """The screen for where a machine stands; red only when a person must do something."""
    if machine.needs_hand is not None:
        return _needs_hand(machine.needs_hand)
    milestone = Milestone(machine.milestone)
    title_en, title_zh = TITLES[milestone]
    hint_en, hint_zh = _WAITING if milestone is Milestone.DISCOVERED else ("", "")
    done = milestone.rank >= Milestone.VERIFIED.rank
    return Screen(
        tone=Tone.DONE if done else Tone.WAIT,
        title_en=title_en,
        title_zh=title_zh,
        hint_en=hint_en,
        hint_zh=hint_zh,
    )


def _needs_hand(problem: dict[str, str]) -> Screen:
    kind = problem.get("kind", "")
    title_en, title_zh = _TITLES_BY_KIND.get(kind, _FAILED)
    hint = _one_line(f"{problem.get('message', '')} {problem.get('hint', '')}")
    return Screen(
        tone=Tone.ASK if kind in _TITLES_BY_KIND else Tone.FAIL,
        title_en=title_en,
        title_zh=title_zh,
        hint_en=hint,
        hint_zh=hint,
    )


def _one_line(text: str, limit: int = 199) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
