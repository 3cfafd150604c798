"""A school's secrets with the real ansible-vault: made once, encrypted, readable by root only."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from provisioner.errors import CommandError
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import LENGTHS, open_vault, read_secrets

INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.mark.integration
def test_made_once_and_encrypted(tmp_path: Path) -> None:
    school = load_school(INVENTORIES / "high-pasture")
    vault = open_vault(school, tmp_path)
    before = vault.file.read_text()
    found = read_secrets(vault).account_passwords
    assert before.startswith("$ANSIBLE_VAULT;")
    for role, length in LENGTHS.items():
        assert len(found[role].get_secret_value()) == length
        assert found[role].get_secret_value() not in before
    for path in (vault.file, vault.password_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_vault(school, tmp_path).file.read_text() == before

    vault.password_file.write_text("another one\n")
    with pytest.raises(CommandError):
        open_vault(school, tmp_path)
