"""The page's server and the room's, over real sockets on the loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from provisioner.clock import read_clock
from provisioner.entry.keeping import Keeping
from provisioner.handin import courier
from provisioner.handin.__main__ import Service
from provisioner.handin.box import Box
from provisioner.handin.service import Desk, Server, page_server, room_server
from provisioner.model.contest import AgeGroup, ContestCard, LateRule
from provisioner.model.entry import ClockReading, Keeper, Limits
from provisioner.model.school import Bilingual
from tests.unit.handin.conftest import KEY, NOON, PUPIL, STATION, TEACHER

CARD = ContestCard(
    name="contest-2027", version=1, title=Bilingual(en="Design a game", zh="设计游戏"),
    opens=datetime(2027, 5, 1, 1, tzinfo=UTC), closes=datetime(2027, 5, 1, 15, tzinfo=UTC),
    age_groups=(AgeGroup(name="primary", title=Bilingual(en="Primary", zh="小学")),),
    late=LateRule.REFUSE, limits=Limits(), autosave_s=30, allowed_hosts=(),
)  # fmt: skip
ASKED = {"name": "王小明", "form": "五年级", "age_group": "primary", "title": "游戏"}
OWN = {"X-Hand-In": "1"}


@contextmanager
def serving(server: Server) -> Iterator[str]:
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def desk(box: Box) -> Desk:
    return Desk(box, CARD, lambda: NOON)


@pytest.fixture
def page(desk: Desk) -> Iterator[str]:
    with serving(page_server(desk, 0)) as url:
        yield url


def post(url: str, data: bytes, headers: dict[str, str] = OWN, **changes: str,
         ) -> urllib3.BaseHTTPResponse:  # fmt: skip
    address = f"{url}/hand-in?{urlencode({**ASKED, **changes})}"
    return urllib3.request("POST", address, body=data, headers=headers, retries=False)


def test_a_pupil_hands_in(page: str, box: Box, game: bytes) -> None:
    answer = post(page, game)
    assert answer.status == 200
    said = answer.json()
    assert said["code"] == next(iter(box.all())).code
    assert (said["teacher"], said["station"], said["sure"]) == (False, False, True)
    listed = urllib3.request("GET", f"{page}/handed-in.json").json()
    assert [entry["name"] for entry in listed] == ["王小明"]


def test_the_page_is_there_and_may_do_little(page: str) -> None:
    for path in ("/", "/page.js", "/page.css", "/contest.json"):
        answer = urllib3.request("GET", page + path)
        assert answer.status == 200
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert urllib3.request("GET", f"{page}/../../etc/passwd").status == 404


def test_what_is_wrong_is_said_in_both_languages(page: str, box: Box, game: bytes) -> None:
    answer = post(page, game[:-1])
    assert answer.status == 422
    assert (answer.json()["code"], "不完整" in answer.json()["zh"]) == ("cut-off", True)
    assert post(page, game, name="").status == 400
    assert post(page, game, name="a\x00b").status == 400
    assert post(page, game, age_group="grown-ups").status == 409
    assert list(box.all()) == []


def test_other_pages_and_names_are_kept_out(page: str, box: Box, game: bytes) -> None:
    assert post(page, game, headers={}).status == 403
    assert post(page, game, headers={**OWN, "Origin": "http://evil.example"}).status == 403
    assert post(page, game, headers={**OWN, "Host": "evil.example"}).status == 403
    foreign = urllib3.request("GET", f"{page}/handed-in.json", headers={"Host": "evil.example"})
    assert foreign.status == 403
    assert list(box.all()) == []


def test_a_large_work_that_is_refused_unread_still_hears_why(page: str) -> None:
    """Closed with bytes in it, the connection would be reset and the answer lost."""
    for _ in range(5):
        assert post(page, bytes(8 << 20), headers={}).status == 403


@pytest.mark.parametrize(
    ("hour", "doubt", "status"),
    [(16, 2.0, 409), (0, 2.0, 409), (16, None, 200), (15, 7200.0, 200)],
)
def test_only_what_is_surely_late_is_refused(
    desk: Desk, page: str, game: bytes, hour: int, doubt: float | None, status: int
) -> None:
    at = datetime(2027, 5, 1, hour, tzinfo=UTC)
    desk.clock = lambda: ClockReading(at=at, doubt_s=doubt)
    assert post(page, game).status == status


def test_a_full_disk_is_said(page: str, game: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("provisioner.handin.box.write_new", full)
    answer = post(page, game)
    assert (answer.status, answer.json()["code"]) == (507, "disk")


def test_the_room_over_real_http(box: Box, teacher: Keeping, game: bytes) -> None:
    box.hand_in(game, PUPIL, "x")
    with serving(room_server(teacher, "127.0.0.1", 0)) as url:
        assert courier.bring_all(box, Keeper.TEACHER, courier.HttpLine(url)) == 1
        assert urllib3.request("GET", url).status == 501
        assert urllib3.request("POST", f"{url}/entries/v1", body=b"x").status == 403
        bad = urllib3.request("PUT", f"{url}/entries/v1/{'0' * 32}?offset=0", body=b"x")
        assert bad.status == 409
    assert box.waiting(Keeper.TEACHER) == []


def test_a_classroom_of_two_machines_from_their_files(tmp_path: Path, game: bytes) -> None:
    """The whole service, twice: what a pupil hands in is at the teacher's within the minute."""
    teacher = start(tmp_path / "teacher", TEACHER.to_hex(), {"teacher": True})
    port = teacher.servers[1].server_port
    pupil = start(tmp_path / "pupil", KEY.to_hex(), {
        "teacher_url": f"http://127.0.0.1:{port}", "teacher_key": TEACHER.public})  # fmt: skip
    try:
        assert post(f"http://127.0.0.1:{pupil.servers[0].server_port}", game).status == 200
        waited = threading.Event()
        for _ in range(600):
            if not pupil.box.waiting(Keeper.TEACHER):
                break
            waited.wait(0.1)
        assert pupil.box.waiting(Keeper.TEACHER) == []
        assert pupil.box.waiting(Keeper.STATION)
        kept = list((tmp_path / "teacher").rglob("room/entries/*.sb3"))
        assert [path.read_bytes() for path in kept] == [game]
    finally:
        pupil.stop()
        teacher.stop()


def start(root: Path, key: str, seat: dict[str, object]) -> Service:
    files = {
        "agent.json": {"station_url": "http://127.0.0.1:9", "station_key": STATION.public,
                       "machine_key": key, "asset_tag": "PC-0001", "release": "x"},
        "usr/share/classroom/contest/contest.json": {**CARD.model_dump(mode="json"),
                                                     "late": "mark"},
        "etc/classroom/contest-seat.json": {"school": "new-shoots", "seat": "pupil-01", **seat},
    }  # fmt: skip
    for name, value in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(value))
    service = Service(root, root, page_port=0, room_port=0)
    service.start()
    return service


def test_a_clock_that_nobody_set_is_doubted(tmp_path: Path) -> None:
    assert read_clock(tmp_path).doubt_s is None
    mark = tmp_path / "run/systemd/timesync/synchronized"
    mark.parent.mkdir(parents=True)
    mark.touch()
    doubt = read_clock(tmp_path).doubt_s
    assert doubt is not None
    assert 2.0 <= doubt < 3.0
