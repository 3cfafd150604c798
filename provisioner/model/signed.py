"""Signed envelopes: everything that must be believed travels in one.

The form is DSSE (Dead Simple Signing Envelope, version 1.0): the signature covers the type and
the exact bytes of the payload, so nothing has to be re-serialised to be checked. Keys are
Ed25519, written as 64 hexadecimal digits. No date takes part in any check: refurbished machines
have dead clock batteries.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from pydantic import ValidationError

from provisioner.errors import UntrustedError
from provisioner.model.base import Model

M = TypeVar("M", bound=Model)

MAX_ENVELOPE_BYTES = 8 * 1024 * 1024


class Signature(Model):
    """One signature; `keyid` is the signer's public key in hexadecimal."""

    keyid: str
    sig: str


class Envelope(Model):
    """A DSSE envelope: `payload` in base64, its type, and who signed it."""

    payload: str
    payloadType: str  # noqa: N815 - the standard's spelling
    signatures: tuple[Signature, ...]


class PrivateKey:
    """A signing key. It never prints itself."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> PrivateKey:
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_hex(cls, text: str) -> PrivateKey:
        """Raises ValueError when `text` is not 64 hexadecimal digits."""
        return cls(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(text.strip())))

    def to_hex(self) -> str:
        return self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()).hex()

    @property
    def public(self) -> str:
        """The public key, 64 hexadecimal digits."""
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return raw.hex()

    def sign(self, kind: str, payload: bytes) -> str:
        """The envelope, as JSON text, around `payload` of the type `kind`."""
        signature = self._key.sign(_authenticated(kind, payload))
        envelope = Envelope(
            payload=base64.b64encode(payload).decode(),
            payloadType=payload_type(kind),
            signatures=(Signature(keyid=self.public, sig=base64.b64encode(signature).decode()),),
        )
        return envelope.model_dump_json()

    def seal(self, value: Model) -> str:
        """Sign a value of the model; its type is the class's name."""
        return self.sign(_kind(type(value)), value.model_dump_json().encode())


def payload_type(kind: str) -> str:
    """The DSSE payload type of our own kinds of document."""
    return f"application/vnd.classroom-provisioner.{kind}+json"


def open_envelope(text: str | bytes, model: type[M], *, trusted: str | None) -> tuple[M, str]:
    """Check an envelope and read its payload as `model`; returns it with the signer's key.

    With `trusted` None the signer is only proved to hold the key it names: the caller must
    decide whether that key may speak. Raises UntrustedError; says nothing about the content
    of what did not verify.
    """
    envelope = _parse(text)
    kind = _kind(model)
    if envelope.payloadType != payload_type(kind):
        raise UntrustedError(f"This is signed as “{envelope.payloadType}”, not as a {kind}.")
    payload, key = _verified(envelope, kind, trusted)
    try:
        return model.model_validate_json(payload), key
    except ValidationError as error:
        raise UntrustedError(f"A signed {kind} has an unknown form: {_mistakes(error)}") from error


def _mistakes(error: ValidationError) -> str:
    """The first fields that do not fit and why; of their content nothing, it is a stranger's."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    words = [f"{'.'.join(_known(part) for part in one['loc'])}: {one['msg']}" for one in found[:3]]
    return "; ".join(words) + (f"; and {len(found) - 3} more" if len(found) > 3 else "") + "."


def _known(part: int | str) -> str:
    """A step of the way to a field; names that are none of ours are not repeated."""
    return str(part) if re.fullmatch(r"[a-z0-9_]{1,40}", str(part)) else "?"


def _verified(envelope: Envelope, kind: str, trusted: str | None) -> tuple[bytes, str]:
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        for signature in envelope.signatures:
            if trusted is not None and signature.keyid != trusted:
                continue
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.keyid))
            key.verify(base64.b64decode(signature.sig), _authenticated(kind, payload))
            return payload, signature.keyid
    except (binascii.Error, ValueError) as error:
        raise UntrustedError(f"A signed {kind} is damaged.") from error
    except InvalidSignature as error:
        raise UntrustedError(
            f"The signature of a {kind} does not match its content.",
            "Somebody or something changed it on the way; it was not used.",
        ) from error
    raise UntrustedError(
        f"A {kind} is not signed by the key that is trusted here.",
        "Check that this machine and this release belong to this station.",
    )


def _parse(text: str | bytes) -> Envelope:
    if len(text) > MAX_ENVELOPE_BYTES:
        raise UntrustedError("A signed document is larger than any that we make.")
    try:
        return Envelope.model_validate(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UntrustedError("This is not a signed document.") from error


def _authenticated(kind: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: lengths make type and payload unambiguous."""
    name = payload_type(kind).encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


def _kind(model: type[Model]) -> str:
    return model.__name__.lower()
