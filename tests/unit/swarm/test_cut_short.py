"""A server that cuts every answer short: gone on from while it leads somewhere, then given up."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from provisioner.errors import StationError, UnreachableError
from provisioner.release.chunks import Span
from provisioner.swarm.carrier import RangeCarrier
from provisioner.swarm.delta import fetch_missing
from provisioner.swarm.fetch import CUT_TRIES, CutShortError, HttpCarrier, Tries, Wanted
from provisioner.swarm.torrent import make_torrent
from tests.unit.agent.station import StubStation
from tests.unit.swarm.edits import made_up

NAME = "system.squashfs"
DATA = made_up(1_200_000, 77)
WANTED = Wanted(NAME, len(DATA), hashlib.sha256(DATA).hexdigest())
Bring = Callable[[HttpCarrier, Path], object]


@pytest.fixture
def station(tmp_path: Path) -> Iterator[StubStation]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / NAME).write_bytes(DATA)
    made = StubStation(tmp_path / "served")
    yield made
    made.close()


def nothing(_have: int) -> None:
    pass


def whole(http: HttpCarrier, folder: Path) -> object:
    return http.fetch(WANTED, folder / NAME, nothing)


def pieces(http: HttpCarrier, folder: Path) -> object:
    torrent = make_torrent(folder / "served", "lab@2026.1")
    assert torrent is not None
    return RangeCarrier(http, torrent).fetch(WANTED, folder / NAME, nothing)


def spans(http: HttpCarrier, folder: Path) -> object:
    part = folder / f"{NAME}.part"
    fetch_missing(http, WANTED, part, [Span(0, len(DATA))], nothing)
    return part.rename(folder / NAME)


def document(http: HttpCarrier, folder: Path) -> object:
    return (folder / NAME).write_bytes(http.read(NAME, 1 << 21))


@pytest.mark.parametrize("bring", [whole, pieces, spans, document])
def test_one_that_never_leads_anywhere_is_given_up_with_its_cause(
    station: StubStation, tmp_path: Path, bring: Bring
) -> None:
    station.cut_after = 0
    waits: list[float] = []
    http = HttpCarrier(station.url, lambda _error, pause: waits.append(pause))
    with pytest.raises(StationError, match=rf"cut short: {CUT_TRIES} in a row.*{NAME}"):
        bring(http, tmp_path)
    assert len(waits) == CUT_TRIES - 1
    assert sum(waits) > 60


@pytest.mark.parametrize("bring", [whole, pieces, spans])
def test_one_that_cuts_in_the_middle_of_every_piece_costs_only_time(
    station: StubStation, tmp_path: Path, bring: Bring
) -> None:
    """A piece has 256 KiB; no answer ever brings one whole."""
    station.cut_after = 50_000
    bring(HttpCarrier(station.url, lambda _error, _pause: None), tmp_path)
    assert (tmp_path / NAME).read_bytes() == DATA
    assert sum(path == f"/{NAME}" for path, _ in station.gets) <= 2 + len(DATA) // 50_000


def test_silence_is_never_given_up() -> None:
    tries = Tries(NAME)
    for _ in range(1000):
        assert tries.failed(UnreachableError("silent")) <= 5.0
    for _ in range(CUT_TRIES - 1):
        tries.failed(CutShortError("cut"))
    tries.failed(UnreachableError("silent again"))
    with pytest.raises(StationError):
        tries.failed(CutShortError("cut"))


def test_what_leads_on_starts_the_count_anew() -> None:
    tries = Tries(NAME)
    for _ in range(10 * CUT_TRIES):
        assert tries.failed(CutShortError("cut")) == 0.5
        tries.moved()
