"""Fetching what is missing: only that, in whole, and the whole file when that cannot be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import ImageMismatchError, NotFoundError, UnreachableError, WrongStateError
from provisioner.release import chunking
from provisioner.release.chunks import ChunkMap, Span, digest_of, write_chunk_map
from provisioner.swarm import delta
from provisioner.swarm.delta import DeltaCarrier, RangesRefusedError, fetch_missing
from provisioner.swarm.fetch import Fetched, HttpCarrier, Wanted
from provisioner.swarm.prefill import old_releases
from tests.unit.agent.station import StubStation
from tests.unit.swarm.edits import made_up

OLD = made_up(3_000_000, 21)
NEW = OLD[:900_000] + made_up(150_000, 22) + OLD[900_000:2_800_000] + made_up(90_000, 23)
WANTED = Wanted("system.squashfs", len(NEW), hashlib.sha256(NEW).hexdigest())


class Machine:
    """A station with the new release, and a machine's disk with the old one."""

    def __init__(self, folder: Path) -> None:
        self.served, self.disk = folder / "served", folder / "releases"
        for root, data in ((self.served, NEW), (self.disk / "lab@2026.1", OLD)):
            root.mkdir(parents=True)
            (root / "system.squashfs").write_bytes(data)
            chunking.add_chunk_map(root)
        self.into = self.disk / "lab@2026.2/system.squashfs"
        self.into.parent.mkdir()
        self.part = self.into.with_name("system.squashfs.part")
        self.station = StubStation(self.served)
        self.waits: list[str] = []

    @property
    def http(self) -> HttpCarrier:
        return HttpCarrier(self.station.url, lambda error, _pause: self.waits.append(f"{error}"))

    def wanted(self, name: str) -> Wanted:
        """A file as the signed manifest would promise it."""
        data = (self.served / name).read_bytes()
        return Wanted(name, len(data), hashlib.sha256(data).hexdigest())

    def carrier(self, **more: object) -> DeltaCarrier:
        olds = old_releases(self.disk, but="lab@2026.2")
        return DeltaCarrier(self.http, self.wanted("system.chunks"), olds, **more)  # type: ignore[arg-type]

    def fetch(self) -> tuple[Fetched, DeltaCarrier]:
        carrier = self.carrier()
        return carrier.fetch(WANTED, self.into, lambda _have: None), carrier

    def asked(self, name: str = "/system.squashfs") -> list[str]:
        return [asked for path, asked in self.station.gets if path == name]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.station.close()


def arrived(machine: Machine) -> bool:
    found = hashlib.sha256(machine.into.read_bytes()).hexdigest() == WANTED.sha256
    return found and not machine.part.exists()


def test_only_what_changed_is_fetched(machine: Machine) -> None:
    got, carrier = machine.fetch()
    assert arrived(machine)
    assert got.fetched + got.resumed == len(NEW)
    assert 240_000 <= got.fetched < 240_000 + 8 * chunking.MAX_BYTES
    assert not carrier.savings.whole
    assert len(machine.asked()) == 2
    assert all(asked.startswith("bytes=") for asked in machine.asked())


def test_a_second_fetch_brings_nothing(machine: Machine) -> None:
    machine.fetch()
    machine.station.gets.clear()
    assert machine.fetch()[0] == Fetched(0, len(NEW))
    assert machine.asked() == []


def test_spans_share_a_connection_and_close_ones_a_request(machine: Machine) -> None:
    spans = [Span(at, at + 1000) for at in range(0, 100_000, 10_000)]
    spans.append(Span(91_400, 91_500))
    machine.part.write_bytes(NEW)
    got = fetch_missing(machine.http, WANTED, machine.part, spans, lambda _have: None)
    assert got == 10_500
    assert len(machine.asked()) == 10
    assert machine.asked()[-1] == "bytes=90000-91499"
    assert len(machine.station.connections) == 1
    assert machine.part.read_bytes() == NEW


def test_broken_connections_go_on_where_they_broke(machine: Machine) -> None:
    machine.station.cut_after = 40_000
    assert machine.fetch()[0].fetched < 240_000 + 8 * chunking.MAX_BYTES
    assert arrived(machine)
    assert len(machine.waits) >= 4


def test_a_station_without_ranges_sends_it_whole(machine: Machine) -> None:
    machine.station.ranges = False
    got, carrier = machine.fetch()
    assert got == Fetched(len(NEW), 0)
    assert carrier.savings.whole
    assert arrived(machine)


def test_ranges_refused_is_told_to_whoever_asked(machine: Machine) -> None:
    machine.station.ranges = False
    with pytest.raises(RangesRefusedError):
        fetch_missing(machine.http, WANTED, machine.part, [Span(0, 9)], lambda _have: None)


def rewrite_map(machine: Machine, chunks: bytes) -> None:
    (machine.served / "system.chunks").write_bytes(chunks)


def lying_map() -> bytes:
    """It names the right file, but other pieces."""
    pieces = [OLD[at : at + 10_000] for at in range(0, len(NEW), 10_000)]
    pieces[-1] = OLD[: len(NEW) % 10_000]
    digests = b"".join(digest_of(piece) for piece in pieces)
    lengths = tuple(len(piece) for piece in pieces)
    return write_chunk_map(ChunkMap(WANTED.path, WANTED.size, WANTED.sha256, lengths, digests))


