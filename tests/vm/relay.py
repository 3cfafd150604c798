"""A port here for a port in a machine or a box: each connection is handed to a command.

The command joins its standard input and output to the other side, as `ssh -W` does, so no port of
the tested system has to be opened for anybody.
"""

from __future__ import annotations

import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

BASH = "exec 3<>/dev/tcp/127.0.0.1/$0; cat <&3 & cat >&3; kill $!"


def through_namespace(pid: int, port: int) -> list[str]:
    """To 127.0.0.1:`port` in the network namespace of a process."""
    return ["nsenter", f"--net=/proc/{pid}/ns/net", "bash", "-c", BASH, str(port)]


@contextmanager
def relay(command: Sequence[str | Path]) -> Iterator[int]:
    """The port that leads to `command`, until the end."""
    children: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        thread = threading.Thread(target=_serve, args=(server, command, children), daemon=True)
        thread.start()
        try:
            yield port
        finally:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            for child in children:
                child.kill()
                child.wait(20)


def _serve(
    server: socket.socket, command: Sequence[str | Path], children: list[subprocess.Popen[bytes]]
) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            children.append(
                subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *map(str, command)],
                                 stdin=connection.fileno(), stdout=connection.fileno(),
                                 stderr=subprocess.DEVNULL)
            )  # fmt: skip
