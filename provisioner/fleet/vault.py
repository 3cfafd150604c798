"""A school's secrets: one ansible-vault file a school, and the password that opens it.

Nothing secret stands in the repository, in a boot payload or in an image. The first time that a
school is configured, the station makes its accounts' passwords, encrypts them with
ansible-vault and keeps the file in its state folder:

    STATE/vault-password             opens every vault of this station; made once
    STATE/schools/SCHOOL/vault.yml   ansible-vault; `account_passwords` by role, and by need
                                     `control_private_key`, `control_public_key`, `wifi_password`

What the station can make by itself it adds when the school asks for it; a wireless network's
password a person must give (`provisioner school secret`). An operator who prefers to keep them
with the school puts a `vault.yml`, encrypted with the same password, into the school's folder; it
takes precedence. On the machine a password is hashed (yescrypt) by the machine itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import Field, SecretStr, ValidationError

from provisioner import yaml_file
from provisioner.errors import ConfigError, ProofMissingError
from provisioner.model.base import Model
from provisioner.model.school import School, SchoolSettings, SeatRole
from provisioner.run import run
from provisioner.secret_file import secret_file

PASSWORD_FILE = "vault-password"  # noqa: S105 - the file's name
HEADER = "$ANSIBLE_VAULT;"
TIMEOUT_S = 60.0
# No letters or digits that are mistaken for one another on paper; 8 of 30 are 39 bits, for a
# password that opens nothing but the machine it is typed into.
ALPHABET = "abcdefghjkmnpqrstuvwxyz2345678"
LENGTHS = {SeatRole.TEACHER: 12, SeatRole.PUPIL: 8}
CONTROL_KEY_BITS = 4096  # what Veyon makes itself


class Secrets(Model):
    """The content of a vault. Its values never print themselves."""

    account_passwords: dict[SeatRole, SecretStr] = Field(min_length=len(SeatRole))
    # IEEE 802.11: a passphrase has 8 to 63 characters.
    wifi_password: SecretStr | None = Field(None, min_length=8, max_length=63)
    control_private_key: SecretStr | None = None
    control_public_key: SecretStr | None = None


@dataclass(frozen=True)
class Vault:
    """Where a school's secrets are, and the file with the password that opens them."""

    file: Path
    password_file: Path


def open_vault(school: School, state_dir: Path) -> Vault:
    """The school's vault, made the first time, with all that its settings need.

    Raises ConfigError when it cannot be used, or lacks what only a person knows.
    """
    vault = vault_of(school, state_dir)
    with _alone(vault):  # two machines of a school are given the same keys
        missing = _missing(school.settings, read_secrets(vault))
        if "control_private_key" in missing or "control_public_key" in missing:
            update_vault(vault, make_control_keys())
            missing = _missing(school.settings, read_secrets(vault))
    if missing:
        commands = " and ".join(f"“provisioner school secret {school.id} {n}”" for n in missing)
        raise ConfigError(
            f"The vault of {school.id} lacks {', '.join(missing)}.", f"Run {commands}.",
            file=vault.file,
        )  # fmt: skip
    return vault


def vault_of(school: School, state_dir: Path) -> Vault:
    """The school's vault, made the first time; whether it has all that is needed is not asked."""
    password_file = state_dir / PASSWORD_FILE
    state_dir.mkdir(parents=True, exist_ok=True)
    secret_file(password_file, lambda: secrets.token_urlsafe(32))
    own = school.folder / "vault.yml"
    if own.exists():
        return Vault(own, password_file)
    vault = Vault(state_dir / "schools" / school.id / "vault.yml", password_file)
    if not vault.file.exists():
        vault.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        plain = yaml_file.dump({"account_passwords": make_passwords()})
        secret_file(vault.file, lambda: _ansible_vault("encrypt", password_file, stdin=plain))
    return vault


def update_vault(vault: Vault, changes: Mapping[str, Any]) -> None:
    """Put secrets into a vault, replaced whole. Raises ConfigError for one that cannot be."""
    content = {**_plain(vault), **changes}
    _validated(content, vault.file)
    aside = vault.file.with_name(f".{vault.file.name}.new")
    aside.unlink(missing_ok=True)
    text = yaml_file.dump(content)
    secret_file(aside, lambda: _ansible_vault("encrypt", vault.password_file, stdin=text))
    aside.replace(vault.file)


def make_control_keys() -> dict[str, str]:
    """A new pair of keys for classroom control, as Veyon keeps them: RSA in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=CONTROL_KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return {"control_private_key": private.decode(), "control_public_key": public.decode()}


def make_passwords() -> dict[str, str]:
    """New passwords, one for each role."""
    return {
        str(role): "".join(secrets.choice(ALPHABET) for _ in range(length))
        for role, length in LENGTHS.items()
    }


def read_secrets(vault: Vault) -> Secrets:
    """What is in a vault, for a person who must know it. Raises ConfigError."""
    _must_be_encrypted(vault.file)
    return _opened(vault, vault.file.read_bytes(), vault.password_file.read_bytes())


# ansible-vault takes half a second, and a stick for a classroom asks once for each machine.
@functools.lru_cache(maxsize=4)
def _opened(vault: Vault, _content: bytes, _password: bytes) -> Secrets:
    return _validated(_plain(vault), vault.file)


@contextlib.contextmanager
def _alone(vault: Vault) -> Iterator[None]:
    """Nobody else changes vaults of this station meanwhile; flock(2) is per open file."""
    with vault.password_file.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _plain(vault: Vault) -> dict[str, Any]:
    _must_be_encrypted(vault.file)
    text = _ansible_vault("decrypt", vault.password_file, stdin=vault.file.read_text())
    content = yaml_file.parse(text, vault.file)
    return content if isinstance(content, dict) else {}


def _validated(content: dict[str, Any], file: Path) -> Secrets:
    try:
        return Secrets.model_validate(content)
    except ValidationError as error:
        wrong = ", ".join(".".join(str(part) for part in e["loc"]) for e in error.errors())
        raise ConfigError(
            f"The vault lacks or misstates: {wrong}.",
            "It needs “account_passwords” with “teacher” and “pupil”; a “wifi_password” has 8 to "
            "63 characters.",
            file=file,
        ) from None  # the cause would show the values


def _missing(settings: SchoolSettings, found: Secrets) -> list[str]:
    """Names of secrets that the school's settings need and the vault has not."""
    needed = {
        "wifi_password": settings.network.wifi is not None,
        "control_private_key": settings.teacher_desk.control,
        "control_public_key": settings.teacher_desk.control,
    }
    return [name for name, wanted in needed.items() if wanted and getattr(found, name) is None]


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
