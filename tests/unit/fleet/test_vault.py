"""A school's secrets: made once, encrypted, never in the repository, never printed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.fleet import vault as vault_module
from provisioner.fleet.vault import Secrets, make_passwords, open_vault
from provisioner.model.school import School, SeatRole
from provisioner.run import Finished

ROOT = Path(__file__).parents[3]


def test_passwords_differ_and_can_be_read_aloud() -> None:
    made = [make_passwords()[role] for role in SeatRole for _ in range(50)]
    assert len(set(made)) == len(made)
    assert not set("".join(made)) & set("01OIloi9")


def test_secrets_do_not_print_themselves() -> None:
    plain = make_passwords()
    secrets = Secrets.model_validate({"account_passwords": plain})
    shown = f"{secrets!r} {secrets} {secrets.model_dump_json()}"
    assert not [password for password in plain.values() if password in shown]


def test_a_vault_in_plain_text_is_refused(school: School, tmp_path: Path) -> None:
    (school.folder / "vault.yml").write_text("account_passwords: {teacher: a, pupil: b}\n")
    with pytest.raises(ConfigError, match="not encrypted"):
        open_vault(school, tmp_path)


def test_an_encryption_that_did_nothing_is_noticed(
    school: School, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault_module, "run", lambda words, **_: Finished(tuple(words), 0, "", ""))
    with pytest.raises(ProofMissingError):
        open_vault(school, tmp_path)
    assert not (tmp_path / "schools" / school.id / "vault.yml").exists()


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard",
         "inventories/*.yml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    texts = [(ROOT / name).read_bytes() for name in listed if (ROOT / name).exists()]
    assert texts
    assert not [text for text in texts if b"password" in text.lower() or b"$ANSIBLE" in text]
