"""Patches on offer: taken when they cost less, and never needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.model.patch import Patch
from provisioner.model.signed import PrivateKey
from provisioner.release import chunking, patch
from provisioner.release.delta import torrent_of
from provisioner.swarm.carrier import RangeCarrier
from provisioner.swarm.delta import DeltaCarrier
from provisioner.swarm.fetch import Fetched, HttpCarrier, Wanted
from provisioner.swarm.offers import Offer, find_offer
from provisioner.swarm.prefill import old_releases
from provisioner.swarm.torrent import Torrent, hash_file
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


class Swarm:
    """Stands for the room: brings by HTTP, and remembers which torrents it was given."""

    def __init__(self) -> None:
        self.torrents: list[Torrent] = []

    def carry(self, http: HttpCarrier, torrent: Torrent) -> RangeCarrier:
        self.torrents.append(torrent)
        return RangeCarrier(http, torrent)

    def use(self, machine: Machine) -> tuple[int, Path]:
        olds = old_releases(machine.disk, but="lab@2026.2")
        found = find_offer(machine.http("patches"), olds, WANTED, machine.key.public, self.carry)
        assert found is not None
        into = machine.into.with_name("system.squashfs.patch")
        part = machine.into.with_name("system.squashfs.part")
        part.write_bytes(bytes(len(NEW)))
        return found.use(part, into), into


def with_torrent(machine: Machine, **changes: object) -> Patch:
    made = machine.publish()
    torrent = torrent_of(machine.offered / "lab@2026.1.patch", made.old, made.new)
    (machine.offered / "lab@2026.1.patch.torrent").write_bytes(torrent)
    digest = hashlib.sha256(torrent).hexdigest()
    promise = made.model_copy(update={"torrent": digest, **changes})
    (machine.offered / "lab@2026.1.dsse.json").write_text(machine.key.seal(promise))
    return promise


def test_a_patch_is_carried_by_its_own_torrent_and_stays_for_the_others(machine: Machine) -> None:
    made, swarm = with_torrent(machine), Swarm()
    fetched, into = swarm.use(machine)
    assert fetched == made.size
    assert [entry.path for torrent in swarm.torrents for entry in torrent.files] == [
        "lab@2026.1.patch"
    ]
    assert into.stat().st_size == made.size
    offer = machine.find()
    assert offer is not None
    assert offer.left(into) == 0


def test_the_torrent_of_a_patch_is_the_same_every_time(machine: Machine) -> None:
    with_torrent(machine)
    first = (machine.offered / "lab@2026.1.patch.torrent").read_bytes()
    with_torrent(machine)
    assert (machine.offered / "lab@2026.1.patch.torrent").read_bytes() == first


@pytest.mark.parametrize("what", ["altered", "cut otherwise", "missing", "of another patch"])
def test_a_torrent_that_was_not_promised_is_not_used(machine: Machine, what: str) -> None:
    with_torrent(machine)
    path = machine.offered / "lab@2026.1.patch.torrent"
    if what == "missing":
        path.unlink()
    elif what == "cut otherwise":  # a good torrent of the very patch, and not the promised one
        entry = hash_file("lab@2026.1.patch", machine.offered / "lab@2026.1.patch", 16 * 1024)
        path.write_bytes(Torrent("lab@2026.1-lab@2026.2", (entry,)).encode())
    elif what == "altered":
        path.write_bytes(path.read_bytes()[:-1] + b"f")
    else:
        other = machine.offered / "other"
        other.write_bytes(b"other")
        torrent = torrent_of(other, "lab@2026.1", "lab@2026.2")
        path.write_bytes(torrent)
        with_torrent_digest = {"torrent": hashlib.sha256(torrent).hexdigest()}
        promise = machine.find()
        assert promise is not None
        patch_ = promise.patch.model_copy(update=with_torrent_digest)
        (machine.offered / "lab@2026.1.dsse.json").write_text(machine.key.seal(patch_))
    swarm = Swarm()
    fetched, into = swarm.use(machine)
    assert fetched == 0
    assert swarm.torrents == []
    assert not into.exists()


def test_space_that_was_set_aside_is_not_here_yet(machine: Machine) -> None:
    made = with_torrent(machine)
    offer = machine.find()
    assert offer is not None
    into = machine.into.with_name("system.squashfs.patch")
    with into.with_name("system.squashfs.patch.part").open("wb") as file:
        file.truncate(made.size)
    assert offer.left(into) == made.size
