"""Which disk may be written: exactly the one that is meant, and only if nobody uses it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from provisioner.agent.disk import OpenDisk, check_open, choose_disk, opened_exclusively
from provisioner.errors import DiskChoiceError
from provisioner.model.hardware import Disk, DiskRef, Transport
from tests.unit.agent.conftest import MIB, make_disk

REF = DiskRef.of(make_disk())


def test_the_disk_is_found_under_any_name() -> None:
    other = make_disk("sda", serial="OTHER")
    assert choose_disk(REF, (other, make_disk("sdz"))).name == "sdz"


@pytest.mark.parametrize(
    "change",
    [
        {"serial": "S-2"},
        {"size": 16 * MIB - 512},
        {"model": "OTHER"},
        {"transport": Transport.IDE},
        {"wwn": "0x5000"},
    ],
)
def test_a_disk_that_differs_in_anything_is_not_it(change: dict[str, Any]) -> None:
    size = change.pop("size", 16 * MIB)
    with pytest.raises(DiskChoiceError):
        choose_disk(REF, (make_disk("sda", size, **change),))


def test_two_that_look_the_same_are_a_question() -> None:
    with pytest.raises(DiskChoiceError, match="2 disks look the same"):
        choose_disk(REF, (make_disk("sda"), make_disk("sdb")))


@pytest.mark.parametrize("change", [{"removable": True}, {"read_only": True}, {"in_use": True}])
def test_a_disk_that_must_not_be_touched_is_refused(change: dict[str, Any]) -> None:
    disk = make_disk("sda", **change)
    with pytest.raises(DiskChoiceError, match="must not be written"):
        choose_disk(DiskRef.of(disk), (disk,))


def test_usb_is_never_written_even_if_ordered() -> None:
    disk = make_disk("sda", transport=Transport.USB)
    with pytest.raises(DiskChoiceError, match="USB"):
        choose_disk(DiskRef.of(disk), (disk,))


def test_the_hint_names_a_disk_that_shrank() -> None:
    with pytest.raises(DiskChoiceError) as caught:
        choose_disk(REF, (make_disk("sda", 8 * MIB),))
    assert str(8 * MIB) in caught.value.hint


def test_a_disk_that_was_exchanged_while_opening_is_refused(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(16 * MIB))
    found = iter((make_disk(), make_disk("sdb")))
    with (
        pytest.raises(DiskChoiceError, match="changed"),
        opened_exclusively(REF, lambda _ref: next(found), tmp_path),
    ):
        pytest.fail("was opened")


def test_a_device_of_another_size_than_listed_is_refused(target: OpenDisk) -> None:
    listed = make_disk(size=32 * MIB)
    with pytest.raises(DiskChoiceError, match="bytes"):
        check_open(target.handle, listed, listed)


def test_nothing_is_written_by_looking(tmp_path: Path) -> None:
    content = os.urandom(16 * MIB)
    (tmp_path / "disk.img").write_bytes(content)

    def gone(_ref: DiskRef) -> Disk:
        raise DiskChoiceError("gone")

    with pytest.raises(DiskChoiceError), opened_exclusively(REF, gone, tmp_path):
        pytest.fail("was opened")
    assert (tmp_path / "disk.img").read_bytes() == content
