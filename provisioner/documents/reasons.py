"""Why a disk was not erased, in Chinese; the certificate itself keeps the English words.

Reasons are made in `documents.gather`, `stages.choose_disk` and `stages.wipe`; a test makes every
one of them and looks for English left over. Figures stay as they are.
"""

from __future__ import annotations

import re

STATES = {"running": "仍在进行", "failed": "失败", "interrupted": "被中断", "succeeded": "成功"}
_BUSES = {"usb": "USB", "mmc": "存储卡", "unknown": "未知"}
_LEVELS = {"clear": "清除（Clear）", "purge": "净化（Purge）"}
_WORDS = {**STATES, **_BUSES, **_LEVELS}
_SENTENCES = tuple(
    (re.compile(pattern), chinese)
    for pattern, chinese in (
        (r"removable", "可移动介质"),
        (r"attached by (\w+)", "通过 {0} 接口连接"),
        (r"read-only", "只读"),
        (r"in use", "使用中"),
        (r"smaller than (\d+) MB", "小于 {0} MB"),
        (r"not to be told from another disk", "无法与另一块硬盘区分"),
        (r"(\S+) gets no certificate\.", "{0} 不予出具证书。"),
        (r"This disk was never erased here\.", "本工场从未清除过这块硬盘。"),
        (r"The last wipe of this disk is (\w+)\.", "这块硬盘最近一次清除{0}。"),
        (r"The evidence of the wipe cannot be read\.", "无法读取清除的证据。"),
        (r"A figure cannot be: (.+?)\.", "数字不可能：{0}。"),
        (r"The evidence is about another disk\.", "证据属于另一块硬盘。"),
        (r"Only (\d+) of (\d+) bytes were overwritten\.", "{1} 字节中只覆盖了 {0} 字节。"),
        (r"The whole disk should have been read back and was not\.", "应读回整块硬盘而未读回。"),
        (r"(\d+) blocks still held data after the wipe\.", "清除后仍有 {0} 个块含有数据。"),
        (r"A (\w+) was ordered and a (\w+) was done\.", "要求{0}，实际为{1}。"),
        (
            r"A purge was ordered and the drive was not told to sanitize itself\.",
            "要求净化（Purge），但未命令硬盘自行净化。",
        ),
        (
            r"The drive does not confirm that its sanitize operation ended well\.",
            "硬盘未确认其净化操作顺利完成。",
        ),
        (
            r"(\d+) marks survived what the drive did by itself\.",
            "硬盘自行清除后仍有 {0} 处标记残留。",
        ),
        (r"“([^”]+)” was ordered and “([^”]+)” was done\.", "要求“{0}”，实际为“{1}”。"),
        (r"(\d+) hidden bytes were not erased\.", "有 {0} 个隐藏字节未被清除。"),
        (r"A disk of (\d+) bytes cannot be\.", "不可能有 {0} 字节的硬盘。"),
        (r"(\d+) bytes were written to a disk of (\d+)\.", "{1} 字节的硬盘写入了 {0} 字节。"),
        (r"(\d+) bytes were read back from a disk of (\d+)\.", "{1} 字节的硬盘读回了 {0} 字节。"),
        (
            r"A disk of (\d+) bytes cannot really have (\d+)\.",
            "{0} 字节的硬盘不可能实际有 {1} 字节。",
        ),
        (r"Only (\d+) of (\d+) samples were taken\.", "{1} 处抽样只取了 {0} 处。"),
        (r"A sample at byte (\d+) lies outside the disk\.", "字节 {0} 处的抽样在硬盘之外。"),
        (
            r"The mark at byte (\d+) could not be written before the wipe\.",
            "清除前未能在字节 {0} 处写入标记。",
        ),
        (r"Byte (\d+) still held data after the wipe\.", "清除后字节 {0} 处仍有数据。"),
        (
            r"Byte (\d+) changed when other places were written\.",
            "写入其他位置时，字节 {0} 处随之改变。",
        ),
        (
            r"It was not shown that the disk has all the room that it claims\.",
            "未能证明硬盘容量属实。",
        ),
    )
)


def in_chinese(reason: str) -> str:
    """Each sentence that we know in Chinese; what is unknown, or was cut short, stays English."""
    rest: str = reason
    said: list[str] = []
    while rest := rest.lstrip():
        match, chinese = _next(rest)
        if match is None:
            return "".join(said) + rest
        said.append(chinese.format(*(_WORDS.get(word, word) for word in match.groups())))
        rest = rest[match.end() :]
    return "".join(said)


def _next(rest: str) -> tuple[re.Match[str] | None, str]:
    for pattern, chinese in _SENTENCES:
        if match := pattern.match(rest):
            return match, chinese
    return None, ""
