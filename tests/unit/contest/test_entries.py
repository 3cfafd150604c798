"""Entries at home: each once, judged again, compared, taken away and forgotten."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from provisioner.contest import judging, results, stage
from provisioner.contest.folder import Contest
from provisioner.contest.intake import Intake, entries_folder
from provisioner.contest.stage import draw_stage
from provisioner.entry import sb3
from provisioner.errors import UntrustedError
from provisioner.handin.box import Box, Seat
from provisioner.model.entry import ClockReading, Limits, Pupil
from provisioner.store.entry_tables import EntryRow
from provisioner.store.tables import EventRow
from provisioner.workshop.station import Station
from tests import factories
from tests import hostile_entries as hostile
from tests.unit.contest.conftest import IN_TIME, HandIn, machine_key

NAME = "contest-2027"


def listed(station: Station, contest: Contest) -> dict[str, judging.Entry]:
    with station.database.reading() as session:
        found = judging.entries(session, NAME, contest.settings)
        return {entry.row.code: entry for entry in found}


def other_game(game: bytes, steps: str = "77") -> bytes:
    project, assets = hostile.contents(game)
    project["targets"][1]["blocks"]["move"]["inputs"]["STEPS"] = [1, [4, steps]]
    return hostile.packed(project, assets)


def many_scripts(game: bytes, marks: str, sprite: str = "红球") -> bytes:
    """A game with one script for each mark."""
    project, assets = hostile.contents(game)
    blocks = project["targets"][1]["blocks"]
    for mark in marks:
        blocks[f"top-{mark}"] = {"opcode": "event_whenkeypressed", "next": None, "parent": None,
                                 "inputs": {}, "fields": {"KEY_OPTION": [mark, None]},
                                 "shadow": False, "topLevel": True, "x": 0, "y": 0}  # fmt: skip
    project["targets"][1]["name"] = sprite
    return hostile.packed(project, assets)


def test_an_entry_comes_home(station: Station, contest: Contest, hand_in: HandIn,
                             game: bytes) -> None:  # fmt: skip
    code = hand_in(game)
    entry = listed(station, contest)[code]
    assert (entry.standing, entry.name, entry.row.lateness) == ("counts", "王小明", "in-time")
    assert entry.facts is not None
    assert (entry.facts.sprites, entry.facts.blocks) == (1, 13)


def test_the_last_of_a_pupil_counts_by_sequence_not_by_clock(
    station: Station, contest: Contest, hand_in: HandIn, game: bytes
) -> None:
    first = hand_in(game)
    back = IN_TIME.model_copy(update={"at": IN_TIME.at - timedelta(hours=1)})
    second = hand_in(other_game(game), name="王 小明", clock=back)
    found = listed(station, contest)
    assert (found[first].standing, found[second].standing) == ("replaced", "counts")


@pytest.mark.parametrize(
    ("at", "doubt", "lateness"),
    [("2027-05-01T11:00", 2.0, "late"), ("2027-05-01T09:30", 3600.0, "doubtful"),
     ("1970-01-01T00:00", None, "doubtful"), ("2027-04-30T11:00", 2.0, "too-early"),
     ("2027-05-01T03:00", 2.0, "in-time")],
)  # fmt: skip
def test_late_is_marked_and_doubt_is_told(
    station: Station, contest: Contest, hand_in: HandIn, game: bytes, at: str,
    doubt: float | None, lateness: str,
) -> None:  # fmt: skip
    clock = ClockReading(at=datetime.fromisoformat(at).replace(tzinfo=UTC), doubt_s=doubt)
    code = hand_in(game, clock=clock)
    assert listed(station, contest)[code].row.lateness == lateness


def test_copies_and_near_copies_are_flagged(station: Station, contest: Contest, hand_in: HandIn,
                                            game: bytes) -> None:  # fmt: skip
    copied = many_scripts(game, "abcdef")
    original = hand_in(copied, number=1)
    copy = hand_in(copied, name="李四", number=2)
    renamed = hand_in(many_scripts(game, "abcdeg", "我的猫"), name="张三", number=3)
    own = hand_in(many_scripts(other_game(game), "uvwxyz"), name="赵五", number=4)
    found = listed(station, contest)
    assert found[original].same_as == (copy,)
    assert set(found[renamed].like) == {original, copy}
    assert (found[own].same_as, found[own].like) == ((), ())


def test_what_a_starter_brought_is_nobodys_copy(
    station: Station, contest: Contest, hand_in: HandIn, game: bytes
) -> None:
    starter = sb3.judge(many_scripts(game, "abcdef"))
    hand_in(many_scripts(game, "abcdefg"), number=1)
    hand_in(many_scripts(game, "abcdefh"), name="李四", number=2)
    with station.database.reading() as session:
        plain = judging.entries(session, NAME, contest.settings)
        assert all(entry.like for entry in plain)
        aware = judging.entries(session, NAME, contest.settings, [starter])
        assert not any(entry.like for entry in aware)


def test_strangers_are_refused(station: Station, intake: Intake, hand_in: HandIn, game: bytes,
                               tmp_path: Path) -> None:  # fmt: skip
    hand_in(game)
    pupil = Pupil(name="x", age_group="primary")
    for number, school, name in ((99, factories.SCHOOL, NAME), (1, "high-pasture", NAME),
                                 (1, factories.SCHOOL, "contest-2028")):  # fmt: skip
        box = Box(tmp_path / f"{number}-{school}-{name}", machine_key(number),
                  Seat(name, school, "PC-0001"), lambda: IN_TIME, Limits(), {})  # fmt: skip
        with pytest.raises(UntrustedError):
            intake.begin(box.hand_in(game, pupil, "x").sealed)


def test_what_the_table_forgot_is_put_in_again(
    station: Station, contest: Contest, intake: Intake, hand_in: HandIn, game: bytes
) -> None:
    code = hand_in(game)
    with station.database.transaction() as session:
        session.query(EntryRow).delete()
    assert intake.catch_up() == 1
    assert intake.catch_up() == 0
    assert listed(station, contest)[code].name == "王小明"


def test_what_is_no_entry_is_kept_and_said(station: Station, contest: Contest, intake: Intake,
                                           hand_in: HandIn, game: bytes,
                                           monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A machine with an older program let it through: home judges by itself."""
    monkeypatch.setattr("provisioner.handin.box.judge", lambda data, limits: None)
    bad = hostile.with_picture(game, hostile.SVG.format(" onload='x()'", ""))
    code = hand_in(bad)
    entry = listed(station, contest)[code]
    assert (entry.standing, entry.row.refused, entry.facts) == ("refused", "asset-active", None)


