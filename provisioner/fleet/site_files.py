"""What one machine needs to configure itself without its station: files, and of the school's
secrets those that this machine has anyway.

Passwords go as hashes, the way they stand in /etc/shadow; the key that opens every screen of the
room goes to the teacher's machines alone. Variables of other groups and other machines stay here.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from provisioner.errors import StationError
from provisioner.fleet.inventory import StationFacts, as_data, inventory_for
from provisioner.fleet.vault import Secrets
from provisioner.model.school import School, SeatedMachine, SeatRole
from provisioner.model.site_bundle import OPENED

MAX_BYTES = 4_000_000  # of pictures, before they are packed into two envelopes


def site_files(
    school: School,
    machine: SeatedMachine,
    playbooks: Path,
    secrets: Secrets,
    station: StationFacts,
) -> dict[str, bytes]:
    """The files of `model/site_bundle.py`. Raises StationError when they are too large to send."""
    files = {f"playbooks/{name}": data for name, data in _below(playbooks)}
    inventory = inventory_for(school, [machine], station, local=True)
    children = inventory["all"]["children"]
    group = next(name for name, child in children.items() if child["hosts"])
    inventory["all"]["children"] = {group: children[group]}
    folder = school.folder.resolve()
    files |= {f"school/{p.relative_to(folder)}": p.read_bytes() for p in _pictures(school)}
    moved = _moved(inventory, str(folder), f"{OPENED}/school")
    files["inventory/hosts.json"] = _json(moved)
    for name in ("all", group):
        source = school.folder / "group_vars" / f"{name}.yml"
        if source.is_file():
            files[f"inventory/group_vars/{name}/school.yml"] = source.read_bytes()
    role = school.seat(machine.seat).role
    files["inventory/group_vars/all/secrets.json"] = _json(_needed(school, role, secrets))
    if sum(map(len, files.values())) > MAX_BYTES:
        raise StationError(
            f"The configuration of {school.id} is too large to be kept on its machines.",
            "Make the wallpaper and the sponsor's picture smaller.",
        )
    return files


def _needed(school: School, role: SeatRole, secrets: Secrets) -> dict[str, Any]:
    """As `playbooks/` names them."""
    found: dict[str, Any] = {
        "account_password_hashes": {
            str(account): hash_password(secret.get_secret_value())
            for account, secret in secrets.account_passwords.items()
        }
    }
    given: dict[str, SecretStr | None] = {}
    if school.settings.network.wifi is not None:
        given["wifi_password"] = secrets.wifi_password
    if school.settings.teacher_desk.control:
        given["control_public_key"] = secrets.control_public_key
        if role is SeatRole.TEACHER:
            given["control_private_key"] = secrets.control_private_key
    found |= {name: secret.get_secret_value() for name, secret in given.items() if secret}
    data: dict[str, Any] = as_data(found)
    return data


def hash_password(password: str) -> str:
    """A password as /etc/shadow keeps it (yescrypt, Debian's own rule); another salt each time.

    Raises StationError where the system's crypt(3) does not know yescrypt.
    """
    library = ctypes.PyDLL("libcrypt.so.1")  # one thread at a time: crypt(3) is not for several
    library.crypt_gensalt.restype = library.crypt.restype = ctypes.c_char_p
    salt = library.crypt_gensalt(b"$y$", ctypes.c_ulong(0), None, 0)
    made = library.crypt(password.encode(), salt) if salt else None
    if not made or not made.startswith(b"$y$"):
        raise StationError("This computer cannot hash a password as its machines do.")
    return str(made.decode())


def _below(root: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and not any(p.startswith((".", "__pycache__")) for p in inside.parts):
            yield str(inside), path.read_bytes()


def _pictures(school: School) -> Iterator[Path]:
    settings = school.settings
    for name in (settings.wallpaper, settings.sponsor.logo if settings.sponsor else ""):
        if name:
            yield (school.folder / name).resolve()


def _moved(value: Any, before: str, after: str) -> Any:
    """Paths into the school's folder become paths on the machine."""
    if isinstance(value, str):
        return after + value.removeprefix(before) if value.startswith(f"{before}/") else value
    if isinstance(value, Mapping):
        return {key: _moved(item, before, after) for key, item in value.items()}
    return [_moved(item, before, after) for item in value] if isinstance(value, list) else value


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1, sort_keys=True).encode()
