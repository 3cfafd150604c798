"""The office: leases, donors, receipts, schools' files, photos, releases' standing, the bench."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from PIL import Image
from pydantic import ValidationError
from sqlalchemy import delete

from provisioner.api import forecast, office, reading
from provisioner.documents import impact
from provisioner.errors import NotFoundError, WrongStateError
from provisioner.lifecycle import Milestone
from provisioner.model.grade import Letter
from provisioner.model.release import Component
from provisioner.store.tables import EventRow, MachineRow, RunRow
from provisioner.workshop import bench, desk, giving, grades, photos, releases, school_desk
from provisioner.workshop.builds import Builds
from provisioner.workshop.giving import Declaration, Donor, Lease, Receipt
from provisioner.workshop.releases import Standing
from provisioner.workshop.station import Station
from tests import factories
from tests.factories import BATCH, SCHOOL

DAY = date(2026, 11, 23)
PAPER = Receipt(number="7", factory="Green Works", kilograms=12.5, weighed_on=DAY, donor="ACME")


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A busy day; schools in a folder of their own, because they are written to."""
    made = factories.make_busy_station(tmp_path)
    shutil.copytree(made.settings.inventories_dir, tmp_path / "inventories")
    own = made.settings.model_copy(update={"inventories_dir": tmp_path / "inventories"})
    yield Station(own, made.database, made.key, made.catalog, board=made.board)
    made.database.close()


def kinds(station: Station) -> list[str]:
    with station.database.reading() as session:
        return [row.kind for row in session.query(EventRow).order_by(EventRow.id)]


def test_what_a_donor_gave_and_what_came_of_it(station: Station) -> None:
    with station.database.transaction() as session:
        giving.add_donor(session, Donor(name="ACME"), "li")
        with pytest.raises(WrongStateError):
            giving.add_donor(session, Donor(name="ACME"), "li")
        assert giving.gave_batch(session, BATCH, "ACME", "li") == 8
        giving.gave_machine(session, "PC-0008", "", "li")
        giving.add_receipt(session, PAPER, "li")
        with pytest.raises(WrongStateError):
            giving.add_receipt(session, PAPER, "li")
        with pytest.raises(NotFoundError):
            giving.gave_machine(session, "PC-0001", "ACMEE", "li")
        for tag in ("PC-0001", "PC-0007"):
            desk.hand_over(station, session, tag, "li", "Ms Li")
    with station.database.reading() as session:
        found = impact.impact(station, session, DAY)
        only = impact.impact(station, session, DAY, "ACME")
        with pytest.raises(NotFoundError):
            impact.impact(station, session, DAY, "nobody")
    acme = {one.donor: one for one in found.donors}["ACME"]
    assert only.donors == (acme,)
    assert (acme.machines, acme.reused, acme.kilograms_reused) == (7, 2, 10.52)
    assert (acme.co2e.low, acme.co2e.high) == (218, 498)
    assert acme.kilograms_recycled == 12.5
    assert found.total.machines == 8 and found.schools == 1
    assert {one.donor for one in found.donors} == {"ACME", ""}


def test_machines_that_only_wait_are_neither_reused_nor_recycled(station: Station) -> None:
    with station.database.transaction() as session:
        factories.add_machine(session, 30, Milestone.RETIRED)
    with station.database.reading() as session:
        total = impact.impact(station, session, DAY).total
    assert (total.retired, total.reused, total.kilograms_recycled) == (1, 0, 0)
    assert (total.co2e.low, total.co2e.high) == (0, 0)


def test_pupils_are_what_schools_declared_last(station: Station) -> None:
    def said(year: str, pupils: int) -> Declaration:
        return Declaration(
            school=SCHOOL, school_year=year, pupils=pupils, declared_by="Li", declared_on=DAY
        )

    with station.database.transaction() as session:
        for year, pupils in (("2025/26", 300), ("2026/27", 310), ("2026/27", 316)):
            giving.declare(session, said(year, pupils), "li")
    with station.database.reading() as session:
        found = impact.impact(station, session, DAY)
    assert [one.pupils for one in found.pupils] == [300, 316]
    assert impact.declared_pupils(found) == 316
    for year, pupils in (("2026", 3), ("2026/27", 0)):
        with pytest.raises(ValidationError):
            said(year, pupils)


