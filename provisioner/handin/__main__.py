"""`python3 -m provisioner.handin`: the service, from the machine's files.

$CREDENTIALS_DIRECTORY/agent.json                the machine's key, as systemd hands it over
/usr/share/classroom/contest/contest.json        the contest's card, from the layer
/etc/classroom/contest-seat.json                 which seat this is, and who keeps entries
/run/classroom/state/hand-in/                    the box: it outlives releases and contests
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from pydantic import ConfigDict, Field

from provisioner.entry.keeping import Keeping
from provisioner.handin.box import Box, Seat
from provisioner.handin.clock import read_clock
from provisioner.handin.courier import Courier, HttpLine
from provisioner.handin.service import PAGE_PORT, ROOM_PORT, Desk, page_server, room_server
from provisioner.model.base import Model, Name, ShortText
from provisioner.model.contest import ContestCard
from provisioner.model.entry import Keeper
from provisioner.model.order import KeyHex
from provisioner.model.signed import PrivateKey

AGENT = "agent.json"
CARD = "usr/share/classroom/contest/contest.json"
SEAT = "etc/classroom/contest-seat.json"
BOX = "run/classroom/state/hand-in"


class SeatFile(Model):
    """Written by the playbook: this machine's place in the contest."""

    school: Name
    seat: ShortText
    teacher: bool = False
    teacher_url: ShortText = Field("", description="http://ADDRESS:PORT of the teacher's machine")
    teacher_key: KeyHex | None = None
    room_address: ShortText = Field("0.0.0.0", description="where a teacher's machine listens")  # noqa: S104


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
        self.couriers = [
            Courier(self.box, Keeper.STATION, HttpLine(f"{agent.station_url}/contests/{card.name}"))
        ]
        if seat.teacher_url and seat.teacher_key:
            self.couriers.append(Courier(self.box, Keeper.TEACHER, HttpLine(seat.teacher_url)))
        desk = Desk(self.box, card, lambda: read_clock(root), self.wake)
        self.servers = [page_server(desk, page_port)]
        if seat.teacher:
            keeping = Keeping(folder / "room", key, Keeper.TEACHER, lambda: read_clock(root),
                              card.limits)  # fmt: skip
            self.servers.append(room_server(keeping, seat.room_address, room_port))

    def wake(self) -> None:
        for courier in self.couriers:
            courier.wake()

    def start(self) -> None:
        for server in self.servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
        for courier in self.couriers:
            courier.start()

    def stop(self) -> None:
        for courier in self.couriers:
            courier.stop()
        for server in self.servers:
            server.shutdown()
            server.server_close()


def main() -> None:
    service = Service(Path("/"), Path(os.environ["CREDENTIALS_DIRECTORY"]))
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    service.start()
    done.wait()
    service.stop()


if __name__ == "__main__":
    main()
