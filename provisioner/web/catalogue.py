"""Catalogues of texts: gettext's .po files, read as they are.

The English text is the key, as gettext has it, so that translators keep their tools; the files
are small and read once, so nothing has to be compiled before the station can start.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from provisioner.errors import ConfigError

FOLDER = Path(__file__).parent / "locale"
# Our language codes, and the catalogue of each; English is the language of the keys.
CATALOGUES = {"en": "", "zh": "zh_CN.po"}
_LINE = re.compile(r'^(?:(msgid|msgstr)\s+)?(".*")$')


def mark(text: str) -> str:
    """Marks a text for the catalogue where it is written; it is translated where it is shown."""
    return text


@cache
def catalogue(language: str) -> dict[str, str]:
    """English text to the text in `language`; empty for English itself."""
    name = CATALOGUES[language]
    return read_po((FOLDER / name).read_text(encoding="utf-8"), FOLDER / name) if name else {}


def read_po(content: str, path: Path) -> dict[str, str]:
    """The entries of a .po file; those without a translation are left out.

    Understands comments, msgid and msgstr, over several lines each; raises ConfigError with the
    line for anything else, also for the same text twice.
    """
    entries: dict[str, str] = {}
    parts = {"msgid": "", "msgstr": ""}
    part = "msgstr"
    for number, line in enumerate([*content.splitlines(), 'msgid ""'], 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.match(line.strip())
        if match is None:
            raise ConfigError("This is no line of a catalogue.", file=path, line=number)
        if match[1] == "msgid":
            _add(entries, parts, path, number)
            parts = {"msgid": "", "msgstr": ""}
        part = match[1] or part
        parts[part] += ast.literal_eval(match[2])
    return entries


def _add(entries: dict[str, str], parts: dict[str, str], path: Path, line: int) -> None:
    text, translation = parts["msgid"], parts["msgstr"]
    if text in entries:
        raise ConfigError(f"“{text}” stands twice.", file=path, line=line)
    if text and translation:
        entries[text] = translation
