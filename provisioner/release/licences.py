"""Which licences a package is under, read from the copyright file that it ships.

Debian's machine-readable form (copyright-format 1.0) is read field by field; older files are
searched for the licences they refer to in /usr/share/common-licenses. This is a list for people
to look up, not legal advice; the texts themselves stay in the image.
"""

from __future__ import annotations

import re
from pathlib import Path

DOC = Path("usr/share/doc")
SEE_FILE = "see copyright file"
MAX_LENGTH = 200
_FIELD = re.compile(r"^License:[ \t]*(\S[^\n]*)$", re.MULTILINE | re.IGNORECASE)
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9.+-]*[A-Za-z0-9+])")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.+~_-]*( with [A-Za-z0-9.+ -]{1,40})?$")
_PHRASES = (
    ("LGPL", re.compile(r"GNU (Lesser|Library) General Public License", re.IGNORECASE)),
    ("GPL", re.compile(r"GNU General Public License|\bGPL", re.IGNORECASE)),
    ("MIT", re.compile(r"Permission is hereby granted, free of charge", re.IGNORECASE)),
    ("BSD", re.compile(r"Redistribution and use in source and binary forms", re.IGNORECASE)),
    ("HPND-sell-variant", re.compile(r"use, copy, modify, distribute,? and sell this software")),
    ("ISC", re.compile(r"Permission to use, copy, modify, and(/or)? distribute", re.IGNORECASE)),
    ("public-domain", re.compile(r"public domain", re.IGNORECASE)),
)


def parse_copyright(text: str) -> str:
    """Short names, sorted, joined by commas; at most 200 characters."""
    return _short(parse_names(text))


def parse_names(text: str) -> list[str]:
    """Every licence that a copyright file names, by Debian's short names, sorted."""
    names: set[str] = set()
    if "copyright-format/1.0" in text[:2000]:
        names = _clean(_FIELD.findall(text))
    if not names:
        names = set(_COMMON.findall(text))
        found = (name for name, phrase in _PHRASES if phrase.search(text))
        names |= {name for name in found if not any(n.startswith(name) for n in names)}
    return sorted(names, key=str.lower)


def read_licence(root: Path, package: str) -> str:
    """The licences of an installed package; a note when its file says nothing readable."""
    return _short(read_names(root, package)) or SEE_FILE


def read_names(root: Path, package: str) -> list[str]:
    """All licences of an installed package; none when its file says nothing readable."""
    path = _inside(root, root / DOC / package / "copyright")
    return parse_names(path.read_text(errors="replace")) if path else []


def _clean(found: list[str]) -> set[str]:
    """The names in License fields such as “GPL-2+ or Artistic, and MIT”."""
    words = (re.split(r"\s+(?:and|or)\s+(?:and\s+)?|\s*[,;|]\s*", text) for text in found)
    return {name for group in words for word in group if _NAME.match(name := word.strip())}


def _short(names: list[str]) -> str:
    text = ""
    for name in names:
        longer = f"{text}, {name}" if text else name
        if len(longer) > MAX_LENGTH - 3:
            return f"{text}, …" if text else name[:MAX_LENGTH]
        text = longer
    return text


def _inside(root: Path, path: Path) -> Path | None:
    """The file behind `path`, if it exists and no link leads out of the tree."""
    real = path.resolve()
    return real if real.is_relative_to(root.resolve()) and real.is_file() else None
