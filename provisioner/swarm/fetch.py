"""Bringing one file of a release to this machine, whole and checked.

`Carrier` is the seam: today HTTP with ranges (`HttpCarrier`), later a swarm that asks the
neighbours first and keeps HTTP as its last resort. A carrier ends only when the file stands
complete at its place with the digest that the signed manifest promises; it goes on for ever
while the other side is silent, because the workshop's cable will be plugged in again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import urllib3

from provisioner.errors import (
    ImageMismatchError,
    NotFoundError,
    StationError,
    UnreachableError,
)
from provisioner.swarm.line import SocketOption as SocketOption
from provisioner.swarm.line import open_pool, plain

BLOCK = 1024 * 1024
# What a power cut may cost: so much is written between two flushes to the disk.
FLUSH_EVERY = 32 * BLOCK
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 5.0)
TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
# An answer that ends early by itself, with less than this, has led nowhere; after so many in a
# row (a minute and a half, by the pauses above) it is somebody's doing and no bad line.
LEAST_PROGRESS = 4096
CUT_TRIES = 20
GONE = frozenset({401, 403, 404, 405, 410})
_CONTENT_RANGE = re.compile(r"^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$")

Report = Callable[[int], None]  # bytes of the file that are here now
Waiting = Callable[[UnreachableError, float], None]  # why, and seconds until the next try


@dataclass(frozen=True)
class Wanted:
    """A file of a release, as its manifest promises it: path inside it, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """Bytes that came over the wire, that were already here; of those over the wire, how many
    neighbours gave to this machine and how many the station sent to everybody at once."""

    fetched: int
    resumed: int
    from_peers: int = 0
    from_carousel: int = 0


class Carrier(Protocol):
    """Brings `wanted` to the path `into`; afterwards it is there, flushed, with its digest."""

    def fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched: ...


class CutShortError(UnreachableError):
    """An answer began and ended before its end, without a time-out: somebody closed it."""


