"""What a loader remembers from one start to the next: GRUB's environment block, as bytes.

GRUB writes such a file in place, by the sectors that it lies in, and so do we: its length and its
place on the disk never change, and everything that is said stands in its first sector, which a
disk writes wholly or not at all. A power cut leaves the old words or the new ones.
"""

from __future__ import annotations

import re

from provisioner.errors import ConfigError

SIZE = 1024  # GRUB's own (util/grub-editenv.c); it keeps the length that it finds
ATOM = 512  # the smallest sector of any disk that we meet
_HEAD = b"# GRUB Environment Block\n"
_NAME = re.compile(r"^[a-z_]{1,20}$")
_VALUE = re.compile(r"^[A-Za-z0-9@._-]{0,90}$")


def pack_env(values: dict[str, str]) -> bytes:
    """The block that says `values`. Raises ConfigError for what GRUB's shell might misread or
    what does not fit into one sector."""
    for name, value in values.items():
        if not _NAME.match(name) or not _VALUE.match(value):
            raise ConfigError(f"{name}={value!r} cannot be kept for the boot loader.")
    said = _HEAD + b"".join(f"{name}={value}\n".encode() for name, value in values.items())
    if len(said) > ATOM:
        raise ConfigError("The boot loader cannot keep so much in one sector.")
    return said.ljust(SIZE, b"#")


def parse_env(block: bytes) -> dict[str, str] | None:
    """What a block says; None when it is none. Lines that we would not write are passed over."""
    if not block.startswith(_HEAD) or len(block) != SIZE:
        return None
    found = {}
    for line in block[len(_HEAD) : ATOM].decode("ascii", "replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and _NAME.match(name) and _VALUE.match(value):
            found[name] = value
    return found
