"""The school's stick: found, judged, used, and sent home with a receipt.

Nothing on it is believed but what the station signed. One that is not for this machine is refused
with a sentence for the teacher, which is written on the stick itself and shown on the screen.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.agent.lsblk import read_disks
from provisioner.agent.memory import write_whole
from provisioner.agent.mounting import MOUNTINFO, parse_mountinfo
from provisioner.agent.room_stick import Room
from provisioner.agent.shelf import Shelf
from provisioner.agent.surroundings import Home
from provisioner.agent.words import STICK, Words
from provisioner.errors import CommandError, ProvisionerError, UntrustedError
from provisioner.model.bundle import BUNDLE, FOLDER, RECEIPTS, RESULT, Bundle, Receipt
from provisioner.model.order import Order, RenewWork
from provisioner.model.record import Record
from provisioner.model.signed import MAX_ENVELOPE_BYTES, open_envelope
from provisioner.run import run

log = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
NUMBER, KEPT_BUNDLE, KEPT_RECEIPT = "bundle-number", "bundle.dsse.json", "receipt.dsse.json"
_stick = threading.RLock()  # neighbours hand back receipts while this machine writes its own
FILE_SYSTEMS = ("vfat", "exfat", "ext4", "ntfs3")
MOUNT_S = 60.0


class StickRefusedError(UntrustedError):
    """A stick that is not used; `words` say why to a teacher."""

    def __init__(self, words: Words) -> None:
        super().__init__(words.en)
        self.words = words


@dataclass(frozen=True)
class Accepted:
    """A bundle for this machine. `again`: it was taken in before."""

    bundle: Bundle
    envelope: bytes
    again: bool


def judge_bundle(folder: Path, home: Home, last: int) -> Accepted:
    """The bundle in `folder`, if this machine takes it. Raises StickRefusedError.

    `last` is the number of the newest bundle that this machine has taken.
    """
    try:
        with (folder / BUNDLE).open("rb") as file:
            envelope = file.read(MAX_ENVELOPE_BYTES + 1)
    except OSError as error:
        log.warning("The stick's bundle cannot be read: %s", error)
        raise StickRefusedError(STICK["changed"]) from error
    return judge_envelope(envelope, home, last)


def judge_envelope(envelope: bytes, home: Home, last: int) -> Accepted:
    """The same, wherever the bundle came from."""
    try:
        bundle, _ = open_envelope(envelope, Bundle, trusted=home.station_key)
    except UntrustedError as error:
        log.warning("The stick's bundle does not hold: %s", error)
        raise StickRefusedError(STICK["changed"]) from error
    if home.asset_tag not in bundle.machines:
        raise StickRefusedError(STICK["other-school"])
    if bundle.number < last:
        raise StickRefusedError(STICK["old"])
    return Accepted(bundle, envelope, again=bundle.number == last)


def order_of(accepted: Accepted, home: Home) -> Order:
    """What the bundle means for this machine; the same each time that it is read."""
    identity = hashlib.sha256(accepted.envelope + bytes.fromhex(home.key.public)).hexdigest()[:32]
    bundle = accepted.bundle
    work = RenewWork(
        release=bundle.release, manifest_sha256=bundle.manifest_sha256, when=bundle.when,
        homes=bundle.homes,
    )  # fmt: skip
    return Order(
        id=identity, machine_key=home.key.public, machine=home.asset_tag, batch=bundle.school,
        station_url="", work=work,
    )  # fmt: skip


class Sticks:
    """Looks for a stick, offers its order to the agent, and leaves the receipt on it."""

    def __init__(
        self,
        home: Home,
        offer: Callable[[Order], bool],
        memory: Path,
        folder: Path,
        look: Callable[[], Iterator[Path]] | None = None,
        room: Room | None = None,
    ) -> None:
        self._home, self._offer, self._memory, self._folder = home, offer, memory, folder
        self._look, self._room = look or self._mounted, room
        self._shelf: Shelf | None = None
        self._told = b""
        self._elsewhere = self._handed_back = ""

    @property
    def url(self) -> str:
        """Where a stick's files are served now, here or by a neighbour; empty without one."""
        return self._shelf.url if self._shelf else self._elsewhere

    def run(self) -> None:
        """Never returns."""
        while True:
            with contextlib.suppress(ProvisionerError, OSError, ValueError):
                self.turn()
            time.sleep(LOOK_EVERY_S)

    def turn(self) -> None:
        """Look once."""
        found = next((path for path in self._look() if (path / FOLDER).is_dir()), None)
        if found is None:
            self._close()
            self._hear()
            return
        self._elsewhere = ""
        try:
            self._use(found / FOLDER)
        except StickRefusedError as refused:
            self._tell(found / FOLDER, refused.words)

    def keep(self, order: Order, record: Record) -> None:
        """Write the receipt of an order that came from a bundle; it goes on the next stick."""
        accepted = self._kept()
        if accepted is None or order_of(accepted, self._home).id != order.id:
            return
        receipt = Receipt(
            school=accepted.bundle.school, number=accepted.bundle.number,
            machine=self._home.asset_tag, record=record,
        )  # fmt: skip
        write_whole(self._memory / KEPT_RECEIPT, self._home.key.seal(receipt))

    def _use(self, folder: Path) -> None:
        accepted = judge_bundle(folder, self._home, self._last())
        self._remember(accepted)
        if self._shelf is None:
            self._shelf = Shelf(folder)
        if self._room is not None:
            self._room.hand_out(folder, accepted.bundle, keep_receipt)
        if self._give_receipt(folder):
            return
        if self._offer(order_of(accepted, self._home)):
            self._tell(folder, STICK["taken"])

    def _remember(self, accepted: Accepted) -> None:
        if not accepted.again:
            write_whole(self._memory / KEPT_BUNDLE, accepted.envelope.decode())
            (self._memory / KEPT_RECEIPT).unlink(missing_ok=True)
            write_whole(self._memory / NUMBER, f"{accepted.bundle.number}\n")

    def _hear(self) -> None:
        """A stick in a neighbour serves as well. One that is not for this machine is none of its
        business: whoever put it in reads the sentence there."""
        for url in self._room.offered() if self._room is not None else ():
            try:
                envelope = self._room.bundle_at(url) if self._room else b""
                accepted = judge_envelope(envelope, self._home, self._last())
            except (ProvisionerError, OSError) as error:
                log.info("The stick at %s is not taken: %s", url, error)
                continue
            self._remember(accepted)
            self._elsewhere = url
            if not self._hand_back(url):
                self._offer(order_of(accepted, self._home))
            return
        self._elsewhere = ""

    def _hand_back(self, url: str) -> bool:
        """Whether there is a receipt; it is handed back once to the machine with the stick."""
        kept = self._memory / KEPT_RECEIPT
        if not kept.is_file():
            self._handed_back = ""
            return False
        if self._handed_back != url and self._room and self._room.hand_back(url, kept.read_bytes()):
            self._handed_back = url
        return True

    def _give_receipt(self, folder: Path) -> bool:
        """Whether there is one; it is written when the stick does not have it yet."""
        kept = self._memory / KEPT_RECEIPT
        if not kept.is_file():
            return False
        place = folder / RECEIPTS / f"{self._home.asset_tag}.dsse.json"
        if place.is_file() and place.read_bytes() == kept.read_bytes():
            return True
        keep_receipt(place, kept.read_bytes())
        receipt, _ = open_envelope(kept.read_bytes(), Receipt, trusted=self._home.key.public)
        self._tell(folder, STICK["failed" if receipt.record.problem else "done"])
        return True

    def _tell(self, folder: Path, words: Words) -> None:
        """Say it on the stick and on the screen, once."""
        text = f"{self._home.asset_tag}: {words.en}\n{self._home.asset_tag}：{words.zh}\n".encode()
        if text == self._told:
            return
        self._told = text
        (self._folder / "notice.json").write_text(
            json.dumps({"en": words.en, "zh": words.zh}, ensure_ascii=False)
        )
        with contextlib.suppress(OSError, ProvisionerError), _stick, _writable(folder):
            _write(folder / RESULT, text)

    def _last(self) -> int:
        try:
            return int((self._memory / NUMBER).read_text())
        except (OSError, ValueError):
            return 0

    def _kept(self) -> Accepted | None:
        try:
            envelope = (self._memory / KEPT_BUNDLE).read_bytes()
            bundle, _ = open_envelope(envelope, Bundle, trusted=self._home.station_key)
        except (OSError, UntrustedError):
            return None
        return Accepted(bundle, envelope, again=True)

    def _close(self) -> None:
        self._told = b""
        if self._room is not None:
            self._room.keep_to_oneself()
        if self._shelf is not None:
            self._shelf.close()
            self._shelf = None

    def _mounted(self) -> Iterator[Path]:
        """Every partition of what was plugged in, mounted read-only."""
        point = self._folder / "stick"
        point.mkdir(parents=True, exist_ok=True)
        if any(m.point == str(point) for m in parse_mountinfo(MOUNTINFO.read_text())):
            if os.access(point / FOLDER, os.R_OK):
                yield point
                return
            run(["umount", "--lazy", point], timeout_s=MOUNT_S, check=False)
        for device in plugged_in():
            for kind in FILE_SYSTEMS:
                done = run(["mount", "-t", kind, "-o", "ro,nodev,nosuid,noexec", device, point],
                           timeout_s=MOUNT_S, check=False)  # fmt: skip
                if done.code == 0:
                    if (point / FOLDER).is_dir():
                        yield point
                        return
                    run(["umount", point], timeout_s=MOUNT_S, check=False)


def plugged_in(dev: Path = Path("/dev")) -> Iterator[Path]:
    """Partitions of removable disks, and such disks without any."""
    for disk in read_disks():
        if disk.removable or disk.transport == "usb":
            parts = sorted(dev.glob(f"{disk.name}[0-9]*"))
            yield from parts or [dev / disk.name]


def keep_receipt(place: Path, envelope: bytes) -> None:
    """Write a receipt on the stick; `place` is its file there."""
    with _stick, _writable(place.parent.parent):
        place.parent.mkdir(exist_ok=True)
        _write(place, envelope)


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """For the moment of writing; a stick that is pulled out otherwise is in order."""
    point = folder.parent
    mounted = any(m.point == str(point) for m in parse_mountinfo(MOUNTINFO.read_text()))
    if mounted:
        run(["mount", "-o", "remount,rw", point], timeout_s=MOUNT_S)
    try:
        yield
    finally:
        if mounted:
            with contextlib.suppress(CommandError):
                run(["mount", "-o", "remount,ro", point], timeout_s=MOUNT_S)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
