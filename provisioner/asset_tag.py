"""Asset tags: how they are written, and how a mistyped one is noticed. Pure.

A pattern such as `PC-{number:04d}` or `LAB-{number:05d}{check}` is a setting; `{check}` stands for
a check character over all letters and digits before it. The algorithm is ISO/IEC 7064,
MOD 37,36 (the hybrid system over 0-9 and A-Z that ISAN and the music industry's GRid use): it
finds every single mistyped character, and all but a few per mille of swapped neighbours (counted by
the tests). The checks of published ISAN and GRid numbers are this module's test vectors.

Tags that were given under an earlier pattern keep working: a tag is looked up as it stands, and
only one that nobody carries is asked for its check character.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import Formatter

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
MAX_LENGTH = 40
# A tag also becomes the machine's host name: letters, digits and hyphens inside.
_TAG = re.compile(r"[A-Z0-9]([A-Z0-9-]{0,38}[A-Z0-9])?")
_MODULUS = len(ALPHABET)
_LARGEST = 10**9


def check_character(text: str) -> str:
    """The check character of ISO/IEC 7064, MOD 37,36 for the letters and digits of `text`."""
    product = _MODULUS
    for sign in _solid(text):
        total = (product + ALPHABET.index(sign)) % _MODULUS or _MODULUS
        product = total * 2 % (_MODULUS + 1)
    return ALPHABET[(1 - product) % _MODULUS]


def write(pattern: str, number: int) -> str:
    """The asset tag with this number. Raises ValueError for a pattern that gives no tag."""
    fields = [name for _, name, _, _ in Formatter().parse(pattern) if name is not None]
    if "number" not in fields or set(fields) - {"number", "check"}:
        raise ValueError("it must hold {number}, may hold {check}, and nothing else in braces")
    if "check" in fields and not (fields.count("check") == 1 and pattern.endswith("{check}")):
        raise ValueError("{check} must stand once, at the end")
    body = pattern.removesuffix("{check}").format(number=number)
    tag = body + check_character(body) if "check" in fields else body
    if not _TAG.fullmatch(tag):
        raise ValueError(
            f"“{tag}” is no tag: at most {MAX_LENGTH} capital letters, digits and inner hyphens"
        )
    return tag


def validated(pattern: str) -> str:
    """The pattern, when it gives another tag for every number. Raises ValueError."""
    try:
        if write(pattern, 1) == write(pattern, 2):
            raise ValueError("it gives the same tag twice")
        write(pattern, _LARGEST)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it cannot be filled in: {error}") from error
    return pattern


def mistyped(pattern: str, tag: str) -> bool:
    """Whether a tag that nobody carries cannot be one of `pattern`: its check does not fit."""
    solid = _solid(tag.upper())
    if not pattern.endswith("{check}") or len(solid) < 2:
        return False
    return check_character(solid[:-1]) != solid[-1]


def explain_unknown(tag: str, known: Sequence[str]) -> str:
    """What is said of a tag that nobody carries, among those that somebody does.

    Where every known tag ends with its check character, so would this one: if it does not fit,
    it was mistyped. One tag may fit by accident (1 in 36), so it takes two to say so.
    """
    pattern = "{number}{check}"
    checked = len(known) > 1 and not any(mistyped(pattern, one) for one in known)
    if checked and mistyped(pattern, tag):
        solid = _solid(tag.upper())
        return f"“{tag}” is mistyped: its check character would not be “{solid[-1]}”."
    return f"There is no machine “{tag}”."


def _solid(text: str) -> str:
    return "".join(sign for sign in text if sign in ALPHABET)
