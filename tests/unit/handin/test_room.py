"""The teacher's side: found on the wire, seen on a page, brought home for machines that died."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from provisioner.agent.contest_hands import waiting_in
from provisioner.entry.keeping import Keeping
from provisioner.errors import StationError, UnreachableError
from provisioner.handin import stick
from provisioner.handin.box import Box
from provisioner.handin.courier import bring_all
from provisioner.handin.finding import Answerer, RoomLine, find_keeper
from provisioner.handin.room import Relay, is_home, pupils_seats, room_view, write_zip
from provisioner.model.entry import Held, Keeper, Limits
from provisioner.model.signed import PrivateKey
from tests.contest_room import free_port
from tests.unit.handin.conftest import KEY, NOON, PUPIL, STATION, TEACHER


@pytest.fixture
def room(box: Box, teacher: Keeping, game: bytes) -> Keeping:
    """The teacher's machine, with one entry of a pupil's."""
    box.hand_in(game, PUPIL, "游戏")
    assert bring_all(box, Keeper.TEACHER, teacher) == 1
    return teacher


def test_who_has_handed_in_and_who_has_not(room: Keeping) -> None:
    view = room_view(room, ("pupil-01", "pupil-02"))
    assert [(entry["seat"], entry["name"], entry["station"]) for entry in view["entries"]] == [
        ("pupil-01", "王小明", False)]  # fmt: skip
    assert (view["seats"], view["without"]) == (2, ["pupil-02"])


def test_seats_come_from_the_schools_file(tmp_path: Path) -> None:
    assert pupils_seats(tmp_path) == ()
    file = tmp_path / "etc/classroom/school.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"room": [{"seat": "t", "role": "teacher"},
                                         {"seat": "p1", "role": "pupil"}]}))  # fmt: skip
    assert pupils_seats(tmp_path) == ("p1",)


def test_the_teachers_machine_brings_home_what_pupils_made(
    room: Keeping, home: Keeping, box: Box
) -> None:
    entry = next(iter(box.all())).hand_in.id
    relay = Relay(room, home, STATION.public)
    assert (relay.bring_all(), relay.bring_all()) == (1, 0)
    assert is_home(room, entry)
    assert [kept.hand_in.id for kept in home.kept()] == [entry]
    # The pupil's own machine comes later: the same entry, known already.
    assert bring_all(box, Keeper.STATION, home) == 1
    assert len(home.kept()) == 1


def test_a_receipt_of_somebody_else_is_none(room: Keeping, tmp_path: Path) -> None:
    stranger = Keeping(tmp_path / "x", KEY, Keeper.STATION, lambda: NOON, Limits())
    assert Relay(room, stranger, STATION.public).bring_all() == 0
    assert not is_home(room, room.kept()[0].hand_in.id)


def test_a_cut_line_is_tried_again(room: Keeping) -> None:
    class Cut:
        def begin(self, sealed: str) -> Held:
            raise UnreachableError("cut")

        def take(self, entry_id: str, offset: int, data: bytes) -> Held:
            raise UnreachableError("cut")

    with pytest.raises(UnreachableError):
        Relay(room, Cut(), STATION.public).bring_all()


def test_all_in_one_file_and_out_again(room: Keeping, home: Keeping, tmp_path: Path) -> None:
    assert write_zip(room, tmp_path / "all.zip") == 1
    assert stick.bring_in_zip(tmp_path / "all.zip", home) == stick.Carried(1)
    assert stick.bring_in_zip(tmp_path / "all.zip", home) == stick.Carried(1)
    assert len(home.kept()) == 1
    (tmp_path / "bad.zip").write_bytes((tmp_path / "all.zip").read_bytes()[:-30])
    with pytest.raises(StationError, match="teacher's page"):
        stick.bring_in_zip(tmp_path / "bad.zip", home)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("classroom-entries/../../evil.json", "{}")
        archive.writestr(stick.ABOUT, '{"entries": 1}')
    lost = stick.bring_in_zip(tmp_path / "evil.zip", home)
    assert (lost.whole, len(lost.problems)) == (0, 1)
    assert not list(tmp_path.rglob("evil.json"))


def test_what_waits_is_counted_by_receipts(tmp_path: Path) -> None:
    for name in ("hand-ins/a.json", "hand-ins/b.json", "station/a.json", "room/receipts/c.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert waiting_in(tmp_path) == 2
    (tmp_path / "room/station").mkdir()
    (tmp_path / "room/station/c.json").touch()
    assert waiting_in(tmp_path) == 1
    assert waiting_in(tmp_path / "nothing") == 0


@pytest.mark.parametrize(
    ("key", "contest", "found"),
    [(TEACHER, "contest-2027", True), (KEY, "contest-2027", False),
     (TEACHER, "contest-2028", False)],
)  # fmt: skip
def test_only_the_teachers_key_answers(
    monkeypatch: pytest.MonkeyPatch, key: PrivateKey, contest: str, found: bool
) -> None:
    monkeypatch.setattr("provisioner.handin.finding._wires", lambda: ["lo"])
    port = free_port()
    answerer = Answerer(contest, key, "127.0.0.1", port)
    answerer.start()
    try:
        if found:
            told = find_keeper("contest-2027", TEACHER.public, port, wait_s=30)
            assert told == f"http://127.0.0.1:{port}"
        else:
            with pytest.raises(UnreachableError):
                find_keeper("contest-2027", TEACHER.public, port, wait_s=0.05)
    finally:
        answerer.stop()


def test_a_teachers_machine_that_moved_is_looked_for_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def find(contest: str, key: str, port: int) -> str:
        asked.append(port)
        return "http://127.0.0.1:9"  # nobody listens at the discard port

    monkeypatch.setattr("provisioner.handin.finding.find_keeper", find)
    line = RoomLine("", "contest-2027", TEACHER.public, 6774)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            line.begin("{}")
    assert asked == [6774, 6774]
    with pytest.raises(UnreachableError):
        line.take("0" * 32, 0, b"")