def test_the_zip_and_its_table(station: Station, contest: Contest, hand_in: HandIn, game: bytes,
                               tmp_path: Path) -> None:  # fmt: skip
    code = hand_in(game, name="=cmd|' /C calc'!A0", title="../../etc/passwd")
    found = list(listed(station, contest).values())
    out = tmp_path / "entries.zip"
    assert results.write_zip(found, station.settings.state_dir, NAME, out) == 1
    with zipfile.ZipFile(out) as archive:
        assert set(archive.namelist()) == {"entries.csv", f"primary/{code}.sb3",
                                           f"primary/{code}.png"}  # fmt: skip
        assert archive.read(f"primary/{code}.sb3") == game
        rows = list(csv.DictReader(io.StringIO(archive.read("entries.csv").decode("utf-8-sig"))))
        with Image.open(io.BytesIO(archive.read(f"primary/{code}.png"))) as picture:
            assert picture.size == (480, 360)
    assert rows[0]["name"].startswith("'=")
    assert rows[0]["file"] == f"primary/{code}.sb3"


def test_a_busy_computer_draws_the_stage_another_time(
    station: Station, hand_in: HandIn, game: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(game)
    state, sha256 = station.settings.state_dir, hashlib.sha256(game).hexdigest()
    with monkeypatch.context() as busy:
        busy.setattr(stage, "DRAW_S", 0.01)
        assert results.ensure_thumbnail(state, NAME, sha256) is None
    assert results.ensure_thumbnail(state, NAME, sha256) is not None


def test_the_stage_is_drawn(game: bytes) -> None:
    """The factory's red ball at (-20, 30), 80 %, on its pale green backdrop."""
    drawn = draw_stage(game)
    assert drawn.getpixel((5, 5)) == (0xDF, 0xF3, 0xE4)
    assert drawn.getpixel((240 - 20, 180 - 30)) == (0xE4, 0x57, 0x2E)
    assert drawn.getpixel((240 + 20, 180 + 30)) == (0xDF, 0xF3, 0xE4)


def test_pictures_fetch_nothing_and_may_be_broken(game: bytes) -> None:
    for svg in (hostile.SVG.format("", "<image href='file:///etc/passwd' width='9'/>"),
                hostile.SVG.format(" width='99999999' height='9999999'", "<g/>"), ""):  # fmt: skip
        assert draw_stage(hostile.with_picture(game, svg)).size == (480, 360)
    png = b"\x89PNG\r\n\x1a\n" + bytes(40)
    assert draw_stage(hostile.with_picture(game, png, "png")).size == (480, 360)


def test_names_can_be_forgotten(station: Station, contest: Contest, intake: Intake,
                                hand_in: HandIn, game: bytes) -> None:  # fmt: skip
    code = hand_in(game, title="王小明的游戏")
    other = hand_in(other_game(game), name="李四", number=2)
    with station.database.transaction() as session:
        assert results.erase_personal(session, NAME, "test", code=code) == 1
    with station.database.reading() as session:
        assert results.erase_papers(session, station.settings.state_dir, NAME) == 1
    found = listed(station, contest)
    assert (found[code].name, found[code].row.title, found[code].standing) == ("", "", "counts")
    assert found[other].name == "李四"
    state = station.settings.state_dir
    words = "王小明".encode()
    assert not [p for p in entries_folder(state, NAME).rglob("*.json") if words in p.read_bytes()]
    assert intake.catch_up() == 0
    with station.database.reading() as session:
        assert "王小明" not in str([event.data for event in session.query(EventRow)])


def test_the_map_of_schools(station: Station, contest: Contest, hand_in: HandIn,
                            game: bytes) -> None:  # fmt: skip
    hand_in(game)
    with station.database.reading() as session:
        found = judging.schools(session, NAME, contest.settings, datetime.now(UTC))
    assert [(row.school, row.entries) for row in found] == [("new-shoots", 1), ("high-pasture", 0)]
    assert found[1].last_heard is None