def test_a_lease_is_noted_or_reckoned(station: Station) -> None:
    with station.database.transaction() as session:
        desk.hand_over(station, session, "PC-0001", "li", "Ms Li")
    with station.database.reading() as session:
        health = {one.school.id: one for one in office.schools(station, session, DAY)}
    assert health[SCHOOL].machines == 1 and not health[SCHOOL].lease_noted
    begins, ends = health[SCHOOL].lease_begins, health[SCHOOL].lease_ends
    assert begins is not None and ends is not None and (ends - begins).days == 1095
    with station.database.transaction() as session:
        wanted = Lease(school=SCHOOL, begins=date(2024, 6, 1), ends=date(2027, 6, 1))
        giving.lease(session, wanted, "li")
        with pytest.raises(WrongStateError):
            giving.lease(session, wanted.model_copy(update={"ends": wanted.begins}), "li")
    with station.database.reading() as session:
        view = reading.school(station.settings, SCHOOL)
        found = office.school_health(station, session, view, DAY)
    assert found.health.lease_ends == date(2027, 6, 1) and found.health.lease_noted
    assert [one.asset_tag for one in found.machines] == ["PC-0001"]


def test_a_schools_file_is_checked_compared_and_written(station: Station) -> None:
    kept = school_desk.read_file(station, SCHOOL)
    assert school_desk.mistakes_in(station, SCHOOL, kept.text) == []
    wrong = kept.text.replace("Asia/Shanghai", "Asia/Shanhai")
    (mistake,) = school_desk.mistakes_in(station, SCHOOL, wrong)
    assert mistake.line == wrong.splitlines().index("time_zone: Asia/Shanhai") + 1
    assert "Asia/Shanghai" in mistake.hint and "/tmp" not in mistake.text
    changed = kept.text.replace("pupils: 24", "pupils: 24\n# a remark")
    assert [line[0] for line in school_desk.difference(kept.text, changed)].count("+") == 1
    with station.database.transaction() as session:
        with pytest.raises(WrongStateError, match="zone"):
            school_desk.write_file(station, session, SCHOOL, wrong, kept.digest, "li")
        school_desk.write_file(station, session, SCHOOL, changed, kept.digest, "li")
        with pytest.raises(WrongStateError, match="somebody else"):
            school_desk.write_file(station, session, SCHOOL, kept.text, kept.digest, "mei")
    assert school_desk.read_file(station, SCHOOL).text == changed
    assert kinds(station)[-1] == "school-edited"


def test_two_people_who_give_orders_at_once(station: Station) -> None:
    with station.database.transaction() as session:
        machine, seen = desk.find_machine(session, "PC-0004"), desk.last_event(session)
        desk.not_overtaken(session, machine, seen)
        desk.try_again(station, session, "PC-0004", "li")
        with pytest.raises(WrongStateError, match="Meanwhile li"):
            desk.not_overtaken(session, machine, seen)
        desk.not_overtaken(session, machine, desk.last_event(session))
        desk.not_overtaken(session, desk.find_machine(session, "PC-0005"), seen)


def test_a_batch_is_opened_again_but_not_beside_another(station: Station) -> None:
    with station.database.transaction() as session:
        desk.close_batch(station, session, BATCH, "li")
    factories.open_batch(station, "second")
    with station.database.transaction() as session:
        with pytest.raises(WrongStateError, match="second"):
            desk.reopen_batch(station, session, BATCH, 60, "li")
        desk.close_batch(station, session, "second", "li")
        assert desk.reopen_batch(station, session, BATCH, 60, "li").open_until is not None


def test_the_bench_keeps_its_order(station: Station) -> None:
    with station.database.transaction() as session:
        bench.arrange(station, session, [3, 1, 2], 4, "li")
        for wrong, width in (([3, 3], 4), ([999], 4), ([1], 13)):
            with pytest.raises(WrongStateError):
                bench.arrange(station, session, wrong, width, "li")
    with station.database.reading() as session:
        assert bench.places(session) == {3: 0, 1: 1, 2: 2}
        assert bench.columns(session) == 4
        tiles = {tile.id: tile.place for tile in reading.tiles(station, session)}
    assert (tiles[3], tiles[4]) == (0, None)


def test_a_newcomer_on_the_bench_may_turn_out_to_be_a_known_machine(station: Station) -> None:
    with station.database.transaction() as session:
        bench.arrange(station, session, [1, 9], 0, "li")
        session.execute(delete(RunRow).where(RunRow.machine_id == 9))
        session.execute(delete(MachineRow).where(MachineRow.id == 9))
        assert bench.places(session) == {1: 0}


