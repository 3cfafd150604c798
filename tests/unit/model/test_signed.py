"""Signed envelopes: what is changed, replaced or signed by another is refused."""

from __future__ import annotations

import base64
import json

import pytest

from provisioner.errors import UntrustedError
from provisioner.model.release import Minimum, ReleaseFile
from provisioner.model.signed import PrivateKey, open_envelope

KEY = PrivateKey.generate()
VALUE = Minimum(memory_mib=1024, disk_mb=8000)


def changed(sealed: str, **fields: object) -> str:
    return json.dumps({**json.loads(sealed), **fields})


def test_a_sealed_value_comes_back() -> None:
    assert open_envelope(KEY.seal(VALUE), Minimum, trusted=KEY.public) == (VALUE, KEY.public)


def test_every_flipped_byte_of_the_payload_is_found() -> None:
    sealed = KEY.seal(VALUE)
    payload = base64.b64decode(json.loads(sealed)["payload"])
    for place in range(len(payload)):
        bad = bytearray(payload)
        bad[place] ^= 1
        text = changed(sealed, payload=base64.b64encode(bytes(bad)).decode())
        with pytest.raises(UntrustedError, match="does not match"):
            open_envelope(text, Minimum, trusted=KEY.public)


def test_another_key_is_not_trusted() -> None:
    other = PrivateKey.generate()
    with pytest.raises(UntrustedError, match="not signed by the key"):
        open_envelope(other.seal(VALUE), Minimum, trusted=KEY.public)


def test_a_foreign_signature_under_our_key_is_refused() -> None:
    """The name of our key over somebody else's signature."""
    forged = json.loads(PrivateKey.generate().seal(VALUE))
    forged["signatures"][0]["keyid"] = KEY.public
    with pytest.raises(UntrustedError, match="does not match"):
        open_envelope(json.dumps(forged), Minimum, trusted=KEY.public)


def test_one_kind_of_document_cannot_pass_for_another() -> None:
    with pytest.raises(UntrustedError, match="not as a releasefile"):
        open_envelope(KEY.seal(VALUE), ReleaseFile, trusted=KEY.public)


def test_a_document_without_signatures_is_refused() -> None:
    with pytest.raises(UntrustedError):
        open_envelope(changed(KEY.seal(VALUE), signatures=[]), Minimum, trusted=None)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", "not json", '{"payload": 3}', "[" * 100_000]
)
def test_garbage_is_an_error_and_not_a_crash(text: str) -> None:
    with pytest.raises(UntrustedError):
        open_envelope(text, Minimum, trusted=KEY.public)


def test_a_private_key_never_prints_itself() -> None:
    assert KEY.to_hex() not in f"{KEY!r} {KEY}"
