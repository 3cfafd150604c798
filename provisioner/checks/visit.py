"""The visit to one machine: testinfra's connection by paramiko, with the host key pinned.

testinfra's own paramiko backend takes whatever key the other side shows; ours refuses a machine
that is not the one that was imaged. This is the home of paramiko.
"""

from __future__ import annotations

import functools
from pathlib import Path

import paramiko
import testinfra.host
from testinfra.backend.paramiko import ParamikoBackend

from provisioner.checks.promises import Promises
from provisioner.model.base import Model

USER = "root"


class Visit(Model):
    """Where a machine is, how both sides prove who they are, and what it must be like.

    `results` is written by the checks, one JSON object a line.
    """

    address: str
    port: int
    key: Path
    known_hosts: Path
    timeout_s: float
    promises: Promises
    results: Path


class PinnedBackend(ParamikoBackend):  # type: ignore[misc]  # testinfra ships no types
    """Connects only to the host key in `known_hosts`, only with the station's key."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        host = f"[{visit.address}]" if ":" in visit.address else visit.address
        super().__init__(f"{USER}@{host}:{visit.port}", timeout=int(visit.timeout_s))

    @functools.cached_property
    def client(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.load_host_keys(str(self._visit.known_hosts))
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.connect(
            self._visit.address,
            port=self._visit.port,
            username=USER,
            key_filename=str(self._visit.key),
            timeout=self._visit.timeout_s,
            banner_timeout=self._visit.timeout_s,
            auth_timeout=self._visit.timeout_s,
            allow_agent=False,
            look_for_keys=False,
        )
        return client


def connect(visit: Visit) -> testinfra.host.Host:
    """The machine as testinfra sees it. The first command opens the connection."""
    return testinfra.host.Host(_with_host(PinnedBackend(visit)))


def _with_host(backend: PinnedBackend) -> PinnedBackend:
    backend.set_host(testinfra.host.Host(backend))
    return backend


def login_methods(visit: Visit) -> set[str]:
    """The ways in which the running SSH server lets anybody log in, as it says itself."""
    with paramiko.Transport((visit.address, visit.port)) as transport:
        transport.banner_timeout = visit.timeout_s
        transport.start_client(timeout=visit.timeout_s)
        try:
            transport.auth_none("pupil")
        except paramiko.BadAuthenticationType as refusal:
            return set(refusal.allowed_types)
    return {"none"}
