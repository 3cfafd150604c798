"""The rollout of a contest's state, and what a machine is told of its place in it."""

from __future__ import annotations

import pytest

from provisioner.contest.folder import Contest
from provisioner.contest.publishing import publish
from provisioner.contest.room import check_enrolled, newest_layer, seats_of
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.fleet import rollouts
from provisioner.lifecycle import Milestone
from provisioner.model.release import Manifest, Minimum, ReleaseKind
from provisioner.model.rollout import Wanted
from provisioner.settings import Settings
from provisioner.store.tables import MachineRow
from provisioner.workshop.contest_places import place_of, with_places
from provisioner.workshop.station import Station
from tests import factories

LAYER = Manifest(
    name="contest-2027", version="2027.1", number=1, kind=ReleaseKind.LAYER, suite="trixie",
    architecture="amd64", over="education", source_date_epoch=0, recipe_sha256="0" * 64,
    minimum=Minimum(memory_mib=1, disk_mb=1), installed_bytes=1, files=(), components=(),
)  # fmt: skip


def add(station: Station, number: int, key: str = "") -> None:
    with station.database.transaction() as session:
        row = factories.add_machine(session, number, Milestone.HANDED_OVER)
        row.seat, row.address = number, f"10.77.0.{number + 50}"
        row.installed_key = key or None


def test_each_state_is_its_own_rollout_and_goes_back_to_the_last(
    station: Station, contest: Contest
) -> None:
    add(station, 1)
    with station.database.transaction() as session:
        layer = LAYER.model_copy()
        rows = [publish(session, contest, layer, state, "test")
                for state in ("prepared", "on", "prepared")]  # fmt: skip
        plans = [rollouts.plan_of(row) for row in rows]
    assert [plan.name.removeprefix("contest-2027-2027-1-") for plan in plans] == [
        "prepared", "on", "prepared-2"]  # fmt: skip
    assert [plan.former.removeprefix("contest-2027.") for plan in plans] == [
        "0.removed", "2027.1.prepared", "2027.1.on"]  # fmt: skip
    assert [bool(plan.freezes) for plan in plans] == [True, False, True]
    assert [len(plan.waves) for plan in plans] == [4, 1, 4]


def test_a_machine_is_told_its_seat_and_who_keeps_entries(station: Station) -> None:
    add(station, 1, "a" * 64)
    add(station, 3, "b" * 64)
    with station.database.transaction() as session:
        rows = {row.seat: row for row in session.query(MachineRow)}
        teacher, pupil = (place_of(station, session, rows[number]) for number in (1, 3))
        assert teacher is not None
        assert pupil is not None
        assert (teacher.seat.teacher, pupil.seat.teacher) == (True, False)
        assert teacher.seat.teacher_key == pupil.seat.teacher_key == "a" * 64
        assert pupil.pupil == "pupil"
        wanted = [Wanted(track="contest:x", value="x.1.on"), Wanted(track="release", value="y@1")]
        told = with_places(station, session, rows[3].id, wanted)
        assert [one.place for one in told] == [pupil, None]


def test_a_machine_without_a_seat_is_told_none(station: Station) -> None:
    add(station, 1)
    with station.database.transaction() as session:
        row = session.query(MachineRow).one()
        row.seat = 99
        assert place_of(station, session, row) is None
        row.seat = None
        assert place_of(station, session, row) is None


def test_a_room_is_who_can_be_reached(station: Station, contest: Contest) -> None:
    add(station, 1)
    with station.database.transaction() as session:
        with pytest.raises(NotFoundError, match="can be reached"):
            seats_of(station, session, factories.SCHOOL)
        row = session.query(MachineRow).one()
        row.ssh_host_keys = ["ssh-ed25519 " + "A" * 68]
        assert [seat.place.seat.seat for seat in seats_of(station, session, factories.SCHOOL)]
        with pytest.raises(NotFoundError):
            seats_of(station, session, factories.SCHOOL, pupils_only=True)
    with pytest.raises(NotFoundError, match="published"):
        newest_layer(station, contest.name)
    with pytest.raises(WrongStateError):
        check_enrolled(contest, "elsewhere")
    check_enrolled(contest, factories.SCHOOL)
    assert Settings().playbooks_dir.joinpath("contest-reset.yml").is_file()
