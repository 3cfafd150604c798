"""A machine of a room without any line; a stick is in it, or in a neighbour.

Arguments: asset tag, the station's public key, where it remembers, the stick or `-`. Says what it
was offered, fetches its manifest from where the stick's files are, and hands its receipt back.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from provisioner.agent.field import has_release
from provisioner.agent.room_stick import Room
from provisioner.agent.stick import Sticks
from provisioner.agent.surroundings import Home
from provisioner.model.order import Order, RenewWork
from provisioner.model.record import Problem, Record
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings

LOOK_S = 0.2


def main(tag: str, key: str, memory: Path, stick: str) -> None:
    memory.mkdir(parents=True)
    home = Home(Surroundings.INSTALLED, "http://192.0.2.1:8080", key, PrivateKey.generate(),
                asset_tag=tag)  # fmt: skip
    offered: list[Order] = []

    def offer(order: Order) -> bool:
        offered.append(order)
        return True

    def look() -> Iterator[Path]:
        if stick != "-":
            yield Path(stick)

    sticks = Sticks(home, offer, memory, memory, look, Room(home))
    while not offered:
        sticks.turn()
        time.sleep(LOOK_S)
    work = offered[0].work
    assert isinstance(work, RenewWork)
    there = has_release(sticks.url, work.release)
    record = Record(order=offered[0].id, problem=Problem(kind="x", message="tried"), seconds=1.0)
    sticks.keep(offered[0], record)
    print(json.dumps({"tag": tag, "release": work.release, "there": there}), flush=True)
    while True:
        sticks.turn()
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
