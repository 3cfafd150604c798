"""A stick in one machine serves its whole room: its files are handed out on the room's own wire.

The machine that has it says so (`swarm/neighbours.py`); the others fetch the signed bundle from
it and judge it as if the stick were in themselves. What became of it they hand back, signed with
their own keys, and it is written on the stick. Nobody is believed: not the machine with the stick,
which only carries, nor those who hand something back, whose signatures are looked at at home.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import urllib3

from provisioner.agent.shelf import Shelf
from provisioner.agent.surroundings import Home
from provisioner.errors import ProvisionerError, UnreachableError, UntrustedError
from provisioner.model.bundle import BUNDLE, RECEIPTS, Bundle, Receipt
from provisioner.model.patch import PATCHES
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.model.site_bundle import FOLDER as SITES
from provisioner.swarm.choose import own_wire
from provisioner.swarm.fetch import HttpCarrier, SocketOption
from provisioner.swarm.neighbours import Neighbours

log = logging.getLogger(__name__)

SHOWN = (BUNDLE, "releases", PATCHES, SITES)  # what neighbours may have of a stick
FORGET_S = 300.0  # a neighbour says every half-minute that it has the stick
RECEIPT_BYTES = 256 * 1024
HAND_BACK = urllib3.Timeout(connect=5.0, read=20.0)


def wish_hash(station_key: str) -> bytes:
    """What machines of one station look for on the wire."""
    return hashlib.sha1(f"classroom stick {station_key}".encode()).digest()  # noqa: S324 - a name


class Room:
    """The room, as far as sticks are concerned; it is entered when there is a network."""

    def __init__(
        self,
        home: Home,
        options: Sequence[SocketOption] = (),
        find_wire: Callable[[], IPv4Interface] | None = None,
    ) -> None:
        self._home, self._options = home, options
        self._find_wire = find_wire or (lambda: own_wire(home.station_url, options))
        self._wire: IPv4Interface | None = None
        self._ears: Neighbours | None = None
        self._voice: Neighbours | None = None
        self._shelf: Shelf | None = None
        self._given: Bundle | None = None
        self._heard: dict[str, float] = {}
        self._lock = threading.Lock()

    def offered(self) -> list[str]:
        """Where neighbours hand out a stick, the latest word first."""
        self._enter()
        with self._lock:
            now = time.monotonic()
            self._heard = {url: at for url, at in self._heard.items() if now - at < FORGET_S}
            return sorted(self._heard, key=self._heard.__getitem__, reverse=True)

    def bundle_at(self, url: str) -> bytes:
        """The bundle that a neighbour hands out. Raises UnreachableError, NotFoundError."""
        return HttpCarrier(url, _give_up, self._options).read(BUNDLE, MAX_ENVELOPE_BYTES)

    def hand_back(self, url: str, envelope: bytes) -> bool:
        """Give the machine with the stick what became of it here; whether it took it."""
        place = f"{url}/{RECEIPTS}/{self._home.asset_tag}"
        try:
            answer = urllib3.request(
                "POST", place, body=envelope, timeout=HAND_BACK, retries=False
            )  # fmt: skip
        except urllib3.exceptions.HTTPError as error:
            log.info("The machine with the stick does not answer: %s", error)
            return False
        return answer.status == 200

    def hand_out(self, folder: Path, bundle: Bundle, keep: Callable[[Path, bytes], None]) -> None:
        """Let the room have the stick in `folder`; `keep` writes a receipt on it."""
        self._enter()
        if self._given == bundle or self._wire is None:
            return
        self.keep_to_oneself()  # another bundle on the same stick

        def take(path: str, body: bytes) -> bool:
            name = judge_receipt(path, body, bundle)
            keep(folder / RECEIPTS / name, body)
            return True

        self._given = bundle
        self._shelf = Shelf(folder, str(self._wire.ip), shown=SHOWN, take=take,
                            take_bytes=RECEIPT_BYTES)  # fmt: skip
        self._voice = Neighbours(self._wire, self._shelf.port)
        self._voice.__enter__()
        self._voice.add(wish_hash(self._home.station_key), lambda _address, _port: None)
        log.info("The stick's files are handed out to the room at %s", self._shelf.url)

    def keep_to_oneself(self) -> None:
        """The stick is gone."""
        if self._voice is not None:
            self._voice.close()
        if self._shelf is not None:
            self._shelf.close()
        self._voice = self._shelf = self._given = None

    def close(self) -> None:
        self.keep_to_oneself()
        if self._ears is not None:
            self._ears.close()
        self._ears = self._wire = None

    def _enter(self) -> None:
        """Listen; anew when this machine has got another address."""
        try:
            wire = self._find_wire()
        except (OSError, ValueError, ProvisionerError):
            return
        if wire == self._wire:
            return
        self.close()
        self._wire = wire
        self._ears = Neighbours(wire, 1)  # it never speaks
        self._ears.__enter__()
        self._ears.listen(wish_hash(self._home.station_key), self._hear)

    def _hear(self, address: IPv4Address, port: int) -> None:
        with self._lock:
            self._heard[f"http://{address}:{port}"] = time.monotonic()


def judge_receipt(path: str, body: bytes, bundle: Bundle) -> str:
    """The name of the file for what a neighbour hands back.

    Raises UntrustedError for anything but the receipt of a machine that this stick is for; whether
    that machine signed it is seen at home, where its key is known.
    """
    receipt, _ = open_envelope(body, Receipt, trusted=None)
    if (receipt.school, receipt.number) != (bundle.school, bundle.number):
        raise UntrustedError("This receipt is of another stick.")
    if receipt.machine not in bundle.machines or path != f"/{RECEIPTS}/{receipt.machine}":
        raise UntrustedError("This receipt is of no machine that the stick is for.")
    return f"{receipt.machine}.dsse.json"


def _give_up(error: UnreachableError, _pause_s: float) -> None:
    raise error


def is_here(url: str) -> bool:
    """Whether a stick's files come from this machine itself."""
    with contextlib.suppress(ValueError):
        return IPv4Address(url.removeprefix("http://").partition(":")[0]).is_loopback
    return False
