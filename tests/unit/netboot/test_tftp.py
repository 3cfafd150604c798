"""The small TFTP client that proves our own server answers."""

from __future__ import annotations

import pytest

from provisioner.errors import NotFoundError, UnreachableError
from provisioner.netboot.tftp import parse_answer, read_request


def test_a_request_names_file_and_mode() -> None:
    assert read_request("grub/grub.cfg") == b"\0\x01grub/grub.cfg\0octet\0"


def test_the_content_of_the_wanted_block() -> None:
    assert parse_answer(b"\0\x03\0\x01hello", 1) == b"hello"


def test_block_numbers_begin_again_after_65535() -> None:
    assert parse_answer(b"\0\x03\0\x00x", 65536) == b"x"


def test_a_refusal_is_told_in_the_servers_words() -> None:
    with pytest.raises(NotFoundError, match="no such file"):
        parse_answer(b"\0\x05\0\x01no such file\0", 1)


@pytest.mark.parametrize("packet", [b"", b"\0\x03\0", b"\0\x03\0\x02x", b"\0\x04\0\x01"])
def test_anything_else_is_no_answer(packet: bytes) -> None:
    with pytest.raises(UnreachableError):
        parse_answer(packet, 1)
