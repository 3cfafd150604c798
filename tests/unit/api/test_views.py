"""From rows to what is seen."""

from __future__ import annotations

from datetime import timedelta

import pytest

from provisioner.api import reading, rows
from provisioner.api.views import TileView
from provisioner.lifecycle import Milestone, RunState, Verb
from provisioner.model.hardware import Smbios
from provisioner.model.wire import Tone
from provisioner.store.tables import MachineRow, now
from provisioner.workshop.board import Live
from provisioner.workshop.runs import RESTART
from provisioner.workshop.station import Station
from tests import factories


def row(milestone: Milestone = Milestone.DIAGNOSED, **changes: object) -> MachineRow:
    values = {
        "id": 1, "asset_tag": "PC-0001", "milestone": milestone, "seat": 1, "needs_hand": None,
        "hardware": factories.make_hardware().model_dump(mode="json"), "last_seen": now(),
    }  # fmt: skip
    return MachineRow(**{**values, **changes})


def latest(verb: Verb, state: RunState, minutes: float = 1) -> rows.LatestRun:
    return rows.LatestRun(verb, state, now() - timedelta(minutes=minutes))


@pytest.mark.parametrize(
    ("fraction", "elapsed", "left"),
    [(0.5, 60, 60), (0.25, 60, 180), (1.0, 60, 0), (0.0, 60, None), (0.01, 600, None),
     (0.5, 1, None)],
)  # fmt: skip
def test_remaining_time_comes_from_the_rate_so_far(
    fraction: float, elapsed: float, left: float | None
) -> None:
    assert rows.seconds_left(fraction, elapsed) == left


def states(tile: TileView) -> str:
    return " ".join(step.state for step in tile.path)


def test_the_path_shows_what_is_proved_runs_and_failed() -> None:
    machine = row()
    quiet = rows.tile(machine, None, None, now())
    assert states(quiet) == "done done done todo todo todo todo"
    at_work = rows.tile(machine, latest(Verb.WIPE, RunState.RUNNING), None, now())
    assert states(at_work) == "done done done running todo todo todo"
    problem = {"kind": "x", "message": "m", "hint": ""}
    machine = row(needs_hand=problem)
    failed = rows.tile(machine, latest(Verb.WIPE, RunState.FAILED), None, now())
    assert states(failed) == "done done done failed todo todo todo"
    assert failed.tone is Tone.FAIL


def test_a_failure_that_was_mended_is_not_shown_as_failed() -> None:
    tile = rows.tile(row(), latest(Verb.WIPE, RunState.FAILED), None, now())
    assert states(tile) == "done done done todo todo todo todo"


def test_progress_belongs_to_a_run_that_is_open() -> None:
    live = Live("Overwriting the disk", 0.5, 1e8)
    at_work = rows.tile(row(), latest(Verb.WIPE, RunState.RUNNING), live, now())
    assert (at_work.step, at_work.fraction, at_work.seconds_left) == (live.step, 0.5, 60)
    ended = rows.tile(row(), latest(Verb.WIPE, RunState.SUCCEEDED), live, now())
    assert (ended.step, ended.fraction, ended.running) == ("", None, "")


def test_silence_counts_only_before_the_machine_is_ready() -> None:
    long_ago = now() - timedelta(minutes=2)
    assert rows.tile(row(last_seen=long_ago), None, None, now()).silent
    assert not rows.tile(row(), None, None, now()).silent
    ready = row(Milestone.VERIFIED, last_seen=long_ago)
    assert not rows.tile(ready, None, None, now()).silent


def test_a_machine_that_was_told_to_restart_may_be_silent_longer() -> None:
    restarting = rows.LatestRun(RESTART, RunState.RUNNING, now())
    for minutes, silent in ((2, False), (6, True)):
        machine = row(Milestone.IMAGED, last_seen=now() - timedelta(minutes=minutes))
        assert rows.tile(machine, restarting, None, now()).silent is silent


@pytest.mark.parametrize(
    ("vendor", "product", "name"),
    [
        ("HP", "Compaq 6005", "HP Compaq 6005"),
        ("To be filled by O.E.M.", "To be filled by O.E.M.", ""),
        ("LENOVO", "Default string", "LENOVO"),
        ("", "", ""),
    ],
)
def test_placeholders_are_not_names(vendor: str, product: str, name: str) -> None:
    smbios = Smbios(system_vendor=vendor, system_product=product).model_dump()
    assert rows.model_name({"smbios": smbios}) == name


def test_counts_of_a_batch_know_who_waits(busy: Station, station: Station) -> None:
    with station.database.transaction() as session:
        batch = reading.batch(session, factories.BATCH)
    assert (batch.joined, batch.ready, batch.need_hand, batch.size) == (8, 2, 2, 12)


def test_a_cleared_problem_no_longer_counts(station: Station) -> None:
    """None must be NULL in the database, not the JSON word null."""
    factories.open_batch(station)
    with station.database.transaction() as session:
        machine = factories.add_machine(session, 1)
        machine.needs_hand = {"kind": "x", "message": "m", "hint": ""}
    with station.database.transaction() as session:
        session.get_one(MachineRow, machine.id).needs_hand = None
    with station.database.transaction() as session:
        assert reading.batch(session, factories.BATCH).need_hand == 0


def test_machines_at_their_school_leave_today(station: Station) -> None:
    factories.open_batch(station)
    with station.database.transaction() as session:
        factories.add_machine(session, 1, Milestone.HANDED_OVER)
        factories.add_machine(session, 2, Milestone.VERIFIED)
    with station.database.transaction() as session:
        assert [tile.asset_tag for tile in reading.tiles(station, session)] == ["PC-0002"]
        assert len(reading.all_tiles(station, session)) == 2
        assert reading.batch(session, factories.BATCH).ready == 2
