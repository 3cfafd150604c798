"""A contest room on this computer: a station, a teacher's and pupils' machines, each its service.

The services are processes of their own on loopback ports; what would be on a machine's disk lies
in a folder each. The station can be out of reach, and any service can be killed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from provisioner.api.machine import make_machine_app
from provisioner.contest.folder import load_contest
from provisioner.lifecycle import Milestone
from provisioner.model.signed import PrivateKey
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.settings import Settings
from provisioner.workshop.station import Station, open_station
from tests import factories
from tests.unit.contest.conftest import write_contest

CONTEST = "contest-2027"
ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
YML = """\
title: {{en: Design a game, zh: 设计一个游戏}}
version: 1
opens: {opens}
closes: {closes}
late: {late}
age_groups:
  - {{name: primary, title: {{en: Primary school, zh: 小学组}}}}
  - {{name: middle, title: {{en: Middle school, zh: 初中组}}}}
schools: [new-shoots]
"""


def contest_yml(opens_h: float = -1, closes_h: float = 2, late: str = "mark") -> str:
    """A contest that began and ends so many hours from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    moments = {"opens": now + timedelta(hours=opens_h), "closes": now + timedelta(hours=closes_h)}
    return YML.format(**{name: at.isoformat() for name, at in moments.items()}, late=late)


def make_contest_station(folder: Path, text: str, state: str = "state") -> Station:
    """A station with the contest's folder, and a batch of the school new-shoots."""
    factories.make_station(folder).database.close()
    inventories = folder / "inventories"
    if not inventories.exists():
        shutil.copytree(Settings().inventories_dir, inventories)
    write_contest(inventories, text)
    settings = Settings(state_dir=folder / state, inventories_dir=inventories)
    station = open_station(settings, url="http://10.77.0.1:8080")
    factories.open_batch(station)
    return station


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def wait_until(done: Callable[[], object], what: str, timeout_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)


@dataclass
class MachinesDoor:
    """The station's door for machines on a loopback port; closed at first."""

    station: Station
    folder: Path
    port: int = field(default_factory=free_port)
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    def open(self) -> None:
        netboot = NetbootSettings(interface="lo", station="10.77.0.1/24", mode=DhcpMode.SERVER,
                                  tftp_root=self.folder, state_dir=self.folder)  # fmt: skip
        app = make_machine_app(self.station, netboot, self.folder)
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="warning",
                                timeout_graceful_shutdown=1)  # fmt: skip
        server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: server.started, "the station's door")
        self._server = server

    def close(self) -> None:
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(timeout=30)
            self._server = None


@dataclass
class MachineService:
    """One machine's files and its hand-in service."""

    root: Path
    key: PrivateKey
    page_port: int = field(default_factory=free_port)
    room_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[str] | None = None

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.page_port}"

    @property
    def box(self) -> Path:
        return self.root / "run/classroom/state/hand-in" / CONTEST

    def start(self) -> None:
        words = [sys.executable, "-m", "tests.handin_worker", str(self.root),
                 str(self.page_port), str(self.room_port)]  # fmt: skip
        self._process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        """As a power cut does; what the disk was not told is judged elsewhere."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(30)
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None


@dataclass
class ContestRoom:
    """Station, teacher, pupils; use `close` at the end."""

    folder: Path
    station: Station
    door: MachinesDoor
    machines: dict[str, MachineService] = field(default_factory=dict)

    @classmethod
    def make(cls, folder: Path, text: str = "") -> ContestRoom:
        station = make_contest_station(folder, text or contest_yml())
        return cls(folder, station, MachinesDoor(station, folder))

    def add(self, name: str, number: int, teacher: MachineService | None = None,
            *, clock_known: bool = True) -> MachineService:  # fmt: skip
        """A machine that the station knows; the first one may be the teacher's."""
        key = PrivateKey.from_hex(f"{number + 500:064x}")
        with self.station.database.transaction() as session:
            row = factories.add_machine(session, number, Milestone.HANDED_OVER)
            row.installed_key, tag = key.public, row.asset_tag
        made = MachineService(self.folder / name, key)
        seat: dict[str, object] = {"school": "new-shoots", "seat": name}
        if teacher is None:
            seat |= {"teacher": True, "room_address": "127.0.0.1"}
        else:
            seat |= {"teacher_url": f"http://127.0.0.1:{teacher.room_port}",
                     "teacher_key": teacher.key.public}  # fmt: skip
        contest = load_contest(self.station.settings.inventories_dir, CONTEST)
        files = {
            "agent.json": {"station_url": f"http://127.0.0.1:{self.door.port}",
                           "station_key": self.station.key.public,
                           "machine_key": key.to_hex(), "asset_tag": tag, "release": "x"},
            "usr/share/classroom/contest/contest.json": contest.card.model_dump(mode="json"),
            "etc/classroom/contest-seat.json": seat,
            "etc/classroom/school.json": {"room": [
                {"seat": "teacher", "role": "teacher"}, {"seat": "pupil-01", "role": "pupil"},
                {"seat": "pupil-02", "role": "pupil"}]},
        }  # fmt: skip
        for path, value in files.items():
            (made.root / path).parent.mkdir(parents=True, exist_ok=True)
            (made.root / path).write_text(json.dumps(value))
        if clock_known:
            mark = made.root / "run/systemd/timesync/synchronized"
            mark.parent.mkdir(parents=True)
            mark.touch()
        self.machines[name] = made
        return made

    def close(self) -> None:
        for machine in self.machines.values():
            machine.kill()
        self.door.close()
        self.station.database.close()