class Tries:
    """What comes after a failed try: for ever while the other side is silent, not for ever while
    it answers and cuts each answer short without getting any further."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._failures = self._cut = 0

    def moved(self) -> None:
        """Something came that leads on."""
        self._failures = self._cut = 0

    def failed(self, error: UnreachableError) -> float:
        """Seconds to wait before the next try. Raises StationError when there is no sense in one.

        A silent line or a refused connection in between does not count, neither for nor against.
        """
        if isinstance(error, CutShortError):
            self._cut += 1
            if self._cut >= CUT_TRIES:
                raise StationError(
                    f"Every answer of the station is cut short: {self._cut} in a row brought "
                    f"nothing of {self._path}.",
                    "Something between this machine and the station (a proxy, a filter, a "
                    "virus scanner) ends downloads; or the station's disk fails.",
                ) from error
        pause_s = BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)]
        self._failures += 1
        return pause_s


class _StartOverError(Exception):
    """What is on the disk cannot be continued."""


def quiet(_error: UnreachableError, pause_s: float) -> None:
    """The default `Waiting`: sleep and try again."""
    time.sleep(pause_s)


class HttpCarrier:
    """One station over HTTP/1.1 with Range."""

    def __init__(
        self, base_url: str, waiting: Waiting = quiet, options: Sequence[SocketOption] = ()
    ) -> None:
        self._base = plain(base_url).rstrip("/") + "/"
        self._waiting = waiting
        self._pool = open_pool(base_url, options, num_pools=1, timeout=TIMEOUT)

    def fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched:
        """Continue `into`.part, or begin it; check the digest; give it its name.

        A continued file whose digest is wrong is fetched once more from its start: after a
        power cut its tail may be damaged. Raises ImageMismatchError when a file that was
        fetched in one go is not what the manifest says, NotFoundError when the station does
        not offer it.
        """
        part = into.with_name(into.name + ".part")
        if into.exists():
            into.replace(part)
        try:
            result = self._attempt(wanted, part, report)
        except _StartOverError:
            part.unlink(missing_ok=True)
            try:
                result = self._attempt(wanted, part, report)
            except _StartOverError as error:
                raise _mismatch(wanted) from error
        part.replace(into)
        flush_folder(into.parent)
        return result

    def read(self, path: str, limit: int) -> bytes:
        """A small document, at most `limit` bytes; nothing about it is checked here."""
        body = bytearray()

        def keep(data: bytes) -> None:
            body.extend(data)
            if len(body) > limit:
                raise ImageMismatchError(f"{path} is larger than {limit} bytes.")

        tries = Tries(path)
        while True:
            try:
                body.clear()
                for data in self._body(path, 0, None):
                    keep(data)
                return bytes(body)
            except UnreachableError as error:
                self._waiting(error, tries.failed(error))

    def wait(self, error: UnreachableError, pause_s: float) -> None:
        """Do what this carrier does when the other side is silent."""
        self._waiting(error, pause_s)

    def open(self, path: str, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        """Ask for a file; whoever asked reads, judges and closes the answer."""
        return self._pool.request(
            "GET",
            self._base + path,
            headers={"Accept-Encoding": "identity", **headers},
            preload_content=False,
            redirect=False,
        )

    def _attempt(self, wanted: Wanted, part: Path, report: Report) -> Fetched:
        digest, resumed = _digest_of_part(part, wanted.size, report)
        with part.open("ab") as out:
            self._append(wanted, out.fileno(), digest, resumed, report)
            os.fsync(out.fileno())
        if digest.hexdigest() != wanted.sha256:
            if resumed:
                raise _StartOverError
            part.unlink()
            raise _mismatch(wanted)
        return Fetched(fetched=wanted.size - resumed, resumed=resumed)

    def _append(
        self, wanted: Wanted, out: int, digest: hashlib._Hash, have: int, report: Report
    ) -> None:
        """Fetch from byte `have` to the end, across as many broken connections as it takes."""
        tries, flushed = Tries(wanted.path), have
        while have < wanted.size:
            began = have
            try:
                for data in self._body(wanted.path, have, wanted.size):
                    _write_all(out, data)
                    digest.update(data)
                    have += len(data)
                    if have - began >= LEAST_PROGRESS:
                        tries.moved()
                    if have - flushed >= FLUSH_EVERY:
                        os.fdatasync(out)
                        flushed = have
                    report(have)
            except UnreachableError as error:
                self._waiting(error, tries.failed(error))

    def _body(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        """The bytes of a file from `start`; never more than `size` allows."""
        try:
            with contextlib.closing(self._request(path, start, size)) as response:
                left = None if size is None else size - start
                for data in response.stream(BLOCK, decode_content=False):
                    if left is not None:
                        data, left = data[:left], left - len(data)
                    yield data
                    if left is not None and left <= 0:
                        return
                if left:
                    raise CutShortError(f"{path}: the connection ended {left} bytes early.")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
                raise  # the disk's own trouble, not the wire's
            raise wire_trouble(path, error) from error

    def _request(self, path: str, start: int, size: int | None) -> urllib3.BaseHTTPResponse:
        response = self.open(path, {"Range": f"bytes={start}-"} if start else {})
        try:
            check_answer(path, response.status, response.headers, start, size)
        except BaseException:
            response.close()
            raise
        return response


def wire_trouble(path: str, error: Exception) -> UnreachableError:
    """What broke a transfer, in our words: an answer that was cut short, or no answer."""
    if isinstance(error, urllib3.exceptions.ProtocolError) and not _timed_out(error):
        return CutShortError(f"{path}: {error}")
    return UnreachableError(f"{path}: {error}")


def _timed_out(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or any(
        _timed_out(inner) for inner in error.args if isinstance(inner, BaseException)
    )


def check_answer(
    path: str, status: int, headers: urllib3.HTTPHeaderDict, start: int, size: int | None
) -> None:
    """Whether an answer carries what was asked for; raises what its failure means."""
    if status in GONE:
        raise NotFoundError(
            f"The station does not offer {path} ({status}).", "Was this release withdrawn?"
        )
    if status == 416 or (start and status == 200):
        raise _StartOverError
    if status != (206 if start else 200):
        raise UnreachableError(f"{path}: the station answered {status}.")
    total = _total(path, headers, start)
    if size is not None and total is not None and total != size:
        raise ImageMismatchError(
            f"{path} has {total} bytes on the station, its signed manifest says {size}.",
            "The release on the station is damaged; run “provisioner image verify”.",
        )


def _total(path: str, headers: urllib3.HTTPHeaderDict, start: int) -> int | None:
    if not start:
        length = headers.get("Content-Length", "")
        return int(length) if length.isascii() and length.isdigit() else None
    match = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    if match is None or int(match[1]) != start:
        raise UnreachableError(f"{path}: the answer covers another range than was asked for.")
    return int(match[3])


def _digest_of_part(part: Path, size: int, report: Report) -> tuple[hashlib._Hash, int]:
    """Hash what an interrupted run left; a part that is too long is thrown away."""
    digest, have = hashlib.sha256(), 0
    if not part.exists() or part.stat().st_size > size:
        part.unlink(missing_ok=True)
        return digest, 0
    with part.open("rb") as file:
        while data := file.read(BLOCK):
            digest.update(data)
            have += len(data)
            report(have)
    return digest, have


def _write_all(out: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(out, view) :]


def flush_folder(folder: Path) -> None:
    """Have the disk keep a folder's names now."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mismatch(wanted: Wanted) -> ImageMismatchError:
    return ImageMismatchError(
        f"{wanted.path} did not arrive as its signed manifest says.",
        "If it happens again on this machine only, its memory is suspect: test it or replace it.",
    )
