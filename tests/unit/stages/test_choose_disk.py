"""Which disk is used: by rule, and not at all when in doubt."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from provisioner.errors import DiskChoiceError
from provisioner.model.batch import DiskRule
from provisioner.model.hardware import Disk, DiskRef, Transport
from provisioner.stages.choose_disk import choose_disk

GB = 10**9
MINIMUM = 4 * GB


def disk(serial: str = "S1", **changes: Any) -> Disk:
    values = {
        "name": "sda", "serial": serial, "model": "disk", "size_bytes": 16 * GB,
        "logical_sector_bytes": 512, "physical_sector_bytes": 512,
        "transport": Transport.SATA, "removable": False, "rotational": True,
    }  # fmt: skip
    return Disk.model_validate({**values, **changes})


STICK = disk("STICK", transport=Transport.USB, removable=True, size_bytes=64 * GB)
SSD = disk("NVME", transport=Transport.NVME, rotational=False, size_bytes=8 * GB)
HDD = disk("HDD-1", size_bytes=500 * GB)


def test_the_only_internal_disk_is_taken() -> None:
    assert choose_disk([STICK, HDD], DiskRule.ONLY, MINIMUM).serial == "HDD-1"


@pytest.mark.parametrize("order", list(itertools.permutations([STICK, SSD, HDD])))
def test_two_candidates_without_a_rule_are_a_question(order: tuple[Disk, ...]) -> None:
    with pytest.raises(DiskChoiceError, match="does not say which") as caught:
        choose_disk(order, DiskRule.ONLY, MINIMUM)
    assert "HDD" in caught.value.message and "NVME" in caught.value.message


@pytest.mark.parametrize("order", list(itertools.permutations([STICK, SSD, HDD])))
@pytest.mark.parametrize(
    ("rule", "serial"),
    [
        (DiskRule.SOLID_STATE, "NVME"),
        (DiskRule.SMALLEST, "NVME"),
        (DiskRule.LARGEST, "HDD-1"),
    ],
)
def test_a_rule_decides_whatever_the_order(
    order: tuple[Disk, ...], rule: DiskRule, serial: str
) -> None:
    assert choose_disk(order, rule, MINIMUM).serial == serial


@pytest.mark.parametrize(
    "changes",
    [
        {"transport": Transport.USB},
        {"removable": True},
        {"transport": Transport.MMC},
        {"transport": Transport.UNKNOWN},
        {"read_only": True},
        {"in_use": True},
        {"size_bytes": MINIMUM - 512},
        {"size_bytes": 0},
    ],
)
def test_what_is_never_a_candidate(changes: dict[str, Any]) -> None:
    with pytest.raises(DiskChoiceError, match="No disk can be used"):
        choose_disk([disk(**changes)], DiskRule.LARGEST, MINIMUM)


def test_a_disk_of_exactly_the_minimum_is_enough() -> None:
    assert choose_disk([disk(size_bytes=MINIMUM)], DiskRule.ONLY, MINIMUM).serial == "S1"


def test_twins_that_cannot_be_told_apart_are_refused() -> None:
    twins = [disk("", name="sda"), disk("", name="sdb")]
    with pytest.raises(DiskChoiceError, match="not to be told"):
        choose_disk(twins, DiskRule.LARGEST, MINIMUM)


def test_the_wanted_ssd_is_dead_and_the_hdd_is_not_taken_instead() -> None:
    with pytest.raises(DiskChoiceError):
        choose_disk([HDD], DiskRule.SOLID_STATE, MINIMUM)


def test_an_answer_holds_only_while_exactly_that_disk_is_there() -> None:
    answer = DiskRef.of(SSD)
    assert choose_disk([SSD, HDD], DiskRule.ONLY, MINIMUM, answer) == answer
    for disks in ([HDD], [SSD, SSD], [disk("NVME", transport=Transport.NVME)]):
        with pytest.raises(DiskChoiceError, match="not there"):
            choose_disk(disks, DiskRule.ONLY, MINIMUM, answer)


def test_a_machine_without_disks_says_so() -> None:
    with pytest.raises(DiskChoiceError, match="no disk at all"):
        choose_disk([], DiskRule.ONLY, MINIMUM)
