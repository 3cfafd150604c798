"""The station of the virtual classroom: the real program, inside the lab's namespace.

The operator's address is a loopback socket of the *host*: it is opened here, outside the
namespace, and handed down, so that a browser on this computer sees the dashboard while
everything else of the station hears only the lab's wire.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import urllib3

from provisioner.errors import StationError, UnreachableError, WrongStateError
from provisioner.lab.network import BRIDGE, LabNetwork
from provisioner.run import start
from provisioner.settings import PROJECT
from provisioner.workshop.station import OPERATOR_TOKEN

START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0
REQUEST_TIMEOUT_S = 30.0


class LabStation:
    """`provisioner serve` in the lab's namespace; use as a context manager."""

    def __init__(
        self, network: LabNetwork, state_dir: Path, settings: Mapping[str, str] | None = None
    ) -> None:
        self._network, self.state_dir = network, state_dir
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._http = urllib3.PoolManager(retries=False)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(128)

    @property
    def dashboard(self) -> str:
        """The dashboard's address on this computer."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/"

    @property
    def log(self) -> Path:
        return self.state_dir / "logs" / "station.log"

    @property
    def token(self) -> str:
        return (self.state_dir / OPERATOR_TOKEN).read_text().strip()

    def __enter__(self) -> LabStation:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._socket.close()

    def start(self) -> None:
        """Start the station and wait until its door answers. Raises StationError if it does not."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        words = [sys.executable, "-m", "provisioner", "serve", "--interface", BRIDGE]
        self._process = start(
            [*self._network.exec_prefix, *words],
            log=self.log,
            env=self._environment(),
            pass_fds=[self._socket.fileno()],
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace").splitlines()[-15:]
                raise StationError("The station does not start:\n" + "\n".join(tail))
            time.sleep(0.2)

    def stop(self) -> None:
        """Ask it to end, then end it."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as when the station's own power fails."""
        if self._process is None:
            raise WrongStateError("The station is not running.")
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT_S)

    def login_code(self) -> str:
        """A code that lets a person in once, as the station's administrator."""
        return str(self.post("accounts/first/code")["code"])

    def get(self, path: str, **query: str) -> Any:
        """GET an operator's resource, for example `machines`; its JSON."""
        return self._request("GET", path, fields=query).json()

    def get_text(self, path: str) -> str:
        """GET a resource as it was sent, byte for byte: for what is signed."""
        return str(self._request("GET", path).data.decode())

    def get_bytes(self, path: str) -> bytes:
        """GET a document, for example a PDF."""
        return bytes(self._request("GET", path).data)

    def post(self, path: str, body: Any = None) -> Any:
        """POST JSON to an operator's resource; the answer's JSON."""
        return self._request("POST", path, json=body if body is not None else {}).json()

    def _request(self, method: str, path: str, **words: Any) -> urllib3.BaseHTTPResponse:
        headers = {"Authorization": f"Bearer {self.token}"}
        try:
            answer = self._http.request(
                method, f"{self.dashboard}api/v1/{path}",
                headers=headers, timeout=REQUEST_TIMEOUT_S, **words,
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            raise UnreachableError(f"The station does not answer: {error}.") from error
        if answer.status >= 400:
            problem = answer.json()
            raise StationError(
                f"The station refused {method} {path}: {problem.get('detail')}",
                str(problem.get("hint", "")),
            )
        return answer

    def _answers(self) -> bool:
        try:
            answer = self._http.request("GET", f"{self.dashboard}healthz", timeout=2.0)
        except urllib3.exceptions.HTTPError:
            return False
        return answer.status == 200

    def _environment(self) -> dict[str, str]:
        # The checkout may not be installed (tests); the namespace's child must find the package.
        path = os.pathsep.join(filter(None, (str(PROJECT), os.environ.get("PYTHONPATH", ""))))
        return {
            "PYTHONPATH": path,
            "PROVISIONER_SETTINGS": str(self.state_dir / "settings.yaml"),
            "PROVISIONER_STATE_DIR": str(self.state_dir),
            "PROVISIONER_OPERATOR_FD": str(self._socket.fileno()),
            "PROVISIONER_KERNEL_ARGUMENTS": "console=ttyS0,115200",
            **{f"PROVISIONER_{key.upper()}": value for key, value in self._settings.items()},
        }
