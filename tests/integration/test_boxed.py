"""A box of the builder ends with the program that opened it, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="a box needs root"),
]
BUILDER = """\
import sys
from provisioner.release.boxed import boxed
from provisioner.run import run
run(boxed("sh", "-c", f"sleep {sys.argv[1]}; true"), timeout_s=3600)
"""


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_goes_on_when_the_builder_is_killed(end: signal.Signals) -> None:
    """Neither packages nor mounts of a tree that nobody waits for any more."""
    word = f"{3000 + end}.{os.getpid()}"  # how long it sleeps, and how it is found
    builder = subprocess.Popen([sys.executable, "-c", BUILDER, word])
    try:
        until = time.monotonic() + 120
        while not sleeping(word):
            assert time.monotonic() < until and builder.poll() is None
            time.sleep(0.05)
        builder.send_signal(end)
        builder.wait(60)
        while sleeping(word):
            assert time.monotonic() < until, "it goes on"
            time.sleep(0.05)
    finally:
        builder.kill()


def sleeping(word: str) -> bool:
    """The program inside the box, not the builder, who has the same word."""
    told = subprocess.run(["pgrep", "--exact", "--full", f"sleep {word}"], check=False,
                          capture_output=True)  # fmt: skip
    return told.returncode == 0
