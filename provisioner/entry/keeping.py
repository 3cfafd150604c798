"""Keeping entries of others: what the teacher's machine and the station do alike.

    hand-ins/ID.json     what the pupil's machine signed      written before any byte is asked for
    growing/ID           bytes that have come so far          a cut leaves a beginning
    entries/SHA256.sb3   whole entries, each once             renamed into place, then
    receipts/ID.json     our signed receipt                   the last to be written

A receipt is given only when all of it is on the disk. File names are made of hexadecimal digits
that were checked; nothing that a file says of itself becomes a path.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from provisioner.entry.durable import PART, append, sync_folder, write_new
from provisioner.entry.refusal import EntryRefusedError
from provisioner.entry.sb3 import judge
from provisioner.errors import UntrustedError, WrongStateError
from provisioner.model.entry import ClockReading, HandIn, Held, Keeper, Limits, Receipt
from provisioner.model.signed import PrivateKey, open_envelope

MAX_PIECE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Kept:
    """A whole entry, as it lies here."""

    hand_in: HandIn
    key: str
    path: Path
    refused: str


class Keeping:
    """One folder of kept entries. `accept` may refuse a signer by raising UntrustedError."""

    def __init__(
        self, folder: Path, key: PrivateKey, keeper: Keeper, clock: Callable[[], ClockReading],
        limits: Limits, *, accept: Callable[[HandIn, str], None] = lambda hand_in, key: None,
        most_bytes: int = 64 * 1024**3,
    ) -> None:  # fmt: skip
        self.folder, self._key, self._keeper, self._clock = folder, key, keeper, clock
        self._limits, self._accept, self._most = limits, accept, most_bytes
        self._lock = threading.Lock()
        for part in ("hand-ins", "growing", "entries", "receipts"):
            (folder / part).mkdir(parents=True, exist_ok=True)
            for left in (folder / part).glob(f".*{PART}"):
                left.unlink(missing_ok=True)

    def begin(self, sealed: str) -> Held:
        """Hear of an entry; answers how much of it is here. Raises UntrustedError."""
        hand_in, key = open_envelope(sealed, HandIn, trusted=None)
        self._accept(hand_in, key)
        if hand_in.size > self._limits.bytes:
            raise UntrustedError("The entry is larger than the contest allows.")
        with self._lock:
            known = self._hand_ins / f"{hand_in.id}.json"
            if known.exists():
                if known.read_text() != sealed:
                    raise UntrustedError("Another entry has this number already.")
            else:
                self._check_room(hand_in.size)
                write_new(known, sealed.encode())
            if self._entry(hand_in).exists() and not self._receipt(hand_in.id).exists():
                self._finish(hand_in)  # another pupil handed in the same bytes
            return self._held(hand_in)

    def take(self, entry_id: str, offset: int, data: bytes) -> Held:
        """Take the next piece. A piece that is known changes nothing. Raises WrongStateError."""
        hand_in, _ = self.hand_in(entry_id)
        with self._lock:
            if self._receipt(entry_id).exists():
                return self._held(hand_in)
            if offset < 0 or offset + len(data) > hand_in.size or len(data) > MAX_PIECE:
                raise WrongStateError("This piece lies outside of the entry.")
            if append(self._growing(entry_id), offset, data) >= hand_in.size:
                self._finish(hand_in)
            return self._held(hand_in)

    def hand_in(self, entry_id: str) -> tuple[HandIn, str]:
        """What was signed about an entry, and by which key. Raises WrongStateError."""
        try:
            sealed = (self._hand_ins / f"{entry_id}.json").read_text()
        except FileNotFoundError as error:
            raise WrongStateError("This entry was not announced.", "Begin again.") from error
        return open_envelope(sealed, HandIn, trusted=None)

    def kept(self) -> list[Kept]:
        """All whole entries, in the order of their numbers."""
        out = []
        for path in sorted((self.folder / "receipts").glob("*.json")):
            hand_in, key = self.hand_in(path.stem)
            receipt, _ = open_envelope(path.read_text(), Receipt, trusted=self._key.public)
            out.append(Kept(hand_in, key, self._entry(hand_in), receipt.refused))
        return out

    def receipt(self, entry_id: str) -> Receipt | None:
        path = self._receipt(entry_id)
        if not path.exists():
            return None
        return open_envelope(path.read_text(), Receipt, trusted=self._key.public)[0]

    @property
    def _hand_ins(self) -> Path:
        return self.folder / "hand-ins"

    def _growing(self, entry_id: str) -> Path:
        return self.folder / "growing" / entry_id

    def _entry(self, hand_in: HandIn) -> Path:
        return self.folder / "entries" / f"{hand_in.sha256}.sb3"

    def _receipt(self, entry_id: str) -> Path:
        return self.folder / "receipts" / f"{entry_id}.json"

    def _check_room(self, size: int) -> None:
        used = sum(p.stat().st_size for p in (self.folder / "entries").iterdir())
        if used + size > self._most:
            raise WrongStateError("There is no room for further entries here.")

    def _held(self, hand_in: HandIn) -> Held:
        receipt, growing = self._receipt(hand_in.id), self._growing(hand_in.id)
        if receipt.exists():
            return Held(id=hand_in.id, have=hand_in.size, receipt=receipt.read_text())
        have = growing.stat().st_size if growing.exists() else 0
        return Held(id=hand_in.id, have=have)

    def _finish(self, hand_in: HandIn) -> None:
        """All bytes are here: compare, put into place, judge, and give the receipt."""
        entry, growing = self._entry(hand_in), self._growing(hand_in.id)
        source = entry if entry.exists() else growing
        data = source.read_bytes()
        if hashlib.sha256(data).hexdigest() != hand_in.sha256 or len(data) != hand_in.size:
            source.unlink(missing_ok=True)  # it is asked for again, from the beginning
            return
        if source is growing:
            growing.replace(entry)
            sync_folder(entry.parent)
        growing.unlink(missing_ok=True)
        receipt = Receipt(id=hand_in.id, sha256=hand_in.sha256, keeper=self._keeper,
                          at=self._clock(), refused=refusal_of(data, self._limits))  # fmt: skip
        write_new(self._receipt(hand_in.id), self._key.seal(receipt).encode())


def refusal_of(data: bytes, limits: Limits) -> str:
    """The code of why the bytes are no entry; empty when they are one."""
    try:
        judge(data, limits)
    except EntryRefusedError as error:
        return error.code
    return ""
