"""A school's secrets: made once, encrypted, never in the repository, never printed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from provisioner.errors import ConfigError, ProofMissingError
from provisioner.fleet import vault as vault_module
from provisioner.fleet.school import load_school
from provisioner.fleet.vault import (
    Secrets,
    make_passwords,
    open_vault,
    read_secrets,
    update_vault,
    vault_of,
)
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


@pytest.fixture
def plain_vault(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ansible-vault that only says so, and keys that are made at once; what was made is counted."""
    made: list[str] = []

    def crypt(words: Sequence[object], *, stdin: str, **_: object) -> Finished:
        text = f"{vault_module.HEADER}\n{stdin}" if "encrypt" in words else stdin.partition("\n")[2]
        return Finished(tuple(map(str, words)), 0, text, "")

    def keys() -> dict[str, str]:
        made.append("keys")
        return {"control_private_key": f"private {len(made)}", "control_public_key": "public"}

    monkeypatch.setattr(vault_module, "run", crypt)
    monkeypatch.setattr(vault_module, "make_control_keys", keys)
    return made


def test_what_only_a_person_knows_is_asked_for(
    school: School, tmp_path: Path, plain_vault: list[str]
) -> None:
    with pytest.raises(ConfigError, match="wifi_password") as caught:
        open_vault(school, tmp_path)
    assert caught.value.hint == "Run “provisioner school secret new-shoots wifi_password”."
    update_vault(vault_of(school, tmp_path), {"wifi_password": "for the children"})
    found = read_secrets(open_vault(school, tmp_path))
    assert found.wifi_password is not None
    assert found.wifi_password.get_secret_value() == "for the children"


def test_a_school_keeps_its_keys_for_classroom_control(
    school: School, tmp_path: Path, plain_vault: list[str]
) -> None:
    update_vault(vault_of(school, tmp_path), {"wifi_password": "for the children"})
    before = read_secrets(vault_of(school, tmp_path)).account_passwords
    found = [read_secrets(open_vault(school, tmp_path)) for _ in range(3)]
    assert plain_vault == ["keys"]
    assert found[0] == found[2]
    assert found[0].account_passwords == before


def test_a_school_without_control_has_no_keys(tmp_path: Path, plain_vault: list[str]) -> None:
    plain = load_school(ROOT / "inventories/first-room")
    assert read_secrets(open_vault(plain, tmp_path)).control_private_key is None
    assert plain_vault == []


@pytest.mark.parametrize("wrong", ["short", "x" * 64])
def test_a_password_that_no_network_takes(
    school: School, tmp_path: Path, plain_vault: list[str], wrong: str
) -> None:
    vault = vault_of(school, tmp_path)
    before = vault.file.read_text()
    with pytest.raises(ConfigError) as caught:
        update_vault(vault, {"wifi_password": wrong})
    assert wrong not in str(caught.value)
    assert vault.file.read_text() == before


def test_no_secret_is_in_the_repository() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard",
         "inventories/*.yml"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    texts = [(ROOT / name).read_bytes() for name in listed if (ROOT / name).exists()]
    assert texts
    assert not [text for text in texts if b"password" in text.lower() or b"$ANSIBLE" in text]
