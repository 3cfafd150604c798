"""Who is it? Parts that are exchanged, and questions that only a person can answer."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from provisioner.errors import NotFoundError, UntrustedError, WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.hardware import Hardware, Nic, Smbios
from provisioner.model.wire import Tone
from provisioner.store.tables import EventRow, MachineRow
from provisioner.workshop import recognition
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.unit.workshop.robot import Robot, disk, hardware

PLAIN_BOARD = Smbios(uuid="03000200-0400-0500-0006-000700080009", system_serial="Default string")


def events(station: Station) -> dict[str, dict[str, object]]:
    with station.database.reading() as session:
        return {row.kind: row.data for row in session.scalars(select(EventRow))}


def machines(station: Station) -> list[tuple[str | None, str]]:
    with station.database.reading() as session:
        rows = session.scalars(select(MachineRow).order_by(MachineRow.id))
        return [(row.asset_tag, row.milestone) for row in rows]


def answer(station: Station, number: int, tag: str | None) -> None:
    with station.database.transaction() as session:
        recognition.say_who(station, session, number, tag, "test")


def other_board(number: int, like: Hardware) -> Hardware:
    """The same disk on a board that shares nothing."""
    return hardware(number, disks=like.disks)


def test_another_disk_and_another_card_are_recognised(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    assert Robot(dialogue, hardware(1, disks=(disk("NEW-1"),))).register().asset_tag == "PC-0001"
    card = (Nic(name="eth0", mac="02:00:00:00:07:07"),)
    changed = hardware(1, disks=(disk("NEW-1"),), nics=card)
    assert Robot(dialogue, changed).register().asset_tag == "PC-0001"
    assert events(station)["disk-replaced"] == {"old": "WD-00001", "new": "NEW-1"}
    assert events(station)["network-replaced"]["new"] == "02:00:00:00:07:07"


def test_a_disk_that_moves_between_known_machines_is_an_event(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    one, two = hardware(1), hardware(2)
    Robot(dialogue, one).register()
    Robot(dialogue, two).register()
    both = hardware(2, disks=(*two.disks, *one.disks))
    assert Robot(dialogue, both).register().asset_tag == "PC-0002"
    assert events(station)["disk-moved"] == {"disk": "WD-00001", "origin": "PC-0001"}
    assert Robot(dialogue, hardware(1, disks=())).register().asset_tag == "PC-0001"


def test_a_known_disk_on_an_unknown_board_waits_for_a_person(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    robot = Robot(dialogue, other_board(9, hardware(1)))
    reply = robot.register()
    assert (reply.asset_tag, reply.screen.tone) == ("", Tone.ASK)
    assert robot.order() is None
    # Switched off and on again, it is the same question, not a second one.
    Robot(dialogue, other_board(9, hardware(1))).register()
    assert machines(station) == [("PC-0001", "enrolled"), (None, "unknown")]


def test_the_answer_that_its_board_was_replaced(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    earlier = Robot(dialogue, hardware(1))
    earlier.register()
    robot = Robot(dialogue, other_board(9, hardware(1)))
    robot.register()
    answer(station, 2, "pc-0001")
    assert machines(station) == [("PC-0001", Milestone.ENROLLED)]
    assert robot.poll().asset_tag == "PC-0001"
    assert "board-replaced" in events(station)
    with pytest.raises(UntrustedError):
        earlier.poll()
    again = Robot(dialogue, other_board(9, hardware(1))).register()
    assert again.asset_tag == "PC-0001"


def test_a_nameless_board_in_the_place_of_another_is_an_event_too(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    """Boards without any serial are common; with it came another network card."""
    Robot(dialogue, hardware(1)).register()
    Robot(dialogue, hardware(9, disks=hardware(1).disks, smbios=PLAIN_BOARD)).register()
    answer(station, 2, "PC-0001")
    assert events(station)["board-replaced"]["old"]
    assert machines(station) == [("PC-0001", Milestone.ENROLLED)]


def test_firmware_that_forgot_its_serial_is_no_new_board(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    assert Robot(dialogue, hardware(1, smbios=PLAIN_BOARD)).register().asset_tag == "PC-0001"
    assert "board-replaced" not in events(station)


def test_a_mistyped_tag_is_answered_with_the_nearest(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    Robot(dialogue, other_board(9, hardware(1))).register()
    with pytest.raises(NotFoundError) as caught:
        answer(station, 2, "pc-0010")
    assert caught.value.hint == "Did you mean “PC-0001”?"


def test_the_answer_that_the_disk_was_moved(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    robot = Robot(dialogue, other_board(9, hardware(1)))
    robot.register()
    answer(station, 2, None)
    order = robot.order()
    assert order is not None and order.machine == "PC-0002"
    assert events(station)["disk-moved"]["origin"] == "PC-0001"
    assert Robot(dialogue, hardware(1, disks=())).register().asset_tag == "PC-0001"


def test_only_a_question_can_be_answered(station: Station, dialogue: Dialogue, batch: str) -> None:
    Robot(dialogue, hardware(1)).register()
    Robot(dialogue, other_board(9, hardware(1))).register()
    for number, tag, error in ((1, None, WrongStateError), (7, None, NotFoundError),
                               (2, "PC-0009", NotFoundError)):  # fmt: skip
        with pytest.raises(error):
            answer(station, number, tag)
    assert len(machines(station)) == 2


def test_a_series_with_one_uuid_is_told_apart_by_its_addresses(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    """Placeholders say nothing, so nobody is asked."""
    for number in (1, 2, 3, 1, 2, 3):
        reply = Robot(dialogue, hardware(number, smbios=PLAIN_BOARD)).register()
        assert reply.asset_tag == f"PC-{number:04d}"


def test_a_dongle_that_travels_makes_no_machine(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    dongle = Nic(name="usb0", mac="00:50:b6:00:00:01", usb=True)
    for number in (1, 2, 1):
        parts = hardware(number, nics=(dongle,))
        assert Robot(dialogue, parts).register().asset_tag == f"PC-{number:04d}"
