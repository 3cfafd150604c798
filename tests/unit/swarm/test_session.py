"""libtorrent as we set it up: who may talk to it, and what it holds open."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import pytest

from provisioner.swarm.session import SETTINGS, Place, Session, Sources, times_open
from provisioner.swarm.torrent import Torrent, make_torrent

lt: Any = pytest.importorskip("libtorrent")
NAME = "system.squashfs"
HERE, THERE = IPv4Interface("127.0.0.1/8"), IPv4Interface("127.0.0.2/8")


@pytest.fixture
def torrent(tmp_path: Path) -> Torrent:
    (tmp_path / NAME).write_bytes(os.urandom(1_500_000))
    made = make_torrent(tmp_path, "lab@2026.1")
    assert made is not None
    return made


def meet(tmp_path: Path, torrent: Torrent, giver: IPv4Interface, taker: IPv4Interface) -> bool:
    """Whether the taker gets the file from the giver within a while."""
    alone = torrent.alone(NAME)
    with Session(giver) as first, Session(taker) as second:
        first.share(alone, Place(tmp_path, NAME), tracker="", whole=True)
        taken = second.share(alone, Place(tmp_path, "taken"), tracker="")
        taken.connect(giver.ip, first.port)
        until = time.monotonic() + 3
        while not (now := taken.standing()).complete and time.monotonic() < until:
            time.sleep(0.05)
        if now.complete:
            taken.flush()
            assert (tmp_path / "taken").read_bytes() == (tmp_path / NAME).read_bytes()
            taken.rename("named")
            taken.pause()
            assert times_open(tmp_path / "named") == 0
        return now.complete


def test_neighbours_share(tmp_path: Path, torrent: Torrent) -> None:
    assert meet(tmp_path, torrent, HERE, THERE)


@pytest.mark.parametrize(
    ("giver", "taker"),
    [(IPv4Interface("127.0.0.3/32"), THERE), (HERE, IPv4Interface("127.0.0.2/32"))],
)
def test_strangers_do_not(
    tmp_path: Path, torrent: Torrent, giver: IPv4Interface, taker: IPv4Interface
) -> None:
    assert not meet(tmp_path, torrent, giver, taker)


def test_every_setting_is_known_to_libtorrent() -> None:
    assert set(SETTINGS) <= set(lt.default_settings())


def test_nobody_outside_is_asked() -> None:
    with Session(HERE) as session:
        now = session._session.get_settings()
        assert not any(now[f"enable_{way}"] for way in ("dht", "lsd", "upnp", "natpmp"))
        assert now["listen_interfaces"] == "127.0.0.1:0"
        rules = session._session.get_ip_filter()
        assert [rules.access(who) for who in ("127.9.9.9", "10.0.0.1", "192.0.2.1", "::1")] == [
            0, 1, 1, 1
        ]  # fmt: skip


def test_bytes_are_counted_by_who_brought_them_also_after_a_new_connection() -> None:
    sources = Sources()
    for total in (10, 30, 30, 5, 25):  # a new connection begins between 30 and 5
        sources.add("10.0.0.2", False, total, from_station=False)
    sources.add("10.0.0.1", True, 7, from_station=True)
    sources.add("10.0.0.1", False, 8, from_station=True)
    assert (sources.peers, sources.station) == (55, 15)
