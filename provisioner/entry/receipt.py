"""The short code that a pupil writes down, and what is said of time. Pure.

A code is the first 40 bits of the hash of what the machine signed, in letters and digits that
are not mistaken for one another, with a check character at its end.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from enum import StrEnum

from provisioner.asset_tag import check_character
from provisioner.model.entry import ClockReading, HandIn

# Crockford's base 32: no I, L, O, U.
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Lateness(StrEnum):
    """Whether an entry was handed in before the end, as far as its machine's clock can tell."""

    IN_TIME = "in-time"
    LATE = "late"
    DOUBTFUL = "doubtful"
    TOO_EARLY = "too-early"


def code_of(hand_in: HandIn) -> str:
    """For example 7K2M-0QX4-R. The same entry always has the same code."""
    said = f"{hand_in.id}/{hand_in.contest}/{hand_in.sha256}"
    number = int.from_bytes(hashlib.sha256(said.encode()).digest()[:5], "big")
    signs = "".join(LETTERS[number >> 5 * place & 31] for place in range(7, -1, -1))
    return f"{signs[:4]}-{signs[4:]}-{check_character(signs)}"


def read_code(text: str) -> str:
    """A code as somebody typed it. Raises ValueError when its check character does not fit."""
    solid = "".join(sign for sign in text.upper() if sign.isalnum())
    signs, check = solid[:8].translate(str.maketrans("ILO", "110")), solid[8:]
    if len(signs) != 8 or check_character(signs) != check:
        raise ValueError(f"“{text[:20]}” is no receipt: look at it once more")
    return f"{signs[:4]}-{signs[4:]}-{check}"


def lateness(opens: datetime, closes: datetime, clock: ClockReading,
             heard_by: datetime | None = None) -> Lateness:  # fmt: skip
    """By the machine's clock and its doubt; `heard_by` is when somebody with a right clock had it.

    Who had it in hand before the end proves that it was in time, whatever the machine's clock.
    """
    if heard_by is not None and opens <= heard_by < closes:
        return Lateness.IN_TIME
    if clock.doubt_s is None:
        return Lateness.DOUBTFUL
    doubt = timedelta(seconds=clock.doubt_s)
    if clock.at + doubt < opens:
        return Lateness.TOO_EARLY
    if clock.at - doubt >= closes:
        return Lateness.LATE
    if clock.at - doubt >= opens and clock.at + doubt < closes:
        return Lateness.IN_TIME
    return Lateness.DOUBTFUL
