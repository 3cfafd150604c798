"""Programs that are not what they should be, in front of the real ones on PATH."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

KINDS = {
    "exits 0": "exit 0",
    "fails": "echo broken >&2; exit 1",
    "hangs": "sleep 3600",
    "prints garbage": "head -c 100000 /dev/urandom; exit 0",
    "prints 1 GB": 'yes \'{"smart_status": {"passed": true}}\' | head -c 1073741824; exit 0',
}


def of_each(tools: Sequence[str], *short: str) -> list[Any]:
    """Parameters `tools, kind`: one by one, then all together.

    The short form has all tools in every kind, and single ones in the kinds `short`.
    """
    marks = {kind: [] if kind in short else [pytest.mark.long] for kind in KINDS}
    single = [pytest.param((tool,), kind, marks=marks[kind], id=f"{tool} {kind}")
              for tool in tools for kind in KINDS]  # fmt: skip
    return single + [pytest.param(tuple(tools), kind, id=f"all {kind}") for kind in KINDS]


class Waits(Protocol):
    patience_s: float


@contextlib.contextmanager
def hurried(desk: Waits, seconds: float = 1.0) -> Iterator[None]:
    """A tool that hangs costs only so long; the real time-outs are minutes."""
    before, desk.patience_s = desk.patience_s, seconds
    try:
        yield
    finally:
        desk.patience_s = before


@contextlib.contextmanager
def stubbed(tools: Sequence[str], script: str) -> Iterator[None]:
    """For as long as this lasts, `tools` are this shell script."""
    folder = Path(tempfile.mkdtemp(prefix="flt-stubs-"))
    before = os.environ["PATH"]
    for name in tools:
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    os.environ["PATH"] = f"{folder}:{before}"
    try:
        yield
    finally:
        os.environ["PATH"] = before
        shutil.rmtree(folder)
