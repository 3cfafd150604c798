"""The running station: netboot, the machines' door, the operator's door, and durable jobs.

`serve()` reads as the list of what is started. Everything it starts dies with it, also when it
is killed outright; everything it must remember is in the store, so starting it again goes on
where it was.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Interface

import uvicorn
from fastapi import FastAPI

from provisioner import plain_log
from provisioner.api.machine import make_field_app, make_machine_app
from provisioner.errors import StationError
from provisioner.jobs import Jobs
from provisioner.netboot.dnsmasq import Dnsmasq
from provisioner.netboot.publish import publish_live
from provisioner.netboot.settings import DhcpMode as NetbootMode
from provisioner.netboot.settings import NetbootSettings
from provisioner.netboot.time_server import TimeServer
from provisioner.run import run
from provisioner.settings import DhcpMode, Settings
from provisioner.store.events import STATION
from provisioner.swarm.seed import Seeds
from provisioner.tls import Certificate, field_certificate, station_certificate
from provisioner.web import address as dashboard_address
from provisioner.web import login_link, make_operator_side, somebody_can_log_in
from provisioner.workshop.in_the_field import Waves
from provisioner.workshop.station import Station, open_station

START_TIMEOUT_S = 20.0

log = logging.getLogger("provisioner")


def serve(settings: Settings) -> None:
    """Run the station until SIGINT or SIGTERM. Raises StationError when it cannot start."""
    address = find_address(settings)
    netboot = netboot_settings(settings, address)
    station = open_station(settings, url=netboot.station_url)
    live_files = publish_live(station.catalog, netboot, station.key.public)
    plain_log.install(logging.WARNING, "dbos")
    stop = _stop_on_signals()
    with contextlib.ExitStack() as parts:
        machine_socket = _listen(str(address.ip), settings.machine_port)
        operator_socket = _operator_socket(settings)
        machines = make_machine_app(station, netboot, live_files)
        parts.enter_context(_door(machines, machine_socket, "machines"))
        if settings.field_url:
            schools = _listen(settings.field_host, settings.field_port)
            parts.enter_context(
                _door(make_field_app(station), schools, "schools", field_certificate(settings))
            )
        papers = station_certificate(settings) if settings.operator_tls else None
        people = make_operator_side(station)
        parts.enter_context(_door(people, operator_socket, "operator", papers))
        parts.enter_context(Seeds(station.catalog, netboot, station.key.public))
        if settings.serve_time:
            parts.enter_context(TimeServer(netboot))
        parts.enter_context(Waves(station))
        jobs = Jobs(station)
        jobs.start()
        parts.callback(jobs.stop)
        dnsmasq = None
        if settings.dhcp is not DhcpMode.OFF:
            dnsmasq = parts.enter_context(Dnsmasq(netboot))
        _say_ready(station, netboot, papers)
        while not stop.wait(2.0):
            if dnsmasq is not None:
                dnsmasq.check()


def find_address(settings: Settings) -> IPv4Interface:
    """The station's address on the machines' wire, as set or as the interface has it."""
    if settings.address is not None:
        return settings.address
    if not settings.interface:
        raise StationError(
            "It is not said on which wire the machines are.",
            "Name the interface: provisioner serve --interface enp3s0",
        )
    done = run(["ip", "-json", "-4", "address", "show", "dev", settings.interface], timeout_s=10)
    for link in json.loads(done.stdout or "[]"):
        for entry in link.get("addr_info", []):
            return IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")
    raise StationError(
        f"The interface {settings.interface} has no IPv4 address.",
        f"Give it one, for example: ip address add 10.77.0.1/24 dev {settings.interface}",
    )


def netboot_settings(settings: Settings, address: IPv4Interface) -> NetbootSettings:
    """What netboot must know, from the station's settings."""
    mode = NetbootMode.PROXY if settings.dhcp is DhcpMode.PROXY else NetbootMode.SERVER
    return NetbootSettings(
        interface=settings.interface,
        station=address,
        mode=mode,
        first_address=settings.dhcp_first,
        last_address=settings.dhcp_last,
        http_port=settings.machine_port,
        tftp_root=settings.state_dir / "netboot" / "tftp",
        state_dir=settings.state_dir / "netboot",
    )


@contextlib.contextmanager
def _door(
    app: FastAPI, listening: socket.socket, name: str, papers: Certificate | None = None
) -> Iterator[None]:
    """One HTTP server in a thread of its own, answering before this returns."""
    config = uvicorn.Config(
        app,
        http="h11",  # it keeps the names of headers as they are; see api.loader_headers
        log_config=None,  # its loggers speak through ours
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        ssl_certfile=papers.certificate if papers else None,
        ssl_keyfile=papers.key if papers else None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [listening]}, name=f"door-{name}", daemon=True
    )
    thread.start()
    waited = threading.Event()
    for _ in range(int(START_TIMEOUT_S / 0.05)):
        if server.started or not thread.is_alive():
            break
        waited.wait(0.05)
    if not server.started:
        raise StationError(f"The door for {name} did not open.", "See the station's log.")
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def _listen(host: str, port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise StationError(
            f"Port {port} on {host} cannot be used: {error.strerror}.",
            "Run “provisioner doctor”: it says who holds it.",
        ) from error
    listening.listen(128)
    return listening


def _operator_socket(settings: Settings) -> socket.socket:
    if settings.operator_fd is not None:
        return socket.socket(fileno=settings.operator_fd)
    return _listen(settings.operator_host, settings.operator_port)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say_ready(station: Station, netboot: NetbootSettings, papers: Certificate | None) -> None:
    log.warning(
        "Station ready on %s (%s); dashboard at %s/",
        station.settings.interface, netboot.station_url, dashboard_address(station),
    )  # fmt: skip
    if papers is not None:
        log.warning("The dashboard's certificate has the SHA-256 %s", papers.fingerprint)
    if not somebody_can_log_in(station):
        log.warning("First start: log in once as administrator at %s", login_link(station, STATION))
