"""Which disk, in machines full of disks, whatever order Linux finds them in.

Rows are what the real lsblk prints for the sysfs trees of `tests.topologies`; that a part may be
a target is said there by a person. `tests/integration/agent/test_topologies.py` writes.
"""

from __future__ import annotations

import itertools
import json

import pytest

from provisioner.agent.disk import choose_disk as find_again
from provisioner.agent.lsblk import parse_lsblk
from provisioner.errors import DiskChoiceError
from provisioner.model.batch import DiskRule
from provisioner.model.hardware import Disk, DiskRef
from provisioner.stages.choose_disk import choose_disk
from tests.topologies import CORE, PARTS, SAMPLE, names_of, serial_of, topologies

ROWS = json.loads(SAMPLE.read_text())
MINIMUM = 1_000_000
ALL = topologies()


def disks_in(order: tuple[str, ...]) -> tuple[Disk, ...]:
    names = names_of(order)
    rows = [{**ROWS[part], "name": names[part], "kname": names[part]} for part in order]
    return parse_lsblk(json.dumps({"blockdevices": rows}))


def expected(order: tuple[str, ...], rule: DiskRule) -> set[str]:
    """Who may be chosen: by what the parts are, not by how the program sees them."""
    may = {part for part in order if PARTS[part].may}
    if rule is DiskRule.SOLID_STATE:
        return {part for part in may if not PARTS[part].rotating}
    return may


def test_there_are_enough_of_them_and_every_kind_stands_in_every_place() -> None:
    assert len(ALL) == len(set(ALL)) >= 64
    for part, place in itertools.product(CORE, range(3)):
        assert any(order[place] == part for order in ALL)
    assert {part for order in ALL for part in order} == set(PARTS)


@pytest.mark.parametrize("rule", [DiskRule.ONLY, DiskRule.SOLID_STATE])
def test_what_may_be_chosen_is_chosen_and_nothing_else(rule: DiskRule) -> None:
    chosen = 0
    for order in ALL:
        may = expected(order, rule)
        try:
            ref = choose_disk(disks_in(order), rule, MINIMUM)
        except DiskChoiceError:
            assert len(may) != 1, order
            continue
        assert {serial_of(part) for part in may} == {ref.serial}, order
        chosen += 1
    assert chosen >= 64


def test_an_order_means_the_same_disk_in_every_order_of_enumeration() -> None:
    for order in ALL:
        for part in (part for part in order if PARTS[part].may):
            (meant,) = (d for d in disks_in(order) if d.serial == serial_of(part))
            for again in itertools.permutations(order):
                found = find_again(DiskRef.of(meant), disks_in(again))
                assert found.serial == meant.serial
                assert found.name == names_of(again)[part]


def test_a_disk_that_is_gone_is_replaced_by_no_other() -> None:
    for order in ALL:
        for part in (part for part in order if PARTS[part].may):
            (meant,) = (d for d in disks_in(order) if d.serial == serial_of(part))
            rest = tuple(one for one in order if one != part)
            with pytest.raises(DiskChoiceError, match="not here now"):
                find_again(DiskRef.of(meant), disks_in(rest))
            with pytest.raises(DiskChoiceError, match="not there"):
                choose_disk(disks_in(rest), DiskRule.LARGEST, MINIMUM, DiskRef.of(meant))


@pytest.mark.parametrize("part", [part for part, what in PARTS.items() if not what.may])
def test_what_may_never_be_a_target_alone_in_a_machine_is_a_question(part: str) -> None:
    for rule in DiskRule:
        with pytest.raises(DiskChoiceError):
            choose_disk(disks_in((part,)), rule, MINIMUM)


def test_removable_and_usb_disks_are_not_written_even_if_an_order_names_them() -> None:
    for part in ("stick", "card", "usb-disk"):
        (disk,) = disks_in((part,))
        with pytest.raises(DiskChoiceError, match="must not be written"):
            find_again(DiskRef.of(disk), (disk,))
