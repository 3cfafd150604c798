"""Path patterns of a recipe: `*` stays within one part of a path, `**` crosses slashes."""

from __future__ import annotations

import re
from collections.abc import Iterable


def compile_patterns(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression that matches a path (relative, no leading slash) named by any pattern."""
    return re.compile("|".join(f"(?:{_translate(p)})" for p in patterns) or r"(?!)")


def _translate(pattern: str) -> str:
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(words.get(part) or re.escape(part) for part in parts)
