"""Fetching only what is missing of a file, by HTTP ranges, into the places where it belongs.

`DeltaCarrier` is a `Carrier` for a machine that has older releases: what they hold is copied
(`prefill`), the rest is fetched by ranges, or by another carrier that continues a begun file
such as the swarm. Whatever goes wrong on the way ends in the whole file being fetched: a delta
saves bytes and is never the only way.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import urllib3

from provisioner.errors import (
    ImageMismatchError,
    NotFoundError,
    UnreachableError,
)
from provisioner.release.chunks import ChunkMap, Span, check_is_of, merge, read_chunk_map
from provisioner.swarm import part as parts
from provisioner.swarm.fetch import (
    BLOCK,
    GONE,
    LEAST_PROGRESS,
    Carrier,
    CutShortError,
    Fetched,
    HttpCarrier,
    Report,
    Tries,
    Wanted,
    flush_folder,
    wire_trouble,
)
from provisioner.swarm.offers import Offer, discard
from provisioner.swarm.prefill import OldRelease, Prefilled, prefill, room_explained, write_at

# A request and its answer have some 400 bytes of headers: nearer spans are fetched as one.
CLOSE_BYTES = 512
READ_BYTES = 64 * 1024
# Slower than this for so long is a stalled connection, not a thin line: 25 machines that share
# 5 Mbit/s have 25,000 bytes a second each.
SLOWEST_BYTES_S, PATIENCE_S = 256, 30.0
FLUSHES = 128  # so many flushes over one file: a power cut costs less than a hundredth of it


class RangesRefusedError(UnreachableError):
    """The other side sends whole files only."""


@dataclass(frozen=True)
class Savings:
    """What the last fetch of a `DeltaCarrier` did; `whole` when the delta was given up.

    `prefilled` is what the old releases gave, before any patch.
    """

    prefilled: Prefilled | None = None
    patch_bytes: int = 0
    fetched: int = 0
    whole: bool = True


@runtime_checkable
class Filler(Protocol):
    """A carrier that makes use of knowing which bytes of a begun file are missing."""

    def fill(
        self, wanted: Wanted, into: Path, missing: Sequence[Span], report: Report
    ) -> Fetched: ...

    def is_nearby(self, wanted: Wanted, folder: Path) -> bool:
        """Whether the neighbours have all of it, so that nothing better need be looked for."""


class DeltaCarrier:
    """Brings `wanted` with the help of what older releases on this disk hold.

    `map_of` is the new release's chunk map as its manifest promises it. `rest` brings what is
    missing when it is given: it must continue a begun `.part` whose pieces are right only here
    and there, as the swarm's carrier does. Otherwise the station is asked for ranges.
    `find_offer` finds a patch, if there is one that this machine can use. `documents` brings the
    chunk map and nothing else; without it the station is asked.
    """

    def __init__(
        self,
        http: HttpCarrier,
        map_of: Wanted,
        olds: Sequence[OldRelease],
        rest: Carrier | None = None,
        find_offer: Callable[[Wanted], Offer | None] = lambda _wanted: None,
        documents: Carrier | None = None,
    ) -> None:
        self._http, self._map_of, self._olds, self._rest = http, map_of, olds, rest
        self._documents: Carrier = documents or http
        self._find_offer = find_offer
        self.savings = Savings()
        self.map_bytes = 0  # fetched of the chunk map

    def fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched:
        """As `Carrier.fetch`; bytes that were copied count as resumed."""
        into.parent.mkdir(parents=True, exist_ok=True)
        with parts.alone(into.parent, into.name):
            return self._fetch(wanted, into, report)

    def _fetch(self, wanted: Wanted, into: Path, report: Report) -> Fetched:
        self.savings = Savings()
        part = into.with_name(into.name + ".part")
        if into.exists():
            into.replace(part)
        try:
            chunk_map = self._map(wanted, into)
            first = prefill(chunk_map, self._olds, part, report)
            patch_bytes, done = self._patched(wanted, chunk_map, first, part, report)
            rest = self._bring(wanted, chunk_map, done, into, report)
        except (ImageMismatchError, NotFoundError, RangesRefusedError):
            part.unlink(missing_ok=True)
            return (self._rest or self._http).fetch(wanted, into, report)
        fetched = rest.fetched + patch_bytes
        self.savings = Savings(first, patch_bytes, fetched, whole=False)
        return replace(rest, fetched=fetched, resumed=max(0, wanted.size - fetched))

    def _patched(
        self, wanted: Wanted, chunk_map: ChunkMap, done: Prefilled, part: Path, report: Report
    ) -> tuple[int, Prefilled]:
        """Use a patch when it costs fewer bytes than the missing pieces; then look again."""
        if not done.missing:
            return 0, done
        near = isinstance(self._rest, Filler) and self._rest.is_nearby(wanted, part.parent)
        offer = None if near else self._find_offer(wanted)
        into = part.with_suffix(".patch")
        if offer is None or offer.left(into) >= done.missing_bytes:
            discard(into)
            return 0, done
        fetched = offer.use(part, into)
        return fetched, prefill(chunk_map, self._olds, part, report)

    def _map(self, wanted: Wanted, into: Path) -> ChunkMap:
        place = into.with_name(Path(self._map_of.path).name)
        self.map_bytes = self._documents.fetch(self._map_of, place, lambda _have: None).fetched
        chunk_map = read_chunk_map(place.read_bytes())
        check_is_of(chunk_map, wanted.path, wanted.size, wanted.sha256)
        return chunk_map

    def _bring(
        self, wanted: Wanted, chunk_map: ChunkMap, done: Prefilled, into: Path, report: Report
    ) -> Fetched:
        if isinstance(self._rest, Filler):
            return self._rest.fill(wanted, into, done.missing, report)
        if self._rest is not None:
            return self._rest.fetch(wanted, into, report)
        part, fetched = into.with_name(into.name + ".part"), 0
        for missing in (done.missing, None):
            if missing is None:  # something came wrong over the wire or went wrong on the disk
                missing = prefill(chunk_map, self._olds, part).missing
            fetched += fetch_missing(self._http, wanted, part, missing, report)
            if _sha256(part) == wanted.sha256:
                finish(part, into)
                return Fetched(fetched, wanted.size - fetched)
        raise ImageMismatchError(f"{wanted.path} could not be put together from its pieces.")


def fetch_missing(
    http: HttpCarrier, wanted: Wanted, part: Path, missing: Iterable[Span], report: Report
) -> int:
    """Fetch spans of `wanted` into `part`, flushed; returns the bytes that came.

    Nothing is checked here but that they are the bytes that were asked for. Goes on for ever
    while the other side is silent. Raises RangesRefusedError, NotFoundError, ImageMismatchError
    (another file there) and DiskChoiceError (no room).
    """
    spans = merge(missing, CLOSE_BYTES)
    step = max(BLOCK, wanted.size // FLUSHES)
    have = wanted.size - sum(span.size for span in spans)
    fetched = flushed = 0
    with room_explained(part, 0), _opened(part) as out:
        for span in spans:
            for at, data in _span(http, wanted, span):
                write_at(out, data, at)
                fetched += len(data)
                if fetched - flushed >= step:
                    os.fdatasync(out)
                    flushed = fetched
                report(have + fetched)
        os.fsync(out)
    return fetched


def _span(http: HttpCarrier, wanted: Wanted, span: Span) -> Iterator[tuple[int, bytes]]:
    """The bytes of one span with their places, over as many connections as it takes."""
    at, tries = span.start, Tries(wanted.path)
    while at < span.stop:
        began = at
        try:
            for data in read_span(http, wanted, Span(at, span.stop)):
                yield at, data
                at += len(data)
                if at - began >= min(LEAST_PROGRESS, span.stop - began):
                    tries.moved()
        except RangesRefusedError:
            raise
        except UnreachableError as error:
            http.wait(error, tries.failed(error))


def read_span(http: HttpCarrier, wanted: Wanted, span: Span) -> Iterator[bytes]:
    """One answer's bytes; raises UnreachableError when it stalls, breaks or ends early.

    The connection is kept for the next one.
    """
    left, began, came = span.size, time.monotonic(), 0
    try:
        answer = _opened_span(http, wanted, span)
        whole = False
        try:
            while left:
                data = answer.read1(min(READ_BYTES, left))
                if not data:
                    raise CutShortError(f"{wanted.path}: the answer ended {left} bytes early.")
                left, came = left - len(data), came + len(data)
                yield data
                waited = time.monotonic() - began
                if left and waited > PATIENCE_S:
                    if came < SLOWEST_BYTES_S * waited:
                        raise UnreachableError(f"{wanted.path}: {came} bytes in {waited:.0f} s.")
                    began, came = time.monotonic(), 0
            whole = True
        finally:
            _let_go(answer, whole)
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise wire_trouble(wanted.path, error) from error


def _opened_span(http: HttpCarrier, wanted: Wanted, span: Span) -> urllib3.BaseHTTPResponse:
    """The answer that carries a span and nothing else, before its first byte is read."""
    path = wanted.path
    answer = http.open(path, {"Range": f"bytes={span.start}-{span.stop - 1}"})
    try:
        if answer.status in GONE:
            raise NotFoundError(f"The station does not offer {path} ({answer.status}).")
        if answer.status in (200, 416):
            raise RangesRefusedError(f"{path}: the station does not answer ranges.")
        if answer.status != 206:
            raise UnreachableError(f"{path}: the station answered {answer.status}.")
        told, _, total = answer.headers.get("Content-Range", "").partition("/")
        if total.isascii() and total.isdigit() and int(total) != wanted.size:
            raise ImageMismatchError(
                f"{path} has {total} bytes on the station, its signed manifest says {wanted.size}.",
                "The release on the station is damaged; run “provisioner image verify”.",
            )
        length = answer.headers.get("Content-Length")
        if told != f"bytes {span.start}-{span.stop - 1}" or length != str(span.size):
            raise UnreachableError(f"{path}: the answer covers another range than was asked for.")
    except BaseException:
        answer.close()
        raise
    return answer


def _let_go(answer: urllib3.BaseHTTPResponse, whole: bool) -> None:
    """Keep the connection for the next span when this answer was read to its end."""
    if whole:
        answer.drain_conn()
        answer.release_conn()
    else:
        answer.close()


def finish(part: Path, into: Path) -> None:
    """Give a checked file its name, and have the disk keep it."""
    part.replace(into)
    flush_folder(into.parent)


@contextlib.contextmanager
def _opened(part: Path) -> Iterator[int]:
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
