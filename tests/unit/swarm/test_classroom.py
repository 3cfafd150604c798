"""Machines of one room that find each other without a tracker."""

from __future__ import annotations

import os
import time
from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from provisioner.swarm.classroom import Classroom
from provisioner.swarm.session import Place
from provisioner.swarm.torrent import make_torrent

pytest.importorskip("libtorrent")
HERE, THERE = IPv4Interface("127.0.0.1/8"), IPv4Interface("127.0.0.2/8")


def test_two_find_each_other_and_one_that_is_shut_out_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(1_100_000))
    torrent = make_torrent(tmp_path, "lab@2026.1")
    assert torrent is not None
    alone = torrent.alone("large")
    with Classroom(HERE) as first, Classroom(THERE) as second:
        first.share(alone, Place(tmp_path, "large"), tracker="", whole=True)
        taken = second.share(alone, Place(tmp_path, "taken"), tracker="")
        until = time.monotonic() + 20
        while not taken.standing().complete and time.monotonic() < until:
            time.sleep(0.05)
        assert taken.standing().complete
        assert taken.takers() == []
        second.remove(taken)
        second.shut_out(HERE.ip)
        again = second.share(alone, Place(tmp_path, "again"), tracker="")
        time.sleep(1.5)
        assert again.standing().peers == 0
        assert not any(again.around())
    assert (tmp_path / "taken").read_bytes() == (tmp_path / "large").read_bytes()
