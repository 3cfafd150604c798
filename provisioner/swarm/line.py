"""Lines to the station: plain ones on the workshop's wire, and closed ones from a school.

A machine in a school speaks HTTPS with one certificate only, whose SHA-256 it was given when it
was imaged. It stands in the address, `https://SHA256@station.example:8443`; names, dates and
authorities count for nothing: a machine's clock may be dead, and nobody else can speak for the
station.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection

from provisioner.errors import UntrustedError

SocketOption = tuple[int, int, bytes]
_PIN = re.compile(r"^[0-9a-f]{64}$")


def pinned(url: str, certificate_sha256: str) -> str:
    """An https address as machines keep it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{certificate_sha256.lower().replace(':', '')}@{rest}"


def plain(url: str) -> str:
    """An address without its certificate: what is asked for, and what a person reads."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def open_pool(url: str, options: Sequence[SocketOption] = (), **words: Any) -> urllib3.PoolManager:
    """What asks the station at `url`, and nobody else if it is an https address.

    Raises UntrustedError for an https address without a certificate.
    """
    parts = urlsplit(url)
    if parts.scheme == "https":
        if not _PIN.match(parts.username or ""):
            raise UntrustedError("An https address of a station names no certificate.")
        words |= {"cert_reqs": "CERT_NONE", "assert_fingerprint": parts.username}
    return urllib3.PoolManager(
        retries=False, socket_options=[*HTTPConnection.default_socket_options, *options], **words
    )