def test_tiles_carry_the_grade_also_after_it_changed(station: Station) -> None:
    def letter() -> str:
        with station.database.reading() as session:
            return {t.asset_tag: t.grade for t in reading.tiles(station, session)}["PC-0001"]

    before = letter()
    assert before and letter() == before
    with station.database.transaction() as session:
        other = Letter.D if before != "D" else Letter.B
        grades.override_grade(station, session, "PC-0001", other, "seen by hand", "li")
    assert letter() == other


def test_when_the_others_are_ready(station: Station) -> None:
    with station.database.reading() as session:
        usual = forecast.usual_seconds(session)
        tiles = {tile.asset_tag: tile for tile in reading.tiles(station, session)}
    assert forecast.machine_seconds(tiles["PC-0001"], usual) == 0
    assert forecast.machine_seconds(tiles["PC-0004"], usual) is None  # needs a hand
    wiping = forecast.machine_seconds(tiles["PC-0002"], usual)
    left = tiles["PC-0002"].seconds_left
    assert wiping is not None and left is not None
    rest = sum(usual[verb] for verb in ("image", "configure", "verify"))
    assert wiping == pytest.approx(left + rest)
    assert forecast.machine_seconds(tiles["PC-0002"], {}) is None
    assert forecast.batch_seconds(tiles.values(), {}) is None


def picture(kind: str = "JPEG", size: tuple[int, int] = (2400, 1800)) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", size, "navy").save(out, kind, **({"exif": exif} if kind == "JPEG" else {}))
    return out.getvalue()


def test_a_photo_is_drawn_anew_and_small(station: Station) -> None:
    with station.database.transaction() as session:
        photos.keep_photo(station, session, "PC-0001", picture(), "li")
        path = photos.photo_of(station, desk.find_machine(session, "PC-0001"))
        assert photos.photo_of(station, desk.find_machine(session, "PC-0002")) is None
    assert path is not None
    with Image.open(path) as kept:
        assert (kept.format, max(kept.size)) == ("JPEG", photos.LONGEST)
    assert b"taken at home" in picture() and b"taken at home" not in path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", b"GIF89a", picture()[:200]])
def test_what_is_no_photo_is_refused(content: bytes) -> None:
    with pytest.raises(WrongStateError):
        photos.redrawn(content)


def test_a_picture_that_unpacks_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_PIXELS", 100)
    with pytest.raises(WrongStateError, match="large"):
        photos.redrawn(picture("PNG", (20, 20)))


def test_releases_are_promoted_and_withdrawn(station: Station) -> None:
    name = "education@2026.1"
    with station.database.transaction() as session:
        with pytest.raises(WrongStateError, match="reason"):
            releases.say(station, session, name, Standing.WITHDRAWN, "", "li")
        releases.say(station, session, name, Standing.WITHDRAWN, "sound is broken", "li")
        assert releases.offered(station, session) == []
        with pytest.raises(WrongStateError, match="sound is broken"):
            releases.must_not_be_withdrawn(session, name)
        releases.say(station, session, name, Standing.PROMOTED, "", "li")
        assert [one.id for one in releases.offered(station, session)] == [name]
        releases.say(station, session, name, Standing.NEW, "", "li")
        assert releases.standings(session) == {}
        assert releases.who_runs(session)[name][SCHOOL] == 3


def test_what_differs_between_two_releases() -> None:
    def part(name: str, version: str) -> Component:
        return Component(name=name, version=version, licence="MIT")

    before = (part("a", "1"), part("b", "1"), part("c", "1"))
    after = (part("a", "1"), part("b", "2"), part("d", "1"))
    found = [(one.name, one.before, one.after) for one in releases.differences(before, after)]
    assert found == [("b", "1", "2"), ("c", "1", ""), ("d", "", "1")]


def test_one_build_at_a_time(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = Builds(station)
    assert "live" in builds.recipes()
    monkeypatch.setattr(builds, "_work", lambda build: None)
    with pytest.raises(NotFoundError):
        builds.start("nothing", "li")
    build = builds.start("live", "li")
    with pytest.raises(WrongStateError, match="live"):
        builds.start("lab", "li")
    build.log.write_text("step\x1b[31m\n")
    assert builds.tail() == "step�[31m\n"


def test_a_build_that_ends_is_noted(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    class Child:
        def wait(self) -> int:
            return 3

    monkeypatch.setattr("provisioner.workshop.builds.start", lambda *_, **__: Child())
    builds = Builds(station)
    build = builds.start("live", "li")
    for _ in range(500):
        if "build-ended" in kinds(station):
            break
    assert builds.last is not None and builds.last.code == 3
    assert build.code is None
    assert kinds(station)[-2:] == ["build-started", "build-ended"]
