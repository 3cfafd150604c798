"""The ledger of all faults, shown at the end; a mount namespace of our own; a machine a test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import mounts
from tests.vm.faults.desk import DISK_BYTES, Desk
from tests.vm.faults.ledger import Ledger
from tests.vm.faults.shaky_disk import ShakyDisk

LEDGER = pytest.StashKey[Ledger]()
RESULTS = "RESULTS"


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    """Every case of this run is written here."""
    return pytestconfig.stash.setdefault(LEDGER, Ledger())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    found = config.stash.get(LEDGER, None)
    if found is None:
        return
    terminalreporter.section("faults")
    for line in found.table():
        terminalreporter.line(line)
    if os.environ.get(RESULTS):
        found.write(Path(os.environ[RESULTS]))


@pytest.fixture(scope="module")
def own_mounts() -> Iterator[None]:
    """A copy that another program takes of the common mounts would keep ours busy."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("needs root and /dev/fuse")
    try:
        with mounts.own_mounts():
            yield
    except mounts.NoNamespaceError as error:
        pytest.skip(f"no mount namespace here: {error}")


MakeDesk = Callable[..., Desk]


@pytest.fixture(scope="module")
def make_desk(own_mounts: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeDesk]:
    """Makes a station with a machine whose disk has `size` bytes; all gone at the end."""
    with contextlib.ExitStack() as stack:

        def make(size: int = DISK_BYTES, sector: int = 512, **policy: Any) -> Desk:
            folder = tmp_path_factory.mktemp("desk")
            disk = stack.enter_context(ShakyDisk(folder / "disk", size, sector))
            desk = Desk(folder, disk, **policy)
            stack.callback(desk.close)
            return desk

        yield make
