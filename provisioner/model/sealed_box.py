"""Secrets for one machine alone: closed with its public key, opened with the one that it keeps.

The key that a machine signs with (Ed25519) serves here in its other form (X25519: RFC 7748,
section 4.1, the birational map). A fresh key of the sender's and the machine's give a shared
secret (RFC 7748), HKDF-SHA256 makes a key of it that is used once, ChaCha20-Poly1305 closes the
box. Who closed it is not said here: what carries a box is signed (`signed.py`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioner.errors import UntrustedError
from provisioner.model.base import Model
from provisioner.model.signed import PrivateKey

PRIME = 2**255 - 19
MAX_CONTENT_BYTES = 32 * 1024 * 1024  # of what comes out of a box
_NONCE = bytes(12)  # each key closes one box only


class Box(Model):
    """A closed box: the sender's fresh public key in hexadecimal, the content in base64."""

    sender: str
    content: str


def close_box(data: bytes, machine_key: str, purpose: str) -> Box:
    """Close `data`, compressed, for the machine with this public key (64 hexadecimal digits).

    Raises ValueError for a key that is none.
    """
    fresh = X25519PrivateKey.generate()
    sender = fresh.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    machine = _other_form(bytes.fromhex(machine_key))
    shared = fresh.exchange(X25519PublicKey.from_public_bytes(machine))
    key = _once(shared, sender + machine, purpose)
    closed = ChaCha20Poly1305(key).encrypt(_NONCE, zlib.compress(data, 9), purpose.encode())
    return Box(sender=sender.hex(), content=base64.b64encode(closed).decode())


def open_box(box: Box, key: PrivateKey, purpose: str) -> bytes:
    """What is in it. Raises UntrustedError when it is for another machine or was changed."""
    try:
        sender = bytes.fromhex(box.sender)
        own = X25519PrivateKey.from_private_bytes(_scalar(key))
        machine = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        shared = own.exchange(X25519PublicKey.from_public_bytes(sender))
        once = _once(shared, sender + machine, purpose)
        closed = base64.b64decode(box.content, validate=True)
        packed = ChaCha20Poly1305(once).decrypt(_NONCE, closed, purpose.encode())
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_CONTENT_BYTES)
    except (InvalidTag, ValueError, binascii.Error, zlib.error) as error:
        raise UntrustedError(
            "A closed box does not open with this machine's key.",
            "It is for another machine, or was changed on the way; it was not used.",
        ) from error
    if not unpacker.eof:
        raise UntrustedError("A closed box holds more than any that we make.")
    return data


def _scalar(key: PrivateKey) -> bytes:
    """An Ed25519 key's own scalar (RFC 8032, section 5.1.5); X25519 clamps it as Ed25519 does."""
    return hashlib.sha512(bytes.fromhex(key.to_hex())).digest()[:32]


def _other_form(public: bytes) -> bytes:
    """u = (1 + y) / (1 - y), from a point's y to its u."""
    y = int.from_bytes(public, "little") & ((1 << 255) - 1)
    if len(public) != 32 or y in (1, PRIME + 1) or y >= PRIME:
        raise ValueError("this is no public key")
    u = (1 + y) * pow(1 - y, -1, PRIME) % PRIME
    return u.to_bytes(32, "little")


def _once(shared: bytes, keys: bytes, purpose: str) -> bytes:
    words = f"classroom-provisioner {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=keys, info=words).derive(shared)
