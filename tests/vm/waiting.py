"""Waiting for something that a virtual classroom does in its own time."""

from __future__ import annotations

import time
from collections.abc import Callable

from provisioner.errors import UnreachableError

STEP_TIMEOUT_S = 1500.0


def wait(condition: Callable[[], bool], what: str, timeout_s: float = STEP_TIMEOUT_S) -> None:
    """Until it holds; a station that is just starting again is asked again. Raises
    AssertionError when the time is over."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if condition():
                return
        except UnreachableError:
            pass
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.5)
