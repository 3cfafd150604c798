"""What a machine asks of its neighbours, and when: without libtorrent, with the clock told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.swarm.fetch import Wanted
from provisioner.swarm.pull import EAR_S, FLUSH_S, Errand, SwarmPull
from provisioner.swarm.session import Standing

WANTED = Wanted("system.squashfs", 100_000_000, "0" * 64)


class Share:
    """Notes what it is told; stands for the part of a file too."""

    def __init__(self) -> None:
        self.flushed = 0
        self.order: list[bool] = []
        self.taking: list[bool] = []

    def in_order(self, on: bool) -> None:
        self.order.append(on)

    def take(self, on: bool) -> None:
        self.taking.append(on)

    def flush(self) -> None:
        self.flushed += 1

    def missing(self) -> list[int]:
        return [1, 2]


class Ear:
    def __init__(self) -> None:
        self.hears = False
        self.told: list[Any] = []

    def tell(self, missing: Any) -> None:
        self.told.append(missing)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=1000.0)
    monkeypatch.setattr("provisioner.swarm.pull.time.monotonic", lambda: made.now)
    return made


def make(share: Share, ear: Ear) -> SwarmPull:
    anything: Any = None
    told: Any = share
    heard: Any = ear
    return SwarmPull(Errand(anything, WANTED, told, told, anything, anything), "", heard)


def standing(peers: int) -> Standing:
    return Standing(done=0, checking=False, complete=False, received=0, peers=peers)


def test_alone_the_disk_is_spared_and_in_company_rare_pieces_come_first() -> None:
    share = Share()
    pull = make(share, Ear())
    for peers in (0, 1, 1, 5, 5, 1):
        pull._keep_order(standing(peers))
    assert share.order == [True, False, True]


def test_neighbours_are_asked_when_no_carousel_begins(clock: SimpleNamespace) -> None:
    share, ear = Share(), Ear()
    pull = make(share, ear)
    assert pull._listen()
    clock.now += EAR_S + 0.1
    assert not pull._listen()
    assert share.taking == [True]
    assert ear.told == [[1, 2], [1, 2]]


def test_neighbours_rest_while_the_carousel_is_heard(clock: SimpleNamespace) -> None:
    share, ear = Share(), Ear()
    pull = make(share, ear)
    pull._listen()
    clock.now += EAR_S + 0.1
    ear.hears = True
    assert pull._listen()
    ear.hears = False
    assert not pull._listen()
    ear.hears = True
    assert pull._listen()
    assert share.taking == [True, False]


def test_what_came_is_flushed_after_a_hundredth_or_after_a_while(clock: SimpleNamespace) -> None:
    share = Share()
    pull = make(share, Ear())
    pull._note_flushed(10_000_000)
    flushed = []
    steps = [(0, 10_500_000), (0, 11_000_000), (FLUSH_S + 0.1, 11_000_000), (0, 11_000_001)]
    for wait, done in steps:
        clock.now += wait
        pull._flush_when_due(done)
        flushed.append(share.flushed)
    assert flushed == [0, 2, 2, 4]  # libtorrent's own and the file's, each time
