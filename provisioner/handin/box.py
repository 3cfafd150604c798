"""The box on the machine's own disk: what was handed in here, and who else has it by now.

    entries/SHA256.sb3          the bytes                       first
    hand-ins/ID.json            what this machine signed        then: from here on it is handed in
    teacher/ID.json, station/ID.json    their signed receipts   when they have it, too

There is no list to fall out of step: what has no receipt of somebody is still to be brought there.
Nothing is ever deleted here.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from provisioner.entry.durable import PART, write_new
from provisioner.entry.receipt import code_of
from provisioner.entry.sb3 import judge
from provisioner.errors import UntrustedError
from provisioner.model.entry import ClockReading, HandIn, Keeper, Limits, Pupil, Receipt
from provisioner.model.signed import PrivateKey, open_envelope

_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Seat:
    """Which machine this is, for what it signs."""

    contest: str
    school: str
    asset_tag: str
    seat: str = ""


@dataclass(frozen=True)
class HandedIn:
    """One entry in the box."""

    hand_in: HandIn
    sealed: str
    path: Path
    teacher: bool
    station: bool

    @property
    def code(self) -> str:
        return code_of(self.hand_in)


class Box:
    """One machine's box. `keepers` are the keys that receipts are believed from."""

    def __init__(
        self, folder: Path, key: PrivateKey, seat: Seat, clock: Callable[[], ClockReading],
        limits: Limits, keepers: dict[Keeper, str],
    ) -> None:  # fmt: skip
        self.folder, self._key, self._seat, self._clock = folder, key, seat, clock
        self._limits, self._keepers = limits, keepers
        self._lock = threading.Lock()
        for part in ("entries", "hand-ins", *Keeper):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for left in (folder / part).glob(f".*{PART}"):  # a power cut's; never acknowledged
                left.unlink(missing_ok=True)

    def hand_in(self, data: bytes, pupil: Pupil, title: str) -> HandedIn:
        """Judge, sign and keep an entry. When this returns it is on the disk.

        The same bytes of the same pupil again are the same entry with the same code: a pupil
        presses twice. Raises EntryRefusedError.
        """
        judge(data, self._limits)
        digest = hashlib.sha256(data).hexdigest()
        with self._lock:
            for known in self.all():
                said = known.hand_in
                if (said.sha256, said.pupil, said.contest) == (digest, pupil, self._seat.contest):
                    return known
            write_new(self.folder / "entries" / f"{digest}.sb3", data)
            said = HandIn(
                id=secrets.token_hex(16), contest=self._seat.contest, school=self._seat.school,
                asset_tag=self._seat.asset_tag, seat=self._seat.seat, sequence=self._next(),
                pupil=pupil, title=title[:60], sha256=digest, size=len(data), clock=self._clock(),
            )  # fmt: skip
            write_new(self.folder / "hand-ins" / f"{said.id}.json", self._key.seal(said).encode())
            return self._read(said.id)

    def all(self) -> Iterator[HandedIn]:
        """Everything in the box, in the order in which it was handed in."""
        names = [path.stem for path in (self.folder / "hand-ins").glob("*.json")]
        found = [self._read(name) for name in names if _ID.fullmatch(name)]
        yield from sorted(found, key=lambda entry: entry.hand_in.sequence)

    def waiting(self, keeper: Keeper) -> list[HandedIn]:
        """What `keeper` has not acknowledged."""
        return [entry for entry in self.all()
                if not (entry.teacher if keeper is Keeper.TEACHER else entry.station)]  # fmt: skip

    def acknowledged(self, keeper: Keeper, sealed: str) -> bool:
        """Take in a receipt; False when nothing here belongs to it. Raises UntrustedError."""
        trusted = self._keepers.get(keeper)
        receipt, _ = open_envelope(sealed, Receipt, trusted=trusted)
        if receipt.keeper is not keeper or trusted is None:
            raise UntrustedError("This receipt is not from whom it should be.")
        if not (self.folder / "hand-ins" / f"{receipt.id}.json").exists():
            return False
        if self._read(receipt.id).hand_in.sha256 != receipt.sha256:
            raise UntrustedError("This receipt is for other bytes.")
        write_new(self.folder / keeper / f"{receipt.id}.json", sealed.encode())
        return True

    def _read(self, entry_id: str) -> HandedIn:
        sealed = (self.folder / "hand-ins" / f"{entry_id}.json").read_text()
        said, _ = open_envelope(sealed, HandIn, trusted=self._key.public)
        there = {keeper: (self.folder / keeper / f"{entry_id}.json").exists() for keeper in Keeper}
        path = self.folder / "entries" / f"{said.sha256}.sb3"
        return HandedIn(said, sealed, path, there[Keeper.TEACHER], there[Keeper.STATION])

    def _next(self) -> int:
        return max((entry.hand_in.sequence for entry in self.all()), default=0) + 1
