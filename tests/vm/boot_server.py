"""The station's real door for machines, with a boot decision that the test chooses.

    python3 -m tests.vm.boot_server FOLDER

FOLDER holds `netboot.json` (NetbootSettings), `live/` and `decision.json`, which is read anew
for each request. Requests are logged to standard output.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

from provisioner.api import machine
from provisioner.netboot.menus import BootDecision
from provisioner.netboot.settings import NetbootSettings
from tests.factories import make_station


def main(folder: Path) -> None:
    def decide(*_: object) -> BootDecision:
        return BootDecision.model_validate_json((folder / "decision.json").read_text())

    setattr(machine, "decide_boot", decide)  # noqa: B010 - not ours to assign, says mypy
    netboot = NetbootSettings.model_validate_json((folder / "netboot.json").read_text())
    (folder / "station").mkdir()
    app = machine.make_machine_app(make_station(folder / "station"), netboot, folder / "live")
    uvicorn.run(
        app, http="h11", host=str(netboot.station.ip), port=netboot.http_port, server_header=False
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
