"""A web server of our own on loopback, for benchmarks that measure no wire."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The files of a folder over HTTP: nginx, the only server that all clients agree with."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = folder.parent / "nginx"
    own.mkdir(exist_ok=True)
    config = own / "nginx.conf"
    config.write_text(NGINX.format(own=own, port=port, folder=folder))
    server = subprocess.Popen(["nginx", "-p", own, "-c", config], stderr=subprocess.DEVNULL)
    try:
        _wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


# In the foreground, as one process that belongs to us.
NGINX = """\
daemon off; master_process off; user root; pid {own}/pid; error_log {own}/error.log;
events {{}}
http {{ access_log off; sendfile on; client_body_temp_path {own}; proxy_temp_path {own};
  fastcgi_temp_path {own}; uwsgi_temp_path {own}; scgi_temp_path {own};
  server {{ listen 127.0.0.1:{port}; root {folder}; }} }}
"""


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError("nginx does not answer")
