"""Twenty-five PCs that name themselves badly, all switched on at once, through the real doors.

The reports are those of PCs whose SMBIOS holds placeholders, copies and nothing at all, made by
hand (`tests/vm/pallet.py`); `tests/vm/test_pallet.py` starts them as real guests. Here the agent's
own loop registers over HTTP with the station's machine side; questions are answered through the
operator's door, by somebody who sees the cases: 0 wrong merges, 0 lost.
"""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Interface
from pathlib import Path

import pytest
import uvicorn
from fastapi.testclient import TestClient

from provisioner.agent.client import StationClient
from provisioner.agent.main import Agent
from provisioner.agent.memory import Counter, UsedOrders
from provisioner.agent.surroundings import Home
from provisioner.agent.worker import Worker
from provisioner.api.machine import make_machine_app
from provisioner.api.operator import make_operator_app
from provisioner.model.hardware import Hardware
from provisioner.model.identity import identifiers
from provisioner.model.record import RestartEvidence
from provisioner.model.signed import PrivateKey
from provisioner.model.wire import BootFacts, Surroundings
from provisioner.netboot.settings import NetbootSettings
from provisioner.settings import Settings
from provisioner.workshop.station import OPERATOR_TOKEN, Station, open_station
from tests.unit.workshop.conftest import open_batch, publish, small_manifest
from tests.vm.pallet import as_reported, pallet

pytestmark = pytest.mark.integration


def reports() -> list[Hardware]:
    return [as_reported(guest) for guest in pallet()]


class Doors:
    """A station whose machine side listens on loopback, and a person at its dashboard."""

    def __init__(self, folder: Path, size: int) -> None:
        self.station: Station = open_station(Settings(state_dir=folder / "state"))
        publish(self.station, small_manifest())
        open_batch(self.station, size=size)
        netboot = NetbootSettings(
            interface="eth0", station=IPv4Interface("10.77.0.1/24"), tftp_root=folder,
            state_dir=folder,
        )  # fmt: skip
        listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        app = make_machine_app(self.station, netboot, folder)
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        run = {"sockets": [listening]}
        self._thread = threading.Thread(target=self._server.run, kwargs=run, daemon=True)
        self._thread.start()
        token = (self.station.settings.state_dir / OPERATOR_TOKEN).read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        self.person = TestClient(make_operator_app(self.station), headers=headers)
        until = time.monotonic() + 60
        while not self._server.started:
            assert time.monotonic() < until
            time.sleep(0.02)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self.station.database.close()

    def waiting(self) -> list[int]:
        """Machines of which somebody must say who they are."""
        tiles = self.person.get("/api/v1/machines").json()
        return [tile["id"] for tile in tiles if (tile["needs_hand"] or {}).get("kind") == "who"]

    def say(self, number: int, tag: str | None) -> None:
        answer = self.person.post(f"/api/v1/waiting/{number}/who", json={"tag": tag})
        assert answer.status_code == 200, answer.text

    def switch_on(self, hardware: Hardware) -> Agent:
        """One start of the live environment: a new key, and the agent's first exchange."""
        home = Home(Surroundings.LIVE, self.url, self.station.key.public, PrivateKey.generate())
        agent = Agent(
            home, StationClient(home, Counter()), Worker(lambda *_: RestartEvidence()),
            UsedOrders(), lambda: (hardware, BootFacts(surroundings=Surroundings.LIVE)),
        )  # fmt: skip
        agent.turn()
        return agent


@dataclass
class Outcome:
    """What an observer counts who knows which machine is which."""

    tags: list[str]
    questions: int = 0
    wrong_merges: int = 0
    lost: int = 0
    tags_again: list[str] = field(default_factory=list)


def live_through(doors: Doors, told: list[Hardware], seed: int) -> Outcome:
    """All at once for the first time; then each is started again, twice, in any order."""
    with ThreadPoolExecutor(len(told)) as pool:
        agents = list(pool.map(doors.switch_on, told))
    first = doors.waiting()
    for number in first:
        doors.say(number, None)  # nobody has a label yet: it is new
    outcome = Outcome([tag_of(agent) for agent in agents], len(first))
    order = list(range(len(told))) * 2
    random.Random(seed).shuffle(order)
    for index in order:
        agent = doors.switch_on(told[index])
        for number in doors.waiting():
            outcome.questions += 1
            doors.say(number, outcome.tags[index])  # read from the label on its case
        tag = tag_of(agent)
        outcome.wrong_merges += tag != outcome.tags[index] and tag in outcome.tags
        outcome.lost += tag not in outcome.tags
        outcome.tags_again.append(tag)
    return outcome


def tag_of(agent: Agent) -> str:
    agent.turn()
    return agent.scene.asset_tag


@pytest.fixture
def doors(tmp_path: Path) -> Iterator[Doors]:
    made = Doors(tmp_path, 25)
    yield made
    made.close()


def test_none_of_them_has_a_name_of_its_own() -> None:
    said = [(i.uuid, i.system_serial, i.board_serial) for i in map(identifiers, reports())]
    assert said.count(("", "", "")) == 21
    assert len(set(said)) == 2  # the other four share what they say


@pytest.mark.parametrize("seed", [1, 2])
def test_none_is_merged_and_none_is_lost(doors: Doors, seed: int) -> None:
    outcome = live_through(doors, reports(), seed)
    assert len(set(outcome.tags)) == 25 and "" not in outcome.tags
    assert (outcome.wrong_merges, outcome.lost) == (0, 0), outcome
    assert outcome.questions <= 6, outcome  # copies of one BIOS, of one disk serial, of one MAC
    assert len(doors.person.get("/api/v1/machines").json()) == 25
