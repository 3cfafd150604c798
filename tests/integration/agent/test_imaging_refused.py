"""What is refused before a byte is written, or told plainly."""

from __future__ import annotations

import contextlib
import os
import shutil

import pytest

from provisioner.agent import image, mounting
from provisioner.agent.journey import Journey
from provisioner.errors import (
    DiskChoiceError,
    ImageMismatchError,
    NotFoundError,
    ProvisionerError,
    UntrustedError,
)
from provisioner.model.order import ImageWork
from provisioner.model.release import KERNEL, Minimum, ReleaseKind
from provisioner.model.signed import PrivateKey
from provisioner.run import run
from tests.integration.agent.bench import Bench

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for loop devices and mounts"),
]


def test_an_unsigned_manifest_is_refused_before_a_byte(bench: Bench) -> None:
    bench.sign(PrivateKey.generate())
    with pytest.raises(UntrustedError):
        bench.image()
    assert bench.untouched()


def test_another_manifest_than_ordered_is_refused_before_a_byte(bench: Bench) -> None:
    order = bench.station.order(bench.work, machine_key=bench.home.key.public)
    assert isinstance(order.work, ImageWork)
    bench.manifest = bench.manifest.model_copy(update={"number": 2})
    bench.sign(bench.station.key)
    with pytest.raises(UntrustedError):
        image.image(order, order.work, bench.home, Journey(image.STEPS), lambda *_: None)
    assert bench.untouched()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"kind": ReleaseKind.LIVE}, UntrustedError),
        ({"name": "other"}, UntrustedError),
        ({"minimum": Minimum(memory_mib=2**23, disk_mb=1)}, DiskChoiceError),
        ({"minimum": Minimum(memory_mib=1, disk_mb=10**6)}, DiskChoiceError),
        ({"files": ()}, ImageMismatchError),
    ],
)
def test_a_release_that_does_not_fit_is_refused_before_a_byte(
    bench: Bench, change: dict[str, object], error: type[ProvisionerError]
) -> None:
    bench.manifest = bench.manifest.model_copy(update=change)
    bench.sign(bench.station.key)
    with pytest.raises(error):
        bench.image()
    assert bench.untouched()


def test_a_release_that_was_withdrawn_is_told(bench: Bench) -> None:
    shutil.move(bench.release / KERNEL, bench.folder)
    with pytest.raises(NotFoundError):
        bench.image()


def test_mounts_that_a_killed_agent_left_are_removed(bench: Bench) -> None:
    bench.image()
    point = mounting.ROOT / "system"
    run(["mount", bench.nodes[3], point], timeout_s=20)
    with contextlib.suppress(ProvisionerError):
        mounting.release_leftovers()
    assert mounting.mounts_below(point, mounting.MOUNTINFO.read_text()) == []
