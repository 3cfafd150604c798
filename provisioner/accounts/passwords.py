"""Passwords: kept as Argon2id (RFC 9106), never as they are."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from provisioner.errors import WrongStateError

SHORTEST, LONGEST = 10, 200
HASHER = PasswordHasher()
# Each check takes 64 MiB: guesses that come together wait for each other instead of filling it.
_one_at_a_time = threading.Lock()


def checked(password: str) -> str:
    """The password when it may be one. Raises WrongStateError.

    Length is what counts (NIST SP 800-63B, 3.1.1.2); no kinds of signs are asked for.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise WrongStateError(
            f"A password has {SHORTEST} to {LONGEST} signs.", "Four words in a row are a good one."
        )
    if len(set(password)) < 4:
        raise WrongStateError("This password is the same sign again and again.", "Take words.")
    return password


def hashed(password: str) -> str:
    with _one_at_a_time:
        return HASHER.hash(checked(password))


def matches(stored: str | None, password: str) -> bool:
    """Whether it is the password; takes as long for an account that there is not."""
    with _one_at_a_time:
        try:
            return HASHER.verify(stored or _nobody(), password[:LONGEST]) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False


def _nobody() -> str:
    if not _NOBODY:
        _NOBODY.append(HASHER.hash("nobody has this"))
    return _NOBODY[0]


_NOBODY: list[str] = []
