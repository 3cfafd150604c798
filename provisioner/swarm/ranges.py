"""Parts of a file over HTTP: the last resort of the swarm, and its stand-in without libtorrent.

Each call is one try and nothing of what it yields is checked here: whoever asks knows the hash
of every piece. A server that ignores ranges, answers with another one, ends early or lets the
bytes drip is told apart from a file that is gone.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator

import urllib3

from provisioner.errors import ImageMismatchError, NotFoundError, UnreachableError
from provisioner.swarm.fetch import GONE, CutShortError, HttpCarrier, Wanted, wire_trouble

READ_BYTES = 256 * 1024
# A line that carries less than this is broken for our purpose.
LEAST_RATE, LEAST_RATE_AFTER_S = 4096, 10.0  # bytes per second, over at least so many seconds
_RANGE = re.compile(r"^bytes (\d{1,18})-(\d{1,18})/(\d{1,18})$")


def read_range(http: HttpCarrier, wanted: Wanted, start: int, stop: int) -> Iterator[bytes]:
    """The bytes from `start` up to `stop`, as they come.

    Raises UnreachableError (try again), NotFoundError (withdrawn), ImageMismatchError (the
    station has another file). A server that knows no ranges costs its file up to `stop`.
    """
    try:
        asked = {"Range": f"bytes={start}-{stop - 1}"}
        with contextlib.closing(http.open(wanted.path, asked)) as answer:
            skip = _bytes_before(wanted, answer, start)
            left = stop - start
            for data in _flowing(wanted, answer):
                skip, data = max(skip - len(data), 0), data[skip:]
                data, left = data[:left], left - len(data)
                if data:
                    yield data
                if left <= 0:
                    return
            raise CutShortError(f"{wanted.path}: the connection ended {left} bytes early.")
    except (urllib3.exceptions.HTTPError, ConnectionError, TimeoutError) as error:
        raise wire_trouble(wanted.path, error) from error


def _bytes_before(wanted: Wanted, answer: urllib3.BaseHTTPResponse, start: int) -> int:
    """How many bytes of the answer come before what was asked for."""
    if answer.status in GONE:
        raise NotFoundError(
            f"The station does not offer {wanted.path} ({answer.status}).",
            "Was this release withdrawn?",
        )
    if answer.status == 200:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isascii() and length.isdigit() else wanted.size
        before = start
    elif answer.status == 206:
        match = _RANGE.match(answer.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise UnreachableError(f"{wanted.path}: another range than was asked for.")
        total, before = int(match[3]), 0
    else:
        raise UnreachableError(f"{wanted.path}: the station answered {answer.status}.")
    if total != wanted.size:
        raise ImageMismatchError(
            f"{wanted.path} has {total} bytes on the station, its manifest says {wanted.size}.",
            "The release on the station is damaged; run “provisioner image verify”.",
        )
    return before


def _flowing(wanted: Wanted, answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The answer's body, as long as it comes at a rate that leads somewhere."""
    began, got = time.monotonic(), 0
    while data := answer.read1(READ_BYTES):
        yield data
        got += len(data)
        passed = time.monotonic() - began
        if passed > LEAST_RATE_AFTER_S and got < LEAST_RATE * passed:
            raise UnreachableError(f"{wanted.path}: {got} bytes in {passed:.0f} s.")
