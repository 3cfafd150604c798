"""Who is this machine? Placeholders say nothing, and one shared value is not enough."""

from __future__ import annotations

import pytest

from provisioner.model.identity import Identifiers, is_placeholder, same_machine


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "To be filled by O.E.M.", "TO BE FILLED BY O.E.M.", "Default string",
        "System Serial Number", "00000000-0000-0000-0000-000000000000",
        "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE",
        "03000200-0400-0500-0006-000700080009", ".......", "0", "None", "123456789", "xxxxxxxx",
    ],
)  # fmt: skip
def test_placeholders(value: str) -> None:
    assert is_placeholder(value)


@pytest.mark.parametrize("value", ["CZC4301ABC", "4c4c4544-0042-3510-8051-b7c04f564431"])
def test_real_values(value: str) -> None:
    assert not is_placeholder(value)


def known(**values: object) -> Identifiers:
    return Identifiers.model_validate(values)


def test_a_shared_network_address_is_the_same_machine() -> None:
    assert same_machine(known(macs={"m1", "m2"}), known(macs={"m2"}))


def test_one_shared_serial_is_not_enough_and_two_are() -> None:
    one = known(board_serial="B1", disks={"D1"}, macs={"m1"})
    assert not same_machine(one, known(board_serial="B1", macs={"m2"}))
    assert not same_machine(one, known(disks={"D1"}, macs={"m2"}))
    assert same_machine(one, known(board_serial="B1", disks={"D1"}, macs={"m2"}))


def test_different_uuids_are_different_machines() -> None:
    assert not same_machine(known(uuid="u1", macs={"m"}), known(uuid="u2", macs={"m"}))


def test_nothing_known_matches_nothing() -> None:
    assert not same_machine(known(), known())
