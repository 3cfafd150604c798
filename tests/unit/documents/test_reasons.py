"""No English is left over in the reasons of a Chinese certificate."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from provisioner.documents import gather
from provisioner.documents.reasons import in_chinese
from provisioner.documents.texts import Texts
from provisioner.stages import choose_disk, wipe

# What stays as it is: tags, names of methods and standards' own words, units.
KEPT = re.compile(r"PC-\d+|Clear|Purge|USB|MB|“[a-z-]+”")
FUNCTIONS = {
    choose_disk: {"why_not"},
    wipe: {
        "judge_wipe",
        "_judge_level",
        "impossible_figures",
        "_judge_samples",
        "_judge_sample",
        "_judge_kept",
    },
    gather: {"disk_wipe", "_no"},
}


def reasons_in_code() -> list[str]:
    """Every reason that the code can give, with figures put in."""
    found = set()
    for module, functions in FUNCTIONS.items():
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text())):
            if isinstance(node, ast.FunctionDef) and node.name in functions:
                docstring = ast.get_docstring(node, clean=False)
                found |= {text for text in _texts(node) if text.strip() and text != docstring}
    assert len(found) > 25
    return sorted(found)


def _texts(function: ast.FunctionDef) -> list[str]:
    inside = {
        id(part) for node in ast.walk(function) if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node) if part is not node
    }  # fmt: skip
    texts = []
    for node in ast.walk(function):
        if id(node) in inside:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            texts.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            texts.append("".join(_filled(part) for part in node.values))
    return [text for text in texts if not text.startswith("Erase the disk again")]


def _filled(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    assert isinstance(part, ast.FormattedValue)
    name = ast.unparse(part.value)
    for sign, text in (("asset_tag", "PC-0001"), ("transport", "usb"), ("state", "failed"),
                       ("level", "purge"), ("method", "overwrite"), ("reason", "")):  # fmt: skip
        if name.endswith(sign):
            return text
    return "4096"


@pytest.mark.parametrize("reason", reasons_in_code())
def test_every_reason_is_wholly_chinese(reason: str) -> None:
    said = in_chinese(reason)
    assert re.search(r"[\u4e00-\u9fff]", said), said
    assert not re.search(r"[A-Za-z]{2,}", KEPT.sub("", said)), said
    assert set(re.findall(r"\d{4}", reason)) == set(re.findall(r"\d{4}", said))


def test_several_sentences_and_what_nobody_foresaw() -> None:
    both = "PC-0001 gets no certificate. The last wipe of this disk is failed."
    assert in_chinese(both) == "PC-0001 不予出具证书。这块硬盘最近一次清除失败。"
    assert in_chinese("7 blocks still held data after the wipe. Something new.").endswith(
        "Something new."
    )
    assert Texts("en").reason(both) == both
    assert Texts("zh").reason(both) == in_chinese(both)
