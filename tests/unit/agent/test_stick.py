"""The school's stick: which is taken, which is refused and how, and the receipt on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from provisioner.agent.shelf import Shelf
from provisioner.agent.stick import (
    Accepted,
    StickRefusedError,
    Sticks,
    judge_bundle,
    order_of,
)
from provisioner.agent.surroundings import Home
from provisioner.agent.words import STICK
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, RESULT, Bundle, Receipt
from provisioner.model.order import Order
from provisioner.model.record import Problem, Record
from provisioner.model.signed import PrivateKey, open_envelope
from provisioner.model.wire import Surroundings

STATION = PrivateKey.generate()
BUNDLE_3 = Bundle(
    school="high-pasture", number=3, machines=("PC-0001", "PC-0002"), release="lab@2029.1",
    manifest_sha256="0" * 64,
)  # fmt: skip
HOME = Home(Surroundings.INSTALLED, "http://192.0.2.1:8080", STATION.public,
            PrivateKey.generate(), asset_tag="PC-0001")  # fmt: skip


class World:
    """A machine, and a stick that may be in it."""

    def __init__(self, folder: Path) -> None:
        self.stick, self.memory, self.run = (folder / name for name in ("stick", "agent", "run"))
        for path in (self.memory, self.run):
            path.mkdir()
        self.plugged, self.offered = True, list[Order]()
        self.takes = True
        self.write(STATION.seal(BUNDLE_3))
        self.sticks = Sticks(HOME, self._offer, self.memory, self.run, self._look)

    def _look(self) -> Iterator[Path]:
        if self.plugged:
            yield self.stick

    def _offer(self, order: Order) -> bool:
        self.offered.append(order)
        return self.takes

    def write(self, envelope: str) -> None:
        (self.stick / FOLDER).mkdir(parents=True, exist_ok=True)
        (self.stick / FOLDER / BUNDLE).write_text(envelope)

    @property
    def result(self) -> str:
        return (self.stick / FOLDER / RESULT).read_text()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.plugged = False
    made.sticks.turn()


def test_a_stick_for_this_machine_is_taken_and_its_files_are_served(world: World) -> None:
    place = world.stick / FOLDER / "releases/lab@2029.1/vmlinuz"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"kernel")
    world.sticks.turn()
    assert world.offered[0].work.verb == "renew"
    assert world.offered[0].machine_key == HOME.key.public
    assert "请不要拔出" in world.result
    url = f"{world.sticks.url}/releases/lab@2029.1/vmlinuz"
    answer = urllib3.request("GET", url, headers={"Range": "bytes=2-"})
    assert (answer.status, answer.data) == (206, b"rnel")
    world.plugged = False
    world.sticks.turn()
    assert world.sticks.url == ""


def other_school(world: World) -> None:
    world.write(STATION.seal(BUNDLE_3.model_copy(update={"machines": ("PC-0777",)})))


def another_key(world: World) -> None:
    world.write(PrivateKey.generate().seal(BUNDLE_3))


def changed(world: World) -> None:
    envelope = json.loads(STATION.seal(BUNDLE_3))
    envelope["payload"] = json.loads(STATION.seal(BUNDLE_3.model_copy(update={"number": 4})))[
        "payload"
    ]
    world.write(json.dumps(envelope))


def old(world: World) -> None:
    (world.memory / "bundle-number").write_text("4\n")


def cut(world: World) -> None:
    world.write(STATION.seal(BUNDLE_3)[:100])


def missing(world: World) -> None:
    (world.stick / FOLDER / BUNDLE).unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (other_school, "other-school"), (another_key, "changed"), (changed, "changed"),
        (old, "old"), (cut, "changed"), (missing, "changed"),
    ],
)  # fmt: skip
def test_a_stick_that_is_refused_says_why_to_a_teacher(
    world: World, spoil: Callable[[World], None], words: str
) -> None:
    spoil(world)
    before = (world.memory / "bundle-number").exists()
    world.sticks.turn()
    assert world.offered == []
    assert world.result == f"PC-0001: {STICK[words].en}\nPC-0001：{STICK[words].zh}\n"
    assert json.loads((world.run / "notice.json").read_text())["zh"] == STICK[words].zh
    assert world.sticks.url == ""
    assert (world.memory / "bundle-number").exists() is before


def test_what_became_of_it_is_signed_and_written_on_the_stick(world: World) -> None:
    world.sticks.turn()
    order = world.offered[0]
    problem = Problem(kind="NewSystemSilentError", message="never came up")
    world.sticks.keep(order, Record(order=order.id, problem=problem, seconds=1.0))
    world.sticks.turn()
    place = world.stick / FOLDER / RECEIPTS / "PC-0001.dsse.json"
    receipt, key = open_envelope(place.read_bytes(), Receipt, trusted=None)
    assert key == HOME.key.public
    assert (receipt.number, receipt.record.problem) == (3, problem)
    assert "原系统" in world.result
    count = len(world.offered)
    world.sticks.turn()
    assert len(world.offered) == count  # it is done with


def test_a_record_of_another_order_is_no_receipt(world: World) -> None:
    world.sticks.turn()
    other = world.offered[0].model_copy(update={"id": "f" * 32})
    world.sticks.keep(other, Record(order=other.id, seconds=1.0))
    world.sticks.turn()
    assert not (world.stick / FOLDER / RECEIPTS).exists()


def test_a_newer_stick_begins_anew(world: World) -> None:
    world.sticks.turn()
    first = world.offered[0]
    world.sticks.keep(first, Record(order=first.id, seconds=1.0))
    world.write(STATION.seal(BUNDLE_3.model_copy(update={"number": 4})))
    world.sticks.turn()
    assert world.offered[-1].id != first.id


def test_the_same_bundle_means_another_order_on_each_machine() -> None:
    accepted = judge_bundle_of(BUNDLE_3)
    other = Home(Surroundings.INSTALLED, "", STATION.public, PrivateKey.generate(),
                 asset_tag="PC-0002")  # fmt: skip
    assert order_of(accepted, HOME).id == order_of(accepted, HOME).id
    assert order_of(accepted, HOME).id != order_of(accepted, other).id


def judge_bundle_of(bundle: Bundle) -> Accepted:
    return Accepted(bundle, STATION.seal(bundle).encode(), again=False)


def test_nothing_outside_the_stick_is_served(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick/link").symlink_to(tmp_path / "shadow")
    with Shelf(tmp_path / "stick") as shelf:
        for path in ("/../shadow", "/%2e%2e/shadow", "/link", "/nothing"):
            assert urllib3.request("GET", shelf.url + path).status == 404


def test_a_folder_without_a_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StickRefusedError):
        judge_bundle(tmp_path, HOME, 0)
