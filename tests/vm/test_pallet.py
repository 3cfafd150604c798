"""The pallet of 25 as real guests, one after another; the gate uses reports made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.model.hardware import Hardware
from provisioner.model.identity import identifiers
from provisioner.model.signed import PrivateKey
from provisioner.release.catalog import Catalog
from tests.integration.test_pallet import Doors, live_through, reports
from tests.vm.pallet import ask, make_initrd, pallet
from tests.vm.test_boot_paths import live

__all__ = ["live"]  # the fixture
pytestmark = [pytest.mark.vm, pytest.mark.long]


def test_25_guests_that_name_themselves_badly(
    live: tuple[Catalog, PrivateKey],
    tmp_path: Path,
) -> None:
    catalog, _ = live
    release = catalog.folder(catalog.get("live").id)
    initrd = make_initrd(release, tmp_path)
    told = [ask(guest, release / "vmlinuz", initrd, tmp_path) for guest in pallet()]
    real = [Hardware.model_validate(report) for report in told]
    for seen, made in zip(real, reports(), strict=True):
        assert identifiers(seen) == identifiers(made)
        assert [nic.usb for nic in seen.nics] == [nic.usb for nic in made.nics]
    doors = Doors(tmp_path, 25)
    try:
        outcome = live_through(doors, real, 3)
    finally:
        doors.close()
    assert len(set(outcome.tags)) == 25
    assert (outcome.wrong_merges, outcome.lost) == (0, 0), outcome
