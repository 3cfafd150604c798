"""The ledger of all faults, shown at the end; a mount namespace of our own; a machine a test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.vm.faults.desk import DISK_BYTES, Desk
from tests.vm.faults.ledger import Ledger
from tests.vm.faults.shaky_disk import ShakyDisk

CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000  # linux/sched.h, linux/mount.h
LEDGER = pytest.StashKey[Ledger]()
RESULTS = "RESULTS"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Not part of `make test` yet: how long they take on a quiet computer was not measured."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.long)


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
    libc = ctypes.CDLL(None, use_errno=True)
    folder = Path.cwd()
    before = os.open("/proc/self/ns/mnt", os.O_RDONLY)
    private = ctypes.c_ulong(MS_REC | MS_PRIVATE)
    if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, private, None):
        pytest.skip(f"no mount namespace here: {os.strerror(ctypes.get_errno())}")
    yield
    # Refused while a thread of a closed station still ends; what is left then is a copy.
    until = time.monotonic() + 5
    while libc.setns(before, CLONE_NEWNS) and time.monotonic() < until:
        time.sleep(0.1)
    os.close(before)
    os.chdir(folder)


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
