"""Fixtures of the tests that image a disk."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.agent import image, mounting, partition, target
from provisioner.agent.disk import opened_exclusively
from provisioner.model.release import ReleaseKind
from provisioner.release.build import list_carried
from tests import mounts
from tests.integration.agent.bench import Bench, kernel_knows


@pytest.fixture(scope="module", autouse=True)
def own_mounts() -> Iterator[None]:
    """A mount namespace of our own: a copy that another program takes of the common one would
    keep our file systems busy after we unmounted them."""
    try:
        with mounts.own_mounts():
            yield
    except mounts.NoNamespaceError as error:
        pytest.skip(f"no mount namespace here: {error}")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    (tmp_path / "served").mkdir()
    made = Bench(tmp_path)
    opened = functools.partial(opened_exclusively, find=lambda _ref: made.disk, dev=tmp_path)
    for user in (image, target):
        monkeypatch.setattr(user, "opened_exclusively", opened)
    monkeypatch.setattr(mounting, "ROOT", tmp_path / "mnt")
    if not kernel_knows("vfat"):  # a small kernel; the virtual PCs test FAT
        monkeypatch.setitem(partition.KINDS, "ESP", "ext4")
    monkeypatch.setattr(partition, "wait_for_kernel", made.attach)
    monkeypatch.setattr(partition, "partition_device", lambda _disk, n: made.nodes[n])
    path = os.environ["PATH"]
    yield made
    os.environ["PATH"] = path
    made.close()


@pytest.fixture
def carried(bench: Bench) -> Bench:
    """The same release with a torrent, as the builder publishes it."""
    files = list_carried(bench.release, bench.manifest.id, ReleaseKind.SYSTEM)
    bench.manifest = bench.manifest.model_copy(update={"files": files})
    bench.sign(bench.station.key)
    return bench
