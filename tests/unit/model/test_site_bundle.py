"""A school's configuration on its way to one machine: nobody else opens it, nothing is changed."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from provisioner.errors import UntrustedError
from provisioner.model.sealed_box import Box, _other_form, _scalar, close_box, open_box
from provisioner.model.signed import PrivateKey
from provisioner.model.site_bundle import SiteBundle, open_site, pack_site

MACHINE, OTHER = PrivateKey.generate(), PrivateKey.generate()
FILES = {"playbooks/site.yml": b"- hosts: all\n", "inventory/hosts.json": b"CANARY-OF-THE-SCHOOL"}


def bundle(number: int = 7) -> SiteBundle:
    return pack_site(
        FILES, school="high-pasture", machine="PC-0001", number=number, revision="a" * 64,
        machine_key=MACHINE.public,
    )  # fmt: skip


def test_the_two_forms_of_a_key_belong_together() -> None:
    for _ in range(20):
        key = PrivateKey.generate()
        own = X25519PrivateKey.from_private_bytes(_scalar(key)).public_key()
        assert own.public_bytes(Encoding.Raw, PublicFormat.Raw) == _other_form(
            bytes.fromhex(key.public)
        )


def test_the_machine_opens_it_and_nobody_else() -> None:
    made = bundle()
    assert open_site(made, MACHINE) == FILES
    with pytest.raises(UntrustedError):
        open_site(made, OTHER)
    assert b"CANARY" not in base64.b64decode(made.box.content)


def test_it_is_another_box_each_time() -> None:
    assert bundle().box != bundle().box


@pytest.mark.parametrize("changes", [{"machine": "PC-0002"}, {"number": 8}])
def test_a_box_belongs_to_its_words(changes: dict[str, object]) -> None:
    with pytest.raises(UntrustedError):
        open_site(bundle().model_copy(update=changes), MACHINE)


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_changed_box_does_not_open(place: int) -> None:
    made = bundle()
    content = bytearray(base64.b64decode(made.box.content))
    content[place] ^= 1
    box = made.box.model_copy(update={"content": base64.b64encode(content).decode()})
    with pytest.raises(UntrustedError):
        open_site(made.model_copy(update={"box": box}), MACHINE)


@pytest.mark.parametrize("key", ["00" * 31, "01" + "00" * 31, "zz" * 32, "ff" * 32])
def test_a_key_that_is_none_closes_nothing(key: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        close_box(b"x", key, "p")


@pytest.mark.parametrize(
    "box", [Box(sender="", content=""), Box(sender="00" * 32, content="AAAA"),
            Box(sender="x", content="x")]
)  # fmt: skip
def test_what_is_no_box_is_refused(box: Box) -> None:
    with pytest.raises(UntrustedError):
        open_box(box, MACHINE, "p")


def test_a_box_that_would_fill_the_memory_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provisioner.model.sealed_box.MAX_CONTENT_BYTES", 1000)
    with pytest.raises(UntrustedError):
        open_box(close_box(bytes(1001), MACHINE.public, "p"), MACHINE, "p")


@pytest.mark.parametrize("name", ["../etc/shadow", "/etc/x", "a/../../b", ".ssh/x", "a//b", ""])
def test_a_file_outside_of_the_folder_is_neither_packed_nor_opened(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"school": "s", "machine": "PC-0001", "number": 1, "revision": "a" * 64,
             "machine_key": MACHINE.public}  # fmt: skip
    with pytest.raises(ValueError, match="no machine takes"):
        pack_site({name: b""}, **words)  # type: ignore[arg-type]
    box = close_box(b'{"files": {"%s": ""}}' % name.encode(), MACHINE.public,
                    "site bundle PC-0001 1")  # fmt: skip
    made = SiteBundle(school="s", machine="PC-0001", number=1, revision="a" * 64, box=box)
    with pytest.raises(UntrustedError):
        open_site(made, MACHINE)