def test_an_altered_map_is_not_used(machine: Machine) -> None:
    """The manifest promises another one than the station sends."""
    carrier = machine.carrier()
    data = bytearray((machine.served / "system.chunks").read_bytes())
    data[-40] ^= 1
    rewrite_map(machine, bytes(data))
    assert carrier.fetch(WANTED, machine.into, lambda _have: None).fetched == len(NEW)
    assert arrived(machine)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(lambda data: data[:100], id="truncated"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: lying_map(), id="lying"),
        pytest.param(
            lambda _: write_chunk_map(ChunkMap("vmlinuz", 1, "0" * 64, (1,), bytes(16))),
            id="of another file",
        ),
    ],
)
def test_a_signed_map_that_is_no_good_costs_bytes_only(machine: Machine, chunks: object) -> None:
    data = (machine.served / "system.chunks").read_bytes()
    rewrite_map(machine, chunks(data))  # type: ignore[operator]
    got, carrier = machine.fetch()
    assert arrived(machine)
    assert carrier.savings.whole
    assert got.fetched == len(NEW)


def test_a_release_without_a_map_comes_whole(machine: Machine) -> None:
    carrier = machine.carrier()
    (machine.served / "system.chunks").unlink()
    assert carrier.fetch(WANTED, machine.into, lambda _have: None).fetched == len(NEW)
    assert arrived(machine)


def test_a_release_that_is_gone_is_said(machine: Machine) -> None:
    carrier = machine.carrier()
    for file in machine.served.iterdir():
        file.unlink()
    with pytest.raises(NotFoundError):
        carrier.fetch(WANTED, machine.into, lambda _have: None)


def test_bytes_changed_on_the_way_are_fetched_again(machine: Machine) -> None:
    """A flipped bit in what comes is found by the digest; only its piece is asked for twice."""
    (machine.served / "system.squashfs").write_bytes(NEW[:950_000] + b"?" + NEW[950_001:])
    healed = False

    def mend(have: int) -> None:
        nonlocal healed
        if have == len(NEW) and not healed:
            (machine.served / "system.squashfs").write_bytes(NEW)
            healed = True

    carrier = machine.carrier()
    got = carrier.fetch(WANTED, machine.into, mend)
    assert arrived(machine)
    assert not carrier.savings.whole
    assert 240_000 < got.fetched < 240_000 + 10 * chunking.MAX_BYTES
    assert len(machine.asked()) == 3


@pytest.mark.parametrize("patience", [0.3])
def test_a_trickle_is_a_stalled_connection(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    monkeypatch.setattr(delta, "PATIENCE_S", patience)
    monkeypatch.setattr(delta, "SLOWEST_BYTES_S", 500)
    machine.station.trickle = 3  # so many answers come a few bytes at a time
    machine.fetch()
    assert arrived(machine)
    assert sum("bytes in" in why for why in machine.waits) >= 2


def test_an_answer_longer_than_asked_for_is_not_taken(machine: Machine) -> None:
    machine.station.too_long = 2
    machine.fetch()
    assert arrived(machine)
    assert sum("another range" in why for why in machine.waits) == 2


def test_the_rest_may_come_another_way(machine: Machine) -> None:
    """With a swarm, the begun file is handed over, and what it fetched is counted."""
    begun: list[int] = []

    class Swarm:
        def fetch(self, wanted: Wanted, into: Path, report: object) -> Fetched:
            part = into.with_name(into.name + ".part")
            data = part.read_bytes()
            begun.append(sum(a == b for a, b in zip(data, NEW, strict=True)))
            into.write_bytes(NEW)
            part.unlink()
            return Fetched(250_000, len(NEW) - 250_000)

    carrier = machine.carrier(rest=Swarm())
    assert carrier.fetch(WANTED, machine.into, lambda _have: None).fetched == 250_000
    assert begun[0] > len(NEW) - 300_000
    assert machine.asked() == []


def test_a_wait_is_asked_of_the_owner(machine: Machine) -> None:
    machine.station.close()
    tries: list[float] = []

    def wait(error: UnreachableError, pause: float) -> None:
        tries.append(pause)
        if len(tries) == 7:
            raise KeyboardInterrupt

    http = HttpCarrier(machine.station.url, wait)
    with pytest.raises(KeyboardInterrupt):
        fetch_missing(http, WANTED, machine.part, [Span(0, 9)], lambda _have: None)
    assert tries == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0]


def test_two_at_once_do_not_mix(machine: Machine) -> None:
    refused: list[str] = []

    class Slow:
        def fetch(self, wanted: Wanted, into: Path, report: object) -> Fetched:
            with pytest.raises(WrongStateError) as caught:
                machine.carrier().fetch(wanted, into, lambda _have: None)
            refused.append(caught.value.message)
            return machine.http.fetch(wanted, into, lambda _have: None)

    machine.carrier(rest=Slow()).fetch(WANTED, machine.into, lambda _have: None)
    assert len(refused) == 1
    assert arrived(machine)


def test_another_file_on_the_station_is_said(machine: Machine) -> None:
    (machine.served / "system.squashfs").write_bytes(NEW + b"more")
    with pytest.raises(ImageMismatchError, match="signed manifest says"):
        fetch_missing(machine.http, WANTED, machine.part, [Span(0, 9)], lambda _have: None)
