"""The password of a machine's boot loader: kept by the station, another one on each machine.

Pupils may start what the menu shows; to change how a system is started, or for GRUB's prompt,
the loader asks for it. The machine gets its hash only. All of them follow from one secret:

    STATE/loader-secret     made once; with the asset tag it gives the machine's password
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from pathlib import Path

from provisioner.fleet.vault import ALPHABET
from provisioner.release.grubcfg import SUPERUSER
from provisioner.secret_file import secret_file

SECRET_FILE = "loader-secret"  # noqa: S105 - the file's name
LENGTH = 10  # of 30 letters: 49 bits
# What grub-mkpasswd-pbkdf2 takes by itself; a second or two on the PCs that we get.
ITERATIONS = 10_000
SALT_BYTES = 32
USER = SUPERUSER


def password_of(state_dir: Path, asset_tag: str) -> str:
    """What a technician types, after the name `workshop`, at this machine's loader."""
    secret = secret_file(state_dir / SECRET_FILE, lambda: secrets.token_hex(32))
    number = int.from_bytes(hmac.digest(secret.encode(), asset_tag.encode(), "sha256"))
    letters = []
    for _ in range(LENGTH):
        number, place = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[place])
    return "".join(letters)


def hashed(password: str, salt: bytes | None = None) -> str:
    """The password as GRUB's `password_pbkdf2` takes it."""
    salt = salt or secrets.token_bytes(SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return f"grub.pbkdf2.sha512.{ITERATIONS}.{salt.hex().upper()}.{digest.hex().upper()}"
