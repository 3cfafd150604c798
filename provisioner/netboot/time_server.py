"""The station's clock for the machines: chrony, answering NTP on the workshop's wire.

Refurbished machines have dead clock batteries and wake up in 1970 or 2099. The station never
lets chrony touch its own clock (`-x`); it only passes on the time that it has.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from provisioner.errors import StationError
from provisioner.netboot.settings import NetbootSettings
from provisioner.run import start

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


def render_config(settings: NetbootSettings) -> str:
    """chrony's configuration: our own clock, to the machines' network only."""
    folder = settings.state_dir
    return "\n".join(
        (
            "# Written by Classroom Provisioner at each start.",
            "local stratum 10",
            f"allow {settings.station.network}",
            f"bindaddress {settings.station.ip}",
            "cmdport 0",
            "bindcmdaddress /",
            f"pidfile {folder / 'chronyd.pid'}",
            "",
        )
    )


class TimeServer:
    """The running chronyd of one interface; use as a context manager."""

    def __init__(self, settings: NetbootSettings, prefix: Sequence[str] = ()) -> None:
        self._settings, self._prefix = settings, tuple(prefix)
        self._log = settings.state_dir / "chronyd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TimeServer:
        folder = self._settings.state_dir
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "chronyd.pid").unlink(missing_ok=True)
        config = folder / "chrony.conf"
        config.write_text(render_config(self._settings))
        words = ["chronyd", "-x", "-d", "-u", "root", "-f", str(config)]
        self._process = start([*self._prefix, *words], log=self._log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (folder / "chronyd.pid").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise self._failure()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _failure(self) -> StationError:
        lines = self._log.read_text(errors="replace").splitlines()[-5:]
        return StationError(
            "The time server does not start: " + " ".join(lines),
            "Another NTP server may hold port 123; or set serve_time to false.",
        )
