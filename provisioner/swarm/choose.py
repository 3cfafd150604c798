"""Which carrier brings a release: the swarm, pieces over HTTP, or whole files over HTTP."""

from __future__ import annotations

import hashlib
import json
import logging
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from provisioner.errors import ProvisionerError, UntrustedError
from provisioner.model.release import Manifest
from provisioner.run import run
from provisioner.swarm.carrier import Origin, RangeCarrier, SwarmCarrier
from provisioner.swarm.fetch import Fetched, HttpCarrier, Report, SocketOption, Wanted
from provisioner.swarm.session import Session, is_available
from provisioner.swarm.torrent import (
    MAX_TORRENT_BYTES,
    TORRENT,
    Torrent,
    check_torrent,
    read_torrent,
)
from provisioner.swarm.watcher import Watcher

log = logging.getLogger(__name__)

IP_TIMEOUT_S = 10.0
DISCARD = 9  # a port that is only named, never spoken to


class ReleaseCarrier(Protocol):
    """A carrier for all files of one release, open until its stage ends."""

    origin: Origin

    def fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched: ...

    def rest(self) -> None:
        """Close every file, so that its disk can be unmounted."""

    def resume(self) -> None:
        """The files are back at their places: go on giving."""

    def __enter__(self) -> ReleaseCarrier: ...

    def __exit__(self, *_: object) -> None: ...


def choose_carrier(
    http: HttpCarrier,
    manifest: Manifest,
    *,
    station_url: str,
    release_url: str,
    options: Sequence[SocketOption] = (),
    watcher: Watcher | None = None,
) -> ReleaseCarrier:
    """The best carrier that this release and this machine have.

    Raises UntrustedError when the release's torrent is not the manifest's.
    """
    torrent = trusted_torrent(http, manifest)
    if torrent is None:
        return RangeCarrier(http, Torrent(manifest.id, ()), watcher)
    session = _session(station_url, options)
    if session is None:
        return RangeCarrier(http, torrent, watcher)
    host = urlsplit(station_url).hostname
    return SwarmCarrier(
        http,
        torrent,
        session,
        station_url=station_url,
        release_url=release_url,
        is_station=lambda address: address == host,
        watcher=watcher,
    )


def trusted_torrent(http: HttpCarrier, manifest: Manifest) -> Torrent | None:
    """The release's torrent, as its signed manifest vouches for it; None for a release without."""
    promised = next((entry for entry in manifest.files if entry.path == TORRENT), None)
    if promised is None:
        return None
    data = http.read(TORRENT, MAX_TORRENT_BYTES)
    if (len(data), hashlib.sha256(data).hexdigest()) != (promised.size, promised.sha256):
        raise UntrustedError(
            f"The station serves another torrent of {manifest.id} than its manifest says.",
            "The release on the station is damaged; run “provisioner image verify”.",
        )
    torrent = read_torrent(data)
    check_torrent(torrent, manifest)
    return torrent


def wire_to(station_url: str, options: Sequence[SocketOption] = ()) -> IPv4Interface:
    """This machine's address on the way to the station, with its network. Raises OSError,
    ProvisionerError or ValueError when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for option in options:
            asking.setsockopt(*option)
        asking.connect((urlsplit(station_url).hostname or "", DISCARD))  # sends nothing
        own = IPv4Address(asking.getsockname()[0])
    shown = run(["ip", "-json", "-4", "address"], timeout_s=IP_TIMEOUT_S).stdout
    return parse_wire(shown, own)


def own_wire(station_url: str, options: Sequence[SocketOption] = ()) -> IPv4Interface:
    """The classroom's wire also where no way leads to the station: then the first network that
    this machine is in. Raises as `wire_to` does."""
    try:
        return wire_to(station_url, options)
    except OSError:
        shown = run(["ip", "-json", "-4", "address"], timeout_s=IP_TIMEOUT_S).stdout
        return first_wire(shown)


def first_wire(shown: str) -> IPv4Interface:
    """The first network of neighbours in the output of `ip -json -4 address`: one whose addresses
    somebody gives out, or else one where machines take them (RFC 3927)."""
    for scope in ("global", "link"):
        for link in json.loads(shown or "[]"):
            for entry in link.get("addr_info", []):
                if entry.get("scope") == scope and entry.get("prefixlen", 32) <= 30:
                    return IPv4Interface(f"{entry['local']}/{entry['prefixlen']}")
    raise ValueError("this machine is in no network")


def parse_wire(shown: str, own: IPv4Address) -> IPv4Interface:
    """The network of the address `own` in the output of `ip -json -4 address`."""
    for link in json.loads(shown or "[]"):
        for entry in link.get("addr_info", []):
            if entry.get("local") == str(own):
                return IPv4Interface(f"{own}/{entry['prefixlen']}")
    raise ValueError(f"no interface has the address {own}")


def _session(station_url: str, options: Sequence[SocketOption]) -> Session | None:
    """libtorrent on the station's wire; None where that cannot be, which is no failure."""
    if not is_available():
        log.info("This system has no libtorrent: files come over HTTP")
        return None
    try:
        return Session(wire_to(station_url, options))
    except (ProvisionerError, OSError, ValueError, ImportError, RuntimeError) as error:
        log.warning("No swarm, files come over HTTP: %s", error)
        return None
