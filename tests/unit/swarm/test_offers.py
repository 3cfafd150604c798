"""Patches on offer: taken when they cost less, and never needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.model.patch import Patch
from provisioner.model.signed import PrivateKey
from provisioner.release import chunking, patch
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import Fetched, HttpCarrier, Wanted
from provisioner.swarm.offers import Offer, find_offer
from provisioner.swarm.prefill import old_releases
from provisioner.swarm.zstd import Zstd
from tests.unit.agent.station import StubStation
from tests.unit.swarm.images import image_of, small_edits, texts

FILES = texts(12, 1)
OLD = image_of(FILES, b"old tables")
NEW = image_of(small_edits(FILES, (2, 3, 9), 5), b"new tables")
WANTED = Wanted("system.squashfs", len(NEW), hashlib.sha256(NEW).hexdigest())


class Machine:
    def __init__(self, folder: Path, key: PrivateKey) -> None:
        self.key = key
        self.release, self.disk = folder / "served/releases/lab@2026.2", folder / "releases"
        self.offered = folder / "served/patches/lab@2026.2"
        for root, data in ((self.release, NEW), (self.disk / "lab@2026.1", OLD)):
            root.mkdir(parents=True)
            (root / "system.squashfs").write_bytes(data)
            chunking.add_chunk_map(root)
        self.offered.mkdir(parents=True)
        self.into = self.disk / "lab@2026.2/system.squashfs"
        self.into.parent.mkdir()
        self.station = StubStation(folder / "served")

    def publish(self, **changes: object) -> Patch:
        file = self.offered / "lab@2026.1.patch"
        old = self.disk / "lab@2026.1/system.squashfs"
        new = self.release / "system.squashfs"
        patch.make_patch((old, chunking.cut(old)), (new, chunking.cut(new)), file)
        values: dict[str, object] = {
            "old": "lab@2026.1", "new": "lab@2026.2", "new_sha256": WANTED.sha256,
            "old_sha256": hashlib.sha256(OLD).hexdigest(), "size": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "zstd": Zstd().version,
        }  # fmt: skip
        made = Patch.model_validate({**values, **changes})
        (self.offered / "lab@2026.1.dsse.json").write_text(self.key.seal(made))
        return made

    def http(self, kind: str) -> HttpCarrier:
        return HttpCarrier(f"{self.station.url}/{kind}/lab@2026.2", lambda _error, _pause: None)

    def find(self, wanted: Wanted = WANTED) -> Offer | None:
        olds = old_releases(self.disk, but="lab@2026.2")
        return find_offer(self.http("patches"), olds, wanted, self.key.public)

    def fetch(self) -> tuple[Fetched, DeltaCarrier]:
        data = (self.release / "system.chunks").read_bytes()
        chunks = Wanted("system.chunks", len(data), hashlib.sha256(data).hexdigest())
        olds = old_releases(self.disk, but="lab@2026.2")
        carrier = DeltaCarrier(self.http("releases"), chunks, olds, find_offer=self.find)
        got = carrier.fetch(WANTED, self.into, lambda _have: None)
        assert hashlib.sha256(self.into.read_bytes()).hexdigest() == WANTED.sha256
        left = sorted(path.name for path in self.into.parent.iterdir())
        assert left == ["system.chunks", "system.squashfs"]
        return got, carrier


@pytest.fixture
def machine(tmp_path: Path, key: PrivateKey) -> Iterator[Machine]:
    machine = Machine(tmp_path, key)
    yield machine
    machine.station.close()


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return PrivateKey.generate()


def asked(machine: Machine, ending: str) -> int:
    return sum(path.endswith(ending) for path, _ in machine.station.gets)


def test_a_smaller_patch_is_taken(machine: Machine) -> None:
    made = machine.publish()
    got, carrier = machine.fetch()
    assert got.fetched == carrier.savings.patch_bytes == made.size
    assert asked(machine, "system.squashfs") == 0


def test_without_a_patch_the_pieces_are_fetched(machine: Machine) -> None:
    got, carrier = machine.fetch()
    assert carrier.savings.patch_bytes == 0
    assert 0 < got.fetched < len(NEW) / 2


def test_a_patch_that_costs_more_is_left(machine: Machine) -> None:
    machine.publish(size=10_000_000)
    assert machine.fetch()[1].savings.patch_bytes == 0
    assert asked(machine, ".patch") == 0


def test_a_begun_patch_counts_as_far_as_it_is_here(machine: Machine) -> None:
    made = machine.publish()
    begun = machine.into.with_name("system.squashfs.patch.part")
    begun.write_bytes((machine.offered / "lab@2026.1.patch").read_bytes()[:500])
    assert machine.fetch()[0].fetched == made.size - 500


@pytest.mark.parametrize(
    "changes",
    [
        {"zstd": 1}, {"old_sha256": "0" * 64}, {"new_sha256": "0" * 64}, {"old": "lab@2025.1"},
    ],
)  # fmt: skip
def test_a_patch_that_does_not_fit_is_no_offer(
    machine: Machine, changes: dict[str, object]
) -> None:
    machine.publish(**changes)
    assert machine.find() is None
    machine.fetch()
    assert asked(machine, ".patch") == 0


def test_a_patch_that_our_station_did_not_sign_is_no_offer(machine: Machine) -> None:
    made = machine.publish()
    promise = machine.offered / "lab@2026.1.dsse.json"
    promise.write_text(PrivateKey.generate().seal(made))
    assert machine.find() is None
    promise.write_text("{}")
    assert machine.find() is None


def test_a_patch_altered_on_the_way_is_not_used(machine: Machine) -> None:
    machine.publish()
    file = machine.offered / "lab@2026.1.patch"
    data = bytearray(file.read_bytes())
    data[-10] ^= 1
    file.write_bytes(data)
    got, carrier = machine.fetch()
    assert carrier.savings.patch_bytes == 0
    assert got.fetched > 0


def test_a_signed_patch_that_is_nonsense_costs_bytes_only(machine: Machine) -> None:
    """Even a patch that our own station signed is judged by what comes out."""
    nonsense = b"no patch at all"
    machine.publish(size=len(nonsense), sha256=hashlib.sha256(nonsense).hexdigest())
    (machine.offered / "lab@2026.1.patch").write_bytes(nonsense)
    got, carrier = machine.fetch()
    assert carrier.savings.patch_bytes == len(nonsense)
    assert got.fetched > len(nonsense)


def test_a_patch_for_another_image_is_mended_by_fetching(machine: Machine) -> None:
    """Applied, it writes wrong bytes into the begun file; they are found and fetched."""
    machine.publish()
    file = machine.offered / "lab@2026.1.patch"
    old = machine.disk / "lab@2026.1/system.squashfs"
    wrong = machine.offered / "wrong"
    wrong.write_bytes(image_of(small_edits(FILES, (2, 3, 9), 6), b"new tables"))
    patch.make_patch((old, chunking.cut(old)), (wrong, chunking.cut(wrong)), file)
    data = file.read_bytes()
    promise = Patch(
        old="lab@2026.1", new="lab@2026.2", new_sha256=WANTED.sha256, size=len(data),
        old_sha256=hashlib.sha256(OLD).hexdigest(), sha256=hashlib.sha256(data).hexdigest(),
        zstd=Zstd().version,
    )  # fmt: skip
    (machine.offered / "lab@2026.1.dsse.json").write_text(machine.key.seal(promise))
    got, carrier = machine.fetch()
    assert carrier.savings.patch_bytes == len(data)
    assert got.fetched > len(data)
