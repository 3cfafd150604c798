"""A school's secrets: one ansible-vault file a school, and the password that opens it.

Nothing secret stands in the repository, in a boot payload or in an image. The first time that a
school is configured, the station makes its accounts' passwords, encrypts them with
ansible-vault and keeps the file in its state folder:

    STATE/vault-password             opens every vault of this station; made once
    STATE/schools/SCHOOL/vault.yml   ansible-vault; `account_passwords` by role

An operator who prefers to keep them with the school puts a `vault.yml`, encrypted with the same
password, into the school's folder; it takes precedence. On the machine a password is hashed
(yescrypt) by the machine itself.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError

from provisioner import yaml_file
from provisioner.errors import ConfigError, ProofMissingError
from provisioner.model.base import Model
from provisioner.model.school import School, SeatRole
from provisioner.run import run
from provisioner.secret_file import secret_file

PASSWORD_FILE = "vault-password"  # noqa: S105 - the file's name
HEADER = "$ANSIBLE_VAULT;"
TIMEOUT_S = 60.0
# No letters or digits that are mistaken for one another on paper; 8 of 30 are 39 bits, for a
# password that opens nothing but the machine it is typed into.
ALPHABET = "abcdefghjkmnpqrstuvwxyz2345678"
LENGTHS = {SeatRole.TEACHER: 12, SeatRole.PUPIL: 8}


class Secrets(Model):
    """The content of a vault. Its values never print themselves."""

    account_passwords: dict[SeatRole, SecretStr] = Field(min_length=len(SeatRole))


@dataclass(frozen=True)
class Vault:
    """Where a school's secrets are, and the file with the password that opens them."""

    file: Path
    password_file: Path


def open_vault(school: School, state_dir: Path) -> Vault:
    """The school's vault, made the first time. Raises ConfigError when it cannot be used."""
    password_file = state_dir / PASSWORD_FILE
    secret_file(password_file, lambda: secrets.token_urlsafe(32))
    own = school.folder / "vault.yml"
    if own.exists():
        return _checked(Vault(own, password_file))
    vault = Vault(state_dir / "schools" / school.id / "vault.yml", password_file)
    if not vault.file.exists():
        vault.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        plain = yaml_file.dump({"account_passwords": make_passwords()})
        secret_file(vault.file, lambda: _ansible_vault("encrypt", password_file, stdin=plain))
    return _checked(vault)


def make_passwords() -> dict[str, str]:
    """New passwords, one for each role."""
    return {
        str(role): "".join(secrets.choice(ALPHABET) for _ in range(length))
        for role, length in LENGTHS.items()
    }


def read_secrets(vault: Vault) -> Secrets:
    """What is in a vault, for a person who must know it. Raises ConfigError."""
    _must_be_encrypted(vault.file)
    plain = _ansible_vault("decrypt", vault.password_file, stdin=vault.file.read_text())
    try:
        return Secrets.model_validate(yaml_file.parse(plain, vault.file))
    except ValidationError as error:
        missing = ", ".join(".".join(str(part) for part in e["loc"]) for e in error.errors())
        raise ConfigError(
            f"The vault lacks or misstates: {missing}.",
            "It needs “account_passwords” with “teacher” and “pupil”.",
            file=vault.file,
        ) from None  # the cause would show the values


def _checked(vault: Vault) -> Vault:
    read_secrets(vault)
    return vault


def _must_be_encrypted(path: Path) -> None:
    with path.open(encoding="utf-8", errors="replace") as file:
        if not file.read(len(HEADER)).startswith(HEADER):
            raise ConfigError(
                "This vault is not encrypted.",
                "Run “ansible-vault encrypt” on it with the station's vault password.",
                file=path,
            )


def _ansible_vault(verb: str, password_file: Path, *, stdin: str) -> str:
    """ansible-vault from our own virtual environment, from text to text."""
    program = Path(sys.executable).with_name("ansible-vault")
    options = ("--vault-password-file", password_file, "--output", "-", "-")
    result = run([sys.executable, program, verb, *options], stdin=stdin, timeout_s=TIMEOUT_S).stdout
    if result.startswith(HEADER) is not (verb == "encrypt"):
        raise ProofMissingError(
            f"ansible-vault was to {verb} a vault, and did not.",
            "Run “provisioner doctor” to see whether Ansible is whole.",
        )
    return result
