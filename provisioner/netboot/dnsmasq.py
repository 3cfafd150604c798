"""DHCP (or proxyDHCP) and TFTP by dnsmasq: its configuration, and the running program.

`render_config()` is pure. `Dnsmasq` counts as started when it has really served a file and
holds the DHCP port, not because the process exists.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from provisioner.errors import StationError
from provisioner.netboot.settings import DhcpMode, NetbootSettings
from provisioner.run import run, start
from provisioner.templating import render

# TFTP's name for the loader's configuration; it is also what we fetch to see that TFTP works.
GRUB_CONFIG = "grub/grub.cfg"
START_TIMEOUT_S = 15.0
STOP_TIMEOUT_S = 5.0
LOG_TAIL_LINES = 8


def render_config(settings: NetbootSettings) -> str:
    """The text of dnsmasq's configuration file."""
    first, last = settings.address_range
    return render(
        "netboot/dnsmasq.conf.j2",
        settings=settings,
        proxy=settings.mode is DhcpMode.PROXY,
        network=settings.station.network.network_address,
        netmask=settings.station.netmask,
        first=first,
        last=last,
        station=settings.station.ip,
        url=settings.station_url,
    )


class Dnsmasq:
    """The running dnsmasq of one interface; use as a context manager.

    `prefix` is put before each command: the words that enter the lab's namespace. It must be
    started from a thread that outlives it (see provisioner.run.start).
    """

    def __init__(self, settings: NetbootSettings, prefix: Sequence[str] = ()) -> None:
        self.settings = settings
        self.prefix = tuple(prefix)
        self.config = settings.state_dir / "dnsmasq.conf"
        self.log = settings.state_dir / "dnsmasq.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Dnsmasq:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers. Raises StationError with its log when it does not."""
        self.settings.state_dir.mkdir(parents=True, exist_ok=True)
        self.config.write_text(render_config(self.settings))
        words = ["dnsmasq", "--keep-in-foreground", f"--conf-file={self.config}"]
        self._process = start([*self.prefix, *words], log=self.log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise self._failure()
            time.sleep(0.1)

    def stop(self) -> None:
        """Ask it to end, then end it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def check(self) -> None:
        """Raises StationError when it has died; called now and then by the station."""
        if not self.running:
            raise self._failure()

    def _answers(self) -> bool:
        """Whether our own process holds the DHCP port and TFTP hands out a file."""
        if self._process is None or not _holds_udp_port(self._process.pid, 67):
            return False
        probe = [sys.executable, "-m", "provisioner.netboot.tftp"]
        asked = run(
            [*self.prefix, *probe, str(self.settings.station.ip), GRUB_CONFIG],
            timeout_s=START_TIMEOUT_S,
            check=False,
        )
        return asked.code == 0

    def _failure(self) -> StationError:
        self.stop()
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return StationError(
            "dnsmasq does not answer: " + "\n".join(lines),
            "Run “provisioner doctor”: it says what stands in the way.",
        )


def _holds_udp_port(pid: int, port: int) -> bool:
    """Whether a UDP socket in the network namespace of `pid` is bound to `port` (proc_net(5))."""
    try:
        lines = Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]
    except OSError:
        return False
    return any(int(line.split()[1].rpartition(":")[2], 16) == port for line in lines)
