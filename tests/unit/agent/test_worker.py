"""What a record says of an error: a kind that the station knows, and what to do."""

from __future__ import annotations

import errno

import pytest

from provisioner import errors
from provisioner.agent.worker import explain
from provisioner.swarm.fetch import CutShortError


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.UnreachableError("silent"), "UnreachableError"),
        (CutShortError("system.squashfs: ended 30000 bytes early"), "UnreachableError"),
        (errors.DiskFaultError("did not keep"), "DiskFaultError"),
        (OSError(errno.EIO, "Input/output error"), "DiskFaultError"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError"),
    ],
)
def test_the_kind_is_one_that_the_station_knows(error: Exception, kind: str) -> None:
    """A broken line means “interrupted, tried again”, however exactly it broke."""
    told = explain(error)
    assert told.kind == kind
    assert str(error.args[-1]) in told.message
