"""Firmware files: the right ones, and a machine's own variables that last."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.errors import StationError
from provisioner.lab.firmware import choose_firmware, prepare_variables
from provisioner.model.hardware import Firmware


def test_bios_brings_its_own() -> None:
    assert choose_firmware(Firmware.BIOS, secure_boot=False) is None


def test_32_bit_firmware_has_no_secure_boot() -> None:
    with pytest.raises(ValueError, match="32-bit shim"):
        choose_firmware(Firmware.UEFI32, secure_boot=True)


def test_variables_are_copied_once_and_then_kept(tmp_path: Path) -> None:
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
        (tmp_path / name).write_text("factory")
    files = choose_firmware(Firmware.UEFI64, secure_boot=False, folder=tmp_path)
    assert files is not None
    prepare_variables(files, tmp_path / "mine")
    (tmp_path / "mine").write_text("remembered")
    prepare_variables(files, tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "remembered"


@pytest.mark.parametrize(
    ("firmware", "package"), [(Firmware.UEFI64, "ovmf"), (Firmware.UEFI32, "ovmf-ia32")]
)
def test_a_missing_package_is_named(firmware: Firmware, package: str, tmp_path: Path) -> None:
    files = choose_firmware(firmware, secure_boot=False, folder=tmp_path / "OVMF")
    assert files is not None
    with pytest.raises(StationError) as caught:
        prepare_variables(files, tmp_path / "mine")
    assert caught.value.hint.endswith(f" {package}")
