"""Between two rounds: a room of 25 seats, reset over SSH and looked at, in under five minutes.

Real trixies with systemd and sshd; the room's own code (`provisioner contest reset`). Measured
are the wall-clock seconds of the whole room on this computer, which has all 25 machines besides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from provisioner.contest.folder import load_contest
from provisioner.contest.publishing import make_layer
from provisioner.contest.room import bring_room, reset_room, seats_of
from provisioner.lifecycle import Milestone
from provisioner.model.signed import PrivateKey
from provisioner.settings import load_settings
from provisioner.workshop.station import Station
from tests import factories
from tests.contest_machines import (
    CONTEST_PACKAGES,
    ContestMachine,
    ensure_loops,
    room_wire,
    with_agent,
)
from tests.contest_room import CONTEST, contest_yml, make_contest_station
from tests.integration.classroom_target import system_squashfs

pytestmark = [pytest.mark.vm, pytest.mark.long,
              pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")]  # fmt: skip
SEATS = int(os.environ.get("SEATS", "25"))
MOST_S = 300.0


@pytest.fixture
def room(tmp_path: Path) -> Iterator[tuple[Station, list[ContestMachine]]]:
    image = system_squashfs(load_settings().cache_dir, CONTEST_PACKAGES)
    station = make_contest_station(tmp_path, contest_yml())
    ensure_loops(4 * SEATS + 16)
    with ExitStack() as stack:
        stack.callback(station.database.close)
        wire = stack.enter_context(room_wire(2))
        machines = [make(station, wire.wire(number), image, tmp_path, number)
                    for number in range(1, SEATS + 1)]  # fmt: skip
        for machine in machines:
            stack.callback(machine.stop)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(ContestMachine.start, machines))
        for number, machine in enumerate(machines, 1):
            machine.shell("useradd --uid 2001 --create-home --shell /bin/bash pupil")
            known(station, number, machine)
        yield station, machines


def make(station: Station, wire: object, image: Path, folder: Path,
         number: int) -> ContestMachine:  # fmt: skip
    key = PrivateKey.from_hex(f"{number + 900:064x}")
    prepare = with_agent(key, f"PC-{number:04d}", "http://192.0.2.1:8080", station.key.public,
                         f"pupil-{number:02d}", [], runs=False)  # fmt: skip
    return ContestMachine(f"pc{number}", folder / f"pc{number}", image, wire, prepare)  # type: ignore[arg-type]


def known(station: Station, number: int, machine: ContestMachine) -> None:
    """What the station has heard of a machine that was handed over."""
    with station.database.transaction() as session:
        row = factories.add_machine(session, number, Milestone.HANDED_OVER)
        row.installed_key = PrivateKey.from_hex(f"{number + 900:064x}").public
        row.seat, row.address = number, machine.target.address
        row.ssh_host_keys = [" ".join(machine.target.host_key.split()[:2])]


def test_25_seats_are_fresh_in_five_minutes(
    room: tuple[Station, list[ContestMachine]], tmp_path: Path
) -> None:
    station, machines = room
    contest = load_contest(station.settings.inventories_dir, CONTEST)
    make_layer(station, contest)
    with station.database.reading() as session:
        seats = seats_of(station, session, "new-shoots")
    assert len(seats) == len(machines)
    switched = bring_room(station, contest, seats, "on", tmp_path / "on")
    assert [seat.problem for seat in switched.seats] == [""] * len(machines)
    for machine in machines:
        machine.shell("mkdir -p /home/pupil/作品; echo mine >/home/pupil/作品/game.sb3;"
                      "echo x >>/home/pupil/比赛/rules.zh.md; chown -R pupil: /home/pupil;"
                      "mkdir -p /run/classroom/state/hand-in/x; echo entry"
                      " >/run/classroom/state/hand-in/x/y")  # fmt: skip
    done = reset_room(station, seats, tmp_path / "reset")
    print(json.dumps({"seats": len(seats), "on_s": round(switched.seconds, 1),
                      "reset_s": round(done.seconds, 1)}))  # fmt: skip
    assert [seat.problem for seat in done.seats] == [""] * len(machines)
    assert done.seconds < MOST_S
    for machine in (machines[0], machines[-1]):
        assert "作品" not in machine.shell("ls /home/pupil")
        kept = machine.shell("cat /home/.contest-aside/pupil/000001/作品/game.sb3")
        assert kept.strip() == "mine"
        assert "x" not in machine.shell("tail -n1 /home/pupil/比赛/rules.zh.md").split()
        assert machine.shell("cat /run/classroom/state/hand-in/x/y").strip() == "entry"
    spoilt = machines[0]
    spoilt.shell("echo left >/home/pupil/left; chown pupil: /home/pupil/left")
    assert not spoilt.says("/usr/lib/classroom/contest-look pupil")
