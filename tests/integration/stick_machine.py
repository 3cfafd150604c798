"""A machine in a network without a route: takes a stick and fills its inactive side.

Arguments: the stick, the machine's folder, the station's key. Prints what came of it as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from provisioner.agent import side
from provisioner.agent.journey import Journey
from provisioner.agent.renew import fetched_manifest
from provisioner.agent.stick import Sticks
from provisioner.agent.surroundings import Home
from provisioner.model.order import Order, RenewWork
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import Surroundings
from provisioner.run import run
from tests.integration.side_world import roots_of


def main(stick: Path, machine: Path, key: str) -> None:
    run(["ip", "link", "set", "lo", "up"], timeout_s=20)
    home = Home(Surroundings.INSTALLED, "http://192.0.2.1:8080", key, PrivateKey.generate(),
                asset_tag="PC-0001")  # fmt: skip
    offered: list[Order] = []
    memory = machine / "agent"
    memory.mkdir(exist_ok=True)

    def offer(order: Order) -> bool:
        offered.append(order)
        return True

    sticks = Sticks(home, offer, memory, machine, lambda: iter([stick]))
    sticks.turn()
    work = offered[0].work
    assert isinstance(work, RenewWork)

    def wait(error: Exception, _pause: float) -> None:
        raise error

    station = side.Station(sticks.url, key, wait)
    envelope = fetched_manifest(station.http(side.RELEASES, work.release), work)
    found = side.fill_side(envelope, work.release, roots_of(machine), station,
                           Journey(side.STEPS))  # fmt: skip
    routes = run(["ip", "route", "show"], timeout_s=20).stdout
    sent = Path("/proc/net/dev").read_text()
    cards = [line.split(":")[0].strip() for line in sent.splitlines() if ":" in line]
    print(json.dumps({"bytes": found.bytes_from_station, "routes": routes, "cards": cards}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
