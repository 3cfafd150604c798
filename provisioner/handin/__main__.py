"""`python3 -m provisioner.handin`: the service, from the machine's files.

$CREDENTIALS_DIRECTORY/agent.json                the machine's key, as systemd hands it over
/usr/share/classroom/contest/contest.json        the contest's card, from the layer
/etc/classroom/contest-seat.json                 which seat this is, and who keeps entries
/run/classroom/state/hand-in/                    the box: it outlives releases and contests
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter

from provisioner.clock import read_clock
from provisioner.entry.keeping import Keeping
from provisioner.errors import UntrustedError
from provisioner.handin.box import Box, Seat
from provisioner.handin.courier import Background, Courier, HttpLine, bring_all
from provisioner.handin.finding import Answerer, RoomLine
from provisioner.handin.room import Relay, pupils_seats
from provisioner.handin.service import (
    PAGE_PORT,
    ROOM_PORT,
    Desk,
    Room,
    page_server,
    room_server,
)
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.contest import ContestCard, SeatFile
from provisioner.model.entry import HandIn, Keeper, Limits
from provisioner.model.order import KeyHex
from provisioner.model.signed import PrivateKey

AGENT = "agent.json"
CARD = "usr/share/classroom/contest/contest.json"
SEAT = "etc/classroom/contest-seat.json"
BOX = "run/classroom/state/hand-in"


class AgentFile(Model):
    """The parts of /etc/classroom/agent.json that are needed here."""

    model_config = ConfigDict(extra="ignore")

    station_url: ShortText
    station_key: KeyHex
    machine_key: KeyHex
    asset_tag: ShortText


class Service:
    """Everything that runs on one machine while a contest is on."""

    def __init__(self, root: Path, credentials: Path, page_port: int = PAGE_PORT,
                 room_port: int = ROOM_PORT) -> None:  # fmt: skip
        agent = AgentFile.model_validate_json((credentials / AGENT).read_bytes())
        card = ContestCard.model_validate_json((root / CARD).read_bytes())
        seat = SeatFile.model_validate_json((root / SEAT).read_bytes())
        key, folder = PrivateKey.from_hex(agent.machine_key), root / BOX / card.name
        keepers = {Keeper.STATION: agent.station_key}
        if seat.teacher_key:
            keepers[Keeper.TEACHER] = seat.teacher_key
        self.box = Box(folder, key, Seat(card.name, seat.school, agent.asset_tag, seat.seat),
                       lambda: read_clock(root), card.limits, keepers)  # fmt: skip
        self.couriers: list[Background] = [
            Courier(self.box, Keeper.STATION, HttpLine(f"{agent.station_url}/contests/{card.name}"))
        ]
        if seat.teacher_key:
            line = RoomLine(seat.teacher_url, card.name, seat.teacher_key, room_port)
            self.couriers.append(Courier(self.box, Keeper.TEACHER, line))
        desk = Desk(self.box, card, lambda: read_clock(root), self.wake)
        self.answerer: Answerer | None = None
        room: Keeping | None = None
        if seat.teacher:
            room = Keeping(folder / "room", key, Keeper.TEACHER, lambda: read_clock(root),
                           card.limits, accept=_only(card.name))  # fmt: skip
            self.answerer = Answerer(card.name, key, seat.room_address, room_port)
        view = Room(room, pupils_seats(root), self.wake) if room else None
        self.servers = [page_server(desk, page_port, view)]
        if room is not None:
            self.servers.append(room_server(room, seat.room_address, room_port))
            home = HttpLine(f"{agent.station_url}/contests/{card.name}")
            relay = Relay(room, home, agent.station_key)
            self.couriers.append(Background(relay.bring_all, "relay"))

    def wake(self) -> None:
        for courier in self.couriers:
            courier.wake()

    def start(self) -> None:
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        for courier in self.couriers:
            courier.start()
        if self.answerer:
            self.answerer.start()

    def stop(self) -> None:
        if self.answerer:
            self.answerer.stop()
        for courier in self.couriers:
            courier.stop()
        for server in self.servers:
            server.shutdown()
            server.server_close()


def _only(contest: str) -> Callable[[HandIn, str], None]:
    def accept(hand_in: HandIn, _key: str) -> None:
        if hand_in.contest != contest:
            raise UntrustedError("This entry belongs to another contest.")

    return accept


def send(root: Path, credentials: Path, contest: str) -> None:
    """Bring home once what waits in a contest's box: when the contest is off, the agent calls this.

    Raises ProvisionerError.
    """
    agent = AgentFile.model_validate_json((credentials / AGENT).read_bytes())
    key, folder = PrivateKey.from_hex(agent.machine_key), root / BOX / contest
    home = HttpLine(f"{agent.station_url}/contests/{contest}")
    seat = Seat(contest, "unknown", agent.asset_tag)  # nothing is signed here
    box = Box(folder, key, seat, lambda: read_clock(root), Limits(),
              {Keeper.STATION: agent.station_key})  # fmt: skip
    bring_all(box, Keeper.STATION, home)
    if (folder / "room").is_dir():
        room = Keeping(folder / "room", key, Keeper.TEACHER, lambda: read_clock(root), Limits())
        Relay(room, home, agent.station_key).bring_all()


def main() -> None:
    if sys.argv[1:2] == ["--send"]:
        contest = TypeAdapter(Name).validate_python(sys.argv[2])
        send(Path("/"), Path(os.environ["CREDENTIALS_DIRECTORY"]), contest)
        return
    service = Service(Path("/"), Path(os.environ["CREDENTIALS_DIRECTORY"]))
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    service.start()
    done.wait()
    service.stop()


if __name__ == "__main__":
    main()
