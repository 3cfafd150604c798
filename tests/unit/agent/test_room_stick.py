"""A stick in one machine, and its neighbours: found on the wire, judged, handed back to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
import urllib3

from provisioner.agent import field
from provisioner.agent.room_stick import Room, judge_receipt
from provisioner.agent.stick import Sticks
from provisioner.agent.surroundings import Home
from provisioner.errors import UntrustedError
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, Bundle, Receipt
from provisioner.model.order import Order
from provisioner.model.record import Problem, Record
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings

STATION = PrivateKey.generate()
BUNDLE_3 = Bundle(
    school="high-pasture", number=3, machines=("PC-0001", "PC-0002"), release="lab@2029.1",
    manifest_sha256="0" * 64,
)  # fmt: skip
WIRE = IPv4Interface("127.0.0.1/8")
RECORD = Record(order="0" * 32, problem=Problem(kind="x", message="never came up"), seconds=1.0)


class Voiceless(Room):
    """A room whose wire is this computer; who is heard, the test says."""

    heard: tuple[str, ...] = ()

    def offered(self) -> list[str]:
        return list(self.heard)


class Machine:
    """One machine of the room with its own memory."""

    def __init__(self, folder: Path, tag: str, stick: Path | None = None) -> None:
        self.home = Home(Surroundings.INSTALLED, "http://192.0.2.1:8080", STATION.public,
                         PrivateKey.generate(), asset_tag=tag)  # fmt: skip
        self.offered = list[Order]()
        self.stick, memory, run = stick, folder / tag / "agent", folder / tag / "run"
        for path in (memory, run):
            path.mkdir(parents=True)
        self.room = Voiceless(self.home, find_wire=lambda: WIRE)
        self.sticks = Sticks(self.home, self._offer, memory, run, self._look, self.room)

    def _look(self) -> Iterator[Path]:
        if self.stick is not None:
            yield self.stick

    def _offer(self, order: Order) -> bool:
        self.offered.append(order)
        return True

    @property
    def door(self) -> str:
        assert self.room._shelf is not None
        return self.room._shelf.url


@pytest.fixture
def make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str, Path | None], Machine]]:
    monkeypatch.setattr("provisioner.swarm.neighbours._opened", lambda _wire: None)
    made: list[Machine] = []

    def make(tag: str, stick: Path | None = None) -> Machine:
        made.append(Machine(tmp_path, tag, stick))
        return made[-1]

    yield make
    for machine in made:
        machine.stick = None
        machine.room.heard = ()
        machine.sticks.turn()
        machine.room.close()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    folder = tmp_path / "stick" / FOLDER
    (folder / "releases/lab@2029.1").mkdir(parents=True)
    (folder / "releases/lab@2029.1/vmlinuz").write_bytes(b"kernel")
    (folder / "private").write_bytes(b"nobody's business")
    (folder / BUNDLE).write_text(STATION.seal(BUNDLE_3))
    return folder.parent


def test_the_wish_and_the_files_reach_a_neighbour_and_its_receipt_the_stick(
    make: Callable[..., Machine], stick: Path
) -> None:
    first, second = make("PC-0001", stick), make("PC-0002")
    first.sticks.turn()
    second.room.heard = (first.door,)
    second.sticks.turn()
    order = second.offered[0]
    assert (order.machine, order.work.verb) == ("PC-0002", "renew")
    assert second.sticks.url == first.door
    url = f"{second.sticks.url}/releases/lab@2029.1/vmlinuz"
    assert urllib3.request("GET", url).data == b"kernel"
    second.sticks.keep(order, RECORD.model_copy(update={"order": order.id}))
    count = len(second.offered)
    second.sticks.turn()
    assert (stick / FOLDER / RECEIPTS / "PC-0002.dsse.json").is_file()
    assert len(second.offered) == count  # it is done with
    first.stick = None
    first.sticks.turn()
    with pytest.raises(urllib3.exceptions.HTTPError):
        urllib3.PoolManager().request("GET", url, retries=False)  # on a line of its own


def test_neighbours_see_nothing_else_of_the_stick(
    make: Callable[..., Machine], stick: Path
) -> None:
    first = make("PC-0001", stick)
    first.sticks.turn()
    for path in ("/private", "/receipts/PC-0001.dsse.json", "/result.txt", "/", "/../x"):
        assert urllib3.request("GET", first.door + path).status == 404


@pytest.mark.parametrize("spoil", ["other school", "another station", "old"])
def test_a_neighbours_stick_that_is_not_for_this_machine_is_passed_over(
    make: Callable[..., Machine], stick: Path, spoil: str
) -> None:
    first, second = make("PC-0001", stick), make("PC-0002")
    if spoil == "other school":
        (stick / FOLDER / BUNDLE).write_text(
            STATION.seal(BUNDLE_3.model_copy(update={"machines": ("PC-0001",)}))
        )
    first.sticks.turn()
    if spoil == "another station":
        (stick / FOLDER / BUNDLE).write_text(PrivateKey.generate().seal(BUNDLE_3))
    if spoil == "old":
        (second.sticks._memory / "bundle-number").write_text("4\n")
    second.room.heard = (first.door, "http://127.0.0.1:9")
    second.sticks.turn()
    assert second.offered == []
    assert second.sticks.url == ""


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/receipts/PC-0777", {"machine": "PC-0777"}),
        ("/receipts/PC-0001", {}),
        ("/receipts/../PC-0002", {}),
        ("/receipts/PC-0002", {"number": 2}),
        ("/receipts/PC-0002", {"school": "old-mill"}),
    ],
)
def test_nothing_but_receipts_of_this_stick_is_written_on_it(
    path: str, changes: dict[str, object]
) -> None:
    receipt = Receipt(school="high-pasture", number=3, machine="PC-0002", record=RECORD)
    good = PrivateKey.generate().seal(receipt).encode()
    assert judge_receipt("/receipts/PC-0002", good, BUNDLE_3) == "PC-0002.dsse.json"
    bad = PrivateKey.generate().seal(receipt.model_copy(update=changes)).encode()
    with pytest.raises(UntrustedError):
        judge_receipt(path, bad, BUNDLE_3)


def test_what_is_too_long_or_no_receipt_is_not_taken(
    make: Callable[..., Machine], stick: Path
) -> None:
    first = make("PC-0001", stick)
    first.sticks.turn()
    place = f"{first.door}/{RECEIPTS}/PC-0002"
    assert urllib3.request("POST", place, body=b"hello").status == 403
    with pytest.raises(urllib3.exceptions.HTTPError):
        answer = urllib3.request("POST", place, body=bytes(300_000), retries=False)
        assert answer.status == 403
        raise urllib3.exceptions.HTTPError
    assert not (stick / FOLDER / RECEIPTS).exists()


def test_a_second_bundle_on_the_same_stick_takes_its_own_receipts(
    make: Callable[..., Machine], stick: Path
) -> None:
    first = make("PC-0001", stick)
    first.sticks.turn()
    (stick / FOLDER / BUNDLE).write_text(STATION.seal(BUNDLE_3.model_copy(update={"number": 4})))
    first.sticks.turn()
    receipt = Receipt(school="high-pasture", number=4, machine="PC-0002", record=RECORD)
    body = PrivateKey.generate().seal(receipt).encode()
    assert urllib3.request("POST", f"{first.door}/{RECEIPTS}/PC-0002", body=body).status == 200


def test_a_wish_that_was_cut_short_waits_for_its_stick() -> None:
    found, waited = iter(["", "", "http://10.0.0.7:5000"]), list[float]()
    assert field.awaited(lambda: next(found), waited.append) == "http://10.0.0.7:5000"
    assert len(waited) == 2


def test_a_stick_that_lacks_the_ordered_release_does_not_keep_the_line_waiting(
    make: Callable[..., Machine], stick: Path
) -> None:
    first = make("PC-0001", stick)
    first.sticks.turn()
    (stick / FOLDER / "releases/lab@2029.1/manifest.dsse.json").write_text("{}")
    assert field.has_release(first.sticks.url, "lab@2029.1")
    assert not field.has_release(first.sticks.url, "lab@2031.1")
    assert not field.has_release("", "lab@2029.1")


def test_what_was_heard_is_forgotten_after_a_while() -> None:
    def nowhere() -> IPv4Interface:
        raise ValueError("no network")

    home = Home(Surroundings.INSTALLED, "", STATION.public, PrivateKey.generate())
    room, now = Room(home, find_wire=nowhere), time.monotonic()
    room._heard = {"http://10.0.0.7:1": now - 400, "http://10.0.0.8:1": now}
    assert room.offered() == ["http://10.0.0.8:1"]
