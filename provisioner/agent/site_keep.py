"""The school's configuration as this machine keeps it: fetched, judged, and opened when needed.

It lies on the state partition as the station sent it, closed for this machine's key; opened it is
only ever in memory, for as long as Ansible works with it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from provisioner.agent.memory import write_whole
from provisioner.agent.surroundings import Home
from provisioner.agent.text import read_line
from provisioner.errors import NotFoundError, ProvisionerError, UnreachableError, UntrustedError
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.model.site_bundle import (
    FOLDER,
    OPENED,
    SiteBundle,
    file_name,
    open_site,
)
from provisioner.swarm.fetch import HttpCarrier, SocketOption, Waiting

log = logging.getLogger(__name__)

SITE = "agent/site"  # on the state partition
BUNDLE, REVISION = "bundle.dsse.json", "revision"
REVISION_BYTES = 200
# Until the workshop has configured the machine; then, for changes of the school's folder.
SOON_S, SELDOM_S = 60.0, 6 * 3600.0


def kept(state: Path, home: Home) -> SiteBundle | None:
    """What this machine has; nothing of what does not hold (any more)."""
    try:
        return _judged((state / SITE / BUNDLE).read_bytes(), home)
    except FileNotFoundError:
        return None
    except (OSError, UntrustedError) as error:
        log.warning("The school's configuration on this machine does not hold: %s", error)
        return None


def take(envelope: bytes, state: Path, home: Home) -> SiteBundle:
    """Keep a bundle instead of the one that is there. Raises UntrustedError for one that is not
    ours, not for this machine, or older."""
    bundle = _judged(envelope, home)
    open_site(bundle, home.key)
    before = kept(state, home)
    if before and bundle.number < before.number:
        raise UntrustedError(
            "This configuration is older than the one that the machine has.",
            "Export the school's stick again.",
        )
    (state / SITE).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(state / SITE / BUNDLE, envelope.decode())
    write_whole(state / SITE / REVISION, f"{bundle.revision}\n")
    return bundle


def fetch(
    url: str, state: Path, home: Home, waiting: Waiting, options: Sequence[SocketOption] = ()
) -> bool:
    """Bring what the station, a stick or a neighbour at `url` has for this machine, unless it is
    here already; whether there was anything. Raises UnreachableError, UntrustedError."""
    http = HttpCarrier(f"{url.rstrip('/')}/{FOLDER}", waiting, options)
    here = kept(state, home)
    try:
        newest = http.read(f"{home.asset_tag}.revision", REVISION_BYTES).decode("ascii", "replace")
        if here and newest.strip() == here.revision:
            return True
    except NotFoundError:
        pass  # a stick does not say it beforehand
    try:
        envelope = http.read(file_name(home.asset_tag), MAX_ENVELOPE_BYTES)
    except NotFoundError:
        return False
    took = take(envelope, state, home)
    log.info("The school's configuration %s is kept here", took.revision[:12])
    return True


@contextlib.contextmanager
def opened(bundle: SiteBundle, home: Home, into: Path = Path(OPENED)) -> Iterator[Path]:
    """The bundle's files in a folder that nobody else may look into, as long as it is needed."""
    files = open_site(bundle, home.key)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(mode=0o700, parents=True)
    try:
        for name, data in files.items():
            place = into / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        yield into
    finally:
        shutil.rmtree(into, ignore_errors=True)


class Keeper:
    """Asks the station now and then; a machine without a line keeps what it has."""

    def __init__(self, home: Home, state: Path, options: Sequence[SocketOption] = ()) -> None:
        self._home, self._state, self._options = home, state, options

    def run(self) -> None:
        """Never returns."""
        time.sleep(SOON_S * (0.5 + os.urandom(1)[0] / 256))  # not all of a room at once
        while True:
            time.sleep(self.turn())

    def turn(self) -> float:
        """Ask once; seconds until the next time."""
        try:
            found = fetch(self._home.line.url, self._state, self._home, _give_up, self._options)
        except (ProvisionerError, OSError) as error:
            log.info("No configuration was fetched: %s", error)
            found = kept(self._state, self._home) is not None
        return SELDOM_S if found else SOON_S


def revision_here(state: Path) -> str:
    """For the health report."""
    return read_line(state / SITE / REVISION)[:64]


def _give_up(error: UnreachableError, _pause_s: float) -> None:
    raise error


def _judged(envelope: bytes, home: Home) -> SiteBundle:
    bundle, _ = open_envelope(envelope, SiteBundle, trusted=home.station_key)
    if bundle.machine != home.asset_tag:
        raise UntrustedError("This configuration is for another machine.")
    return bundle
