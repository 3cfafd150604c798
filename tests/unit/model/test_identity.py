"""Who is this machine? Placeholders say nothing, and one shared value is not enough."""

from __future__ import annotations

import pytest

from provisioner.model.hardware import Firmware, Hardware, Smbios
from provisioner.model.identity import (
    Identifiers,
    Likeness,
    compare,
    identifiers,
    is_placeholder,
    same_machine,
)


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


PC = {"uuid": "u", "system_serial": "s", "board_serial": "b", "macs": {"m1", "m2"}, "disks": {"d"}}


@pytest.mark.parametrize(
    ("other", "likeness"),
    [
        (PC, "same"),
        ({**PC, "disks": {"x"}}, "same"),  # another disk
        ({**PC, "macs": {"x"}}, "same"),  # another network card
        ({**PC, "macs": {"m1", "x"}, "disks": set()}, "same"),
        ({**PC, "uuid": "x"}, "same"),  # firmware that changes its UUID
        ({**PC, "macs": {"x"}, "disks": {"x"}}, "doubtful"),  # a BIOS copied to another board
        ({**PC, "uuid": "x", "board_serial": "x", "macs": {"x"}}, "doubtful"),  # another board
        # card and disk have moved together to a board that says it is another one
        ({**PC, "uuid": "x", "system_serial": "x", "board_serial": "x"}, "doubtful"),
        ({"macs": {"m1"}, "disks": {"x"}}, "doubtful"),  # a card that moved to a nameless board
        ({"macs": {"x"}, "disks": {"d"}}, "doubtful"),  # a disk that moved to one
        ({"disks": {"d"}}, "doubtful"),
        ({"macs": {"m1"}}, "same"),
        ({"uuid": "u"}, "same"),
        ({"uuid": "x", "macs": {"x"}, "disks": {"x"}}, "other"),
        ({}, "other"),
    ],
)
def test_what_two_registrations_are(other: dict[str, object], likeness: str) -> None:
    assert compare(known(**PC), known(**other)).value == likeness
    assert compare(known(**other), known(**PC)).value == likeness


def test_a_disk_alone_identifies_only_what_has_nothing_else() -> None:
    assert compare(known(disks={"d"}), known(disks={"d"})) is Likeness.SAME


def test_the_byte_order_of_a_uuid_does_not_matter() -> None:
    """The same board as SMBIOS 2.4 and 2.6 readers print it."""
    one, other = (
        identifiers(
            Hardware(smbios=Smbios(uuid=uuid), firmware=Firmware.BIOS, cpu_threads=1, memory_mib=1)
        ).uuid
        for uuid in (
            "4C4C4544-0034-4A10-8051-B7C04F4D344A", "44454c4c-3400-104a-8051-b7c04f4d344a",
        )
    )  # fmt: skip
    assert one == other != ""
