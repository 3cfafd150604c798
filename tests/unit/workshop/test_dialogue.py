"""The dialogue with machines: the whole path, and everything that must be refused on it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from provisioner.errors import NotFoundError, UntrustedError
from provisioner.lifecycle import MAX_INTERRUPTIONS, Milestone, RunState
from provisioner.model.batch import DiskRule, Policy
from provisioner.model.hardware import Transport
from provisioner.model.order import ImageWork, WipeWork
from provisioner.model.record import Problem
from provisioner.model.release import Manifest
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import PollRequest, Progress, Surroundings, Tone
from provisioner.netboot.menus import BootAction
from provisioner.store.tables import EventRow, MachineRow, RunRow
from provisioner.workshop import desk
from provisioner.workshop.boot import decide_boot
from provisioner.workshop.dialogue import Dialogue
from provisioner.workshop.station import Station
from tests.unit.workshop.conftest import open_batch
from tests.unit.workshop.robot import Robot, disk, hardware, honest, imaged, wiped


def machine(station: Station, number: int = 1) -> MachineRow:
    with station.database.transaction() as session:
        return session.get_one(MachineRow, number)


def events(station: Station) -> list[str]:
    with station.database.transaction() as session:
        return list(session.scalars(select(EventRow.kind).order_by(EventRow.id)))


def test_a_machine_goes_from_power_on_to_imaged(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    assert robot.register().asset_tag == "PC-0001"
    assert robot.work_until_imaged(manifest) == ["diagnose", "wipe", "image", "restart"]
    row = machine(station)
    assert row.milestone == Milestone.IMAGED
    assert (row.release, row.installed_key) == ("lab@2026.1", robot.installed_key.public)


def test_without_an_open_batch_a_machine_waits_and_joins_later(
    station: Station, dialogue: Dialogue
) -> None:
    robot = Robot(dialogue, hardware())
    assert robot.register().asset_tag == ""
    assert robot.order() is None
    open_batch(station)
    order = robot.order()
    assert order is not None and order.work.verb == "diagnose"


def test_the_batch_takes_no_more_than_its_number(station: Station, dialogue: Dialogue) -> None:
    open_batch(station, size=1)
    assert Robot(dialogue, hardware(1)).register().asset_tag == "PC-0001"
    late = Robot(dialogue, hardware(2)).register()
    assert (late.asset_tag, late.screen.tone) == ("", Tone.ASK)


def test_an_order_is_offered_again_until_it_is_answered(dialogue: Dialogue, batch: str) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    first, second = robot.order(), robot.order()
    assert first is not None and second is not None
    assert first.id == second.id


def test_a_record_sent_twice_counts_once(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    order = robot.order()
    assert order is not None
    robot.send(order, honest(order, manifest, robot.installed_key.public))
    robot.send(order, problem=Problem(kind="late", message="a second word"))
    assert machine(station).milestone == Milestone.DIAGNOSED


def test_a_request_played_again_is_refused(dialogue: Dialogue, batch: str) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    recorded = robot.key.seal(PollRequest(counter=robot.count())).encode()
    dialogue.poll(recorded, "10.77.0.9")
    with pytest.raises(UntrustedError, match="used before"):
        dialogue.poll(recorded, "10.77.0.66")


def test_a_stranger_must_register_first(dialogue: Dialogue, batch: str) -> None:
    with pytest.raises(NotFoundError):
        Robot(dialogue, hardware()).poll()


def test_an_unsigned_or_altered_request_is_refused(dialogue: Dialogue) -> None:
    robot = Robot(dialogue, hardware())
    sealed = robot.key.seal(PollRequest(counter=1))
    for body in (b"{}", b"", sealed.replace('"sig":"', '"sig":"A').encode()):
        with pytest.raises(UntrustedError):
            dialogue.poll(body, "10.77.0.9")


def test_nobody_can_answer_for_another_machine(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    victim, thief = Robot(dialogue, hardware(1)), Robot(dialogue, hardware(2))
    victim.register()
    thief.register()
    order = victim.order()
    assert order is not None
    thief.send(order, honest(order, manifest, thief.installed_key.public))
    assert machine(station).milestone == Milestone.ENROLLED
    assert "record-refused" in events(station)


def test_an_installed_agent_must_use_the_key_it_was_imaged_with(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    robot.work_until_imaged(manifest)
    installed = Surroundings.INSTALLED
    with pytest.raises(UntrustedError, match="imaged with this key"):
        Robot(dialogue, hardware(), surroundings=installed).register()
    mine = Robot(dialogue, hardware(), key=robot.installed_key, surroundings=installed)
    assert mine.register().asset_tag == "PC-0001"


def test_the_milestone_is_lowered_before_the_disk_is_touched(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    robot.work_until_imaged(manifest)
    with station.database.transaction() as session:
        from provisioner.lifecycle import Verb

        desk.redo(station, session, "PC-0001", Verb.WIPE, "test")
    order = robot.order()
    assert order is not None and isinstance(order.work, WipeWork)
    assert machine(station).milestone == Milestone.DIAGNOSED


def test_a_restart_interrupts_and_the_stage_is_tried_again(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    first = Robot(dialogue, hardware())
    first.register()
    cut = first.order()
    again = Robot(dialogue, hardware())
    assert again.register().asset_tag == "PC-0001"
    order = again.order()
    assert cut is not None and order is not None
    assert order.id != cut.id and order.machine_key == again.key.public
    with pytest.raises(UntrustedError, match="taken this key's place"):
        first.poll()


def test_interruptions_end_in_a_persons_hand(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    for _ in range(MAX_INTERRUPTIONS + 1):
        robot = Robot(dialogue, hardware())
        robot.register()
        order = robot.order()
    assert order is None
    assert robot.poll().screen.tone is Tone.FAIL
    with station.database.transaction() as session:
        desk.try_again(station, session, "PC-0001", "test")
    # A person vouched for the cables; the count of interruptions starts anew.
    assert robot.order() is not None


def lie(order: Any, manifest: Manifest, key: str, stage: str) -> Any:
    """Honest evidence, but for one lie at `stage`."""
    work = order.work
    if stage == "wipe" and isinstance(work, WipeWork):
        return wiped(work, bytes_written=0)
    if stage == "image" and isinstance(work, ImageWork):
        return imaged(work, manifest, key, read_back=())
    return honest(order, manifest, key)


@pytest.mark.parametrize(
    ("stage", "stands_at"), [("wipe", Milestone.DIAGNOSED), ("image", Milestone.WIPED)]
)
def test_evidence_that_proves_nothing_stops_the_machine(
    station: Station,
    dialogue: Dialogue,
    batch: str,
    manifest: Manifest,
    stage: str,
    stands_at: Milestone,
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    while (order := robot.order()) is not None:
        robot.send(order, lie(order, manifest, robot.installed_key.public, stage))
    row = machine(station)
    assert row.milestone == stands_at and row.needs_hand is not None
    assert robot.poll().screen.tone is Tone.FAIL


def test_the_wrong_kind_of_evidence_is_none(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    order = robot.order()
    assert order is not None
    target = disk("WD-00001")
    from provisioner.model.hardware import DiskRef

    robot.send(order, wiped(WipeWork(disk=DiskRef.of(target), samples=4)))
    assert machine(station).milestone == Milestone.ENROLLED


def test_two_disks_without_a_rule_wait_for_a_person(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    two = hardware(disks=(disk("WD-00001"), disk("WD-00002", name="sdb")))
    robot = Robot(dialogue, two)
    robot.register()
    assert robot.order() is None
    assert robot.poll().screen.tone is Tone.ASK
    with station.database.transaction() as session:
        desk.use_disk(station, session, "PC-0001", "WD-00002", "test")
    order = robot.order()
    assert order is not None and order.work.target.serial == "WD-00002"  # type: ignore[union-attr]


def test_the_rule_of_the_batch_chooses_and_the_choice_stays(
    station: Station, dialogue: Dialogue, manifest: Manifest
) -> None:
    open_batch(station, policy=Policy(disk=DiskRule.SOLID_STATE))
    ssd = disk("SSD-0001", rotational=False, transport=Transport.NVME, name="nvme0n1")
    robot = Robot(dialogue, hardware(disks=(disk("WD-00001"), ssd)))
    robot.register()
    order = robot.order()
    assert order is not None
    robot.send(order, honest(order, manifest, robot.installed_key.public))
    # The solid-state disk dies; the rule would have no candidate, another rule would take the
    # hard disk: neither happens.
    gone = Robot(dialogue, hardware(disks=(disk("WD-00001"),)))
    gone.register()
    assert gone.order() is None
    assert "not there" in gone.poll().screen.hint_en


def test_the_network_menu_sends_a_finished_machine_to_its_disk(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    mac = "02:00:00:00:00:01"

    def action(address: str) -> BootAction:
        with station.database.reading() as session:
            decision = decide_boot(session, station.settings, address)
        assert (decision.esp_uuid == "AB12-CD34") is (decision.action is BootAction.LOCAL)
        return decision.action

    robot = Robot(dialogue, hardware())
    robot.register()
    assert action(mac) is BootAction.LIVE
    robot.work_until_imaged(manifest)
    assert action(mac) is BootAction.LOCAL
    assert action("02:00:00:00:00:99") is BootAction.LIVE


def test_a_machine_that_never_reaches_its_disk_asks_for_help(
    station: Station, dialogue: Dialogue, batch: str, manifest: Manifest
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    robot.work_until_imaged(manifest)
    for _ in range(6):
        robot = Robot(dialogue, hardware())
        robot.register()
        order = robot.order()
        if order is None:
            break
        assert order.work.verb == "restart"
    assert "boot" in robot.poll().screen.hint_en or "disk" in robot.poll().screen.hint_en
    assert machine(station).needs_hand is not None


def test_a_machine_like_two_others_is_a_question(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    Robot(dialogue, hardware(1)).register()
    Robot(dialogue, hardware(2)).register()
    both = hardware(1).nics + hardware(2).nics
    from provisioner.model.hardware import Smbios

    reply = Robot(dialogue, hardware(3, nics=both, smbios=Smbios())).register()
    assert (reply.asset_tag, reply.screen.tone) == ("", Tone.ASK)
    assert "PC-0001 or PC-0002" in reply.screen.hint_en


def test_progress_reaches_the_board_and_not_the_database(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    order = robot.order()
    assert order is not None
    before = len(events(station))
    robot.poll(Progress(order=order.id, step="testing", fraction=0.5))
    live = station.board.get(1)
    assert live is not None and live.fraction == 0.5
    assert len(events(station)) == before


def test_a_machine_failure_is_kept_with_its_hint(
    station: Station, dialogue: Dialogue, batch: str
) -> None:
    robot = Robot(dialogue, hardware())
    robot.register()
    order = robot.order()
    assert order is not None
    robot.send(order, problem=Problem(kind="DiskFaultError", message="dead", hint="Replace it."))
    with station.database.transaction() as session:
        run = session.scalars(select(RunRow).order_by(RunRow.id.desc())).first()
        assert run is not None
        assert (run.state, (run.problem or {})["hint"]) == (RunState.FAILED, "Replace it.")
    assert robot.order() is None


def test_keys_are_private(station: Station) -> None:
    for name in ("station.key", "operator.token", "ssh_ed25519"):
        assert (station.settings.state_dir / name).stat().st_mode & 0o077 == 0


def test_a_second_open_of_the_same_folder_keeps_the_key(station: Station) -> None:
    from provisioner.workshop.station import open_station

    assert open_station(station.settings).key.public == station.key.public
    assert isinstance(station.key, PrivateKey)
