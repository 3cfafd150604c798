"""The boot loader's password: one for each machine, and only its hash leaves the station."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from provisioner.errors import ConfigError
from provisioner.model.order import LOADER_HASH
from provisioner.release.grubcfg import SUPERUSER, first_boot_files, workshop_cfg
from provisioner.workshop.loader_password import hashed, password_of


def test_each_machine_has_its_own_and_keeps_it(tmp_path: Path) -> None:
    first = password_of(tmp_path, "PC-0001")
    assert first == password_of(tmp_path, "PC-0001")
    assert first != password_of(tmp_path, "PC-0002")
    assert re.fullmatch(r"[a-z2-8]{10}", first)
    assert (tmp_path / "loader-secret").stat().st_mode & 0o077 == 0


def test_the_hash_is_of_grubs_form() -> None:
    # grub-mkpasswd-pbkdf2 of 2.06 with this salt
    assert hashed("secret", bytes(16)).startswith(f"grub.pbkdf2.sha512.10000.{'00' * 16}.")
    assert re.match(LOADER_HASH, hashed("secret"))
    assert hashed("secret") != hashed("secret")


def test_every_entry_starts_for_everybody_and_nothing_else_does() -> None:
    menu = first_boot_files("lab@2026.1", system_uuid="s", state_uuid="t")
    text = menu["/EFI/debian/grub.cfg"].decode()
    entries = [line for line in text.splitlines() if line.strip().startswith("menuentry")]
    assert len(entries) == 3
    assert all("--unrestricted" in line for line in entries)
    assert text.index("set superusers") < text.index("menuentry")


@pytest.mark.parametrize("text", ["x; halt", "grub.pbkdf2.sha512.10000.00.00", "\n"])
def test_what_is_no_hash_does_not_reach_the_menu(text: str) -> None:
    with pytest.raises(ConfigError):
        workshop_cfg(text)
    assert SUPERUSER in workshop_cfg(hashed("secret"))
