"""A loader is what it says it is, or there is no release."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from provisioner.errors import ProofMissingError
from provisioner.release.loader import IA32, X64, check_pe, parse_pe


def pe(machine: int, certificates: int, *, wide: bool = True) -> bytes:
    start = 0x80
    data = bytearray(start + 24 + 240)
    data[:2] = b"MZ"
    struct.pack_into("<I", data, 0x3C, start)
    data[start : start + 4] = b"PE\0\0"
    struct.pack_into("<H", data, start + 4, machine)
    struct.pack_into("<H", data, start + 24, 0x20B if wide else 0x10B)
    place = start + 24 + (112 if wide else 96) + 32
    struct.pack_into("<II", data, place, 0x1000 if certificates else 0, certificates)
    return bytes(data)


@pytest.mark.parametrize("wide", [True, False])
def test_pe(wide: bool) -> None:
    assert parse_pe(pe(X64, 2000, wide=wide)) == (X64, 2000)
    assert parse_pe(pe(IA32, 0, wide=wide)) == (IA32, 0)


@pytest.mark.parametrize("data", [b"", b"MZ", b"\x7fELF" + bytes(100), b"MZ" + bytes(100)])
def test_no_pe(data: bytes) -> None:
    assert parse_pe(data) == (0, 0)


def test_unsigned_or_for_another_machine(tmp_path: Path) -> None:
    path = tmp_path / "shimx64.efi"
    path.write_bytes(pe(X64, 0))
    check_pe(path, X64, signed=False)
    with pytest.raises(ProofMissingError, match="no signature"):
        check_pe(path, X64, signed=True)
    with pytest.raises(ProofMissingError, match="kind of machine"):
        check_pe(path, IA32, signed=False)
